import { type Random, randomFrom } from './workers/random.ts';

/** `JOTTY_FAULTS=full` (`npm run test:faults`) runs the numbers of the promise; without it each storm is a short one. */
const FULL = process.env.JOTTY_FAULTS === 'full';

/** A storm is bounded by this in either size; it contains process start-ups on two busy cores. */
export const TEST_TIMEOUT = { timeout: FULL ? 30 * 60_000 : 60_000 };

export function scaled<T>(short: T, full: T): T {
  return FULL ? full : short;
}

/** Every random choice of a test comes from here. `JOTTY_FAULTS_SEED=n` brings a run's choices back. */
export function seededRandom(name: string): Random {
  const given = Number(process.env.JOTTY_FAULTS_SEED);
  const seed = Number.isInteger(given) && given > 0 ? given : 1 + Math.floor(Math.random() * 0x7fffffff);
  process.stdout.write(`${name}: JOTTY_FAULTS_SEED=${seed}\n`);
  return randomFrom(seed);
}
