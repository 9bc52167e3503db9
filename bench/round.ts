import { once } from 'node:events';
import type { Figures } from './figures.ts';
import { READY } from './round-words.ts';

/** What one round is told: which measure, which side, how much work, and where its files go. */
export interface Round {
  readonly measure: string;
  readonly side: string;
  readonly quick: boolean;
  /** A folder of its own on the real disk, removed after the round. */
  readonly folder: string;
}

export type Measure = (round: Round) => Promise<Figures>;

const MEASURES: Readonly<Record<string, () => Promise<Measure>>> = {
  queue: async () => (await import('./measures/queue.ts')).queue,
  manager: async () => (await import('./measures/manager.ts')).manager,
  latency: async () => (await import('./measures/latency.ts')).latency,
  fleet: async () => (await import('./measures/fleet.ts')).fleet,
  idle: async () => (await import('./measures/idle.ts')).idle,
  depth: async () => (await import('./measures/depth.ts')).depth,
  graphs: async () => (await import('./measures/graphs.ts')).graphs,
  overhead: async () => (await import('./measures/overhead.ts')).overhead,
  resident: async () => (await import('./measures/resident.ts')).resident,
  assignment: async () => (await import('./measures/assignment.ts')).assignment,
  flows: async () => (await import('./measures/flows.ts')).flows,
  limits: async () => (await import('./measures/limits.ts')).limits,
};

async function main(): Promise<void> {
  const round = JSON.parse(process.argv[2] ?? '{}') as Round;
  const load = MEASURES[round.measure];
  if (load === undefined) throw new Error(`expected a measure, got ${round.measure}`);
  const measure = await load();
  // Started by hand, it is alone and begins at once.
  if (process.send === undefined) {
    console.log(await measure(round));
    process.exit(0);
  }
  process.send(READY);
  await once(process, 'message');
  process.send(await measure(round), () => process.exit(0));
}

await main();
