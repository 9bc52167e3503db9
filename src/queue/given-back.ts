import { type Clock, wait } from '../clock.ts';

/** It takes a round trip where all are alive. */
const LOOK_MS_MIN = 1;
const LOOK_MS_MAX = 20;
/**
 * Who cannot be told at once hears of a recall with its next sign of life, within a second. What does not wait for the
 * dead waits for this long.
 */
export const ALIVE_MS = 1_500;

export interface GivingBack {
  /** How many nodes have yet to give back what they hold ahead. */
  readonly count: () => Promise<number>;
  readonly clock: Clock;
  readonly isOver: () => boolean;
  /** Nodes that were silent for so long are not waited for. @default until their holds end */
  readonly msMax?: number;
}

/** Resolves when all nodes have given back what was called back. */
export async function givenBack({
  count,
  clock,
  isOver,
  msMax = Number.POSITIVE_INFINITY,
}: GivingBack): Promise<void> {
  const until = clock.now() + msMax;
  for (let ms = LOOK_MS_MIN; !isOver() && clock.now() < until && (await count()) > 0; ms *= 2)
    await wait(clock, Math.min(ms, LOOK_MS_MAX));
}
