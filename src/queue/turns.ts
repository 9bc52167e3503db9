/** One turn of a backlog of weight 1; whole numbers, so that stores can count in them. */
const TURN = 1_000_000;

/**
 * Whose turn it is among backlogs that share a queue (start-time fair queueing). Each backlog's next turn starts
 * where its last one ended, or where the others are now if it has been away: who was idle saves nothing up, and
 * who has a hundred thousand tasks waits for its turn like who has one.
 */
export interface Turns {
  /** Where the backlog served last began its turn. */
  readonly at: number;
  /** Where each backlog's last turn ended; those that ended before `at` need not be kept. */
  readonly ends: ReadonlyMap<string, number>;
}

/** When the backlog's next turn starts: the smallest goes first. */
export function turnOf({ at, ends }: Turns, fairKey: string): number {
  return Math.max(at, ends.get(fairKey) ?? 0);
}

/** Where a turn that starts at `start` ends. */
export function turnEnd(start: number, weight: number): number {
  return start + Math.max(1, Math.round(TURN / weight));
}
