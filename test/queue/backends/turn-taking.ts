import { isAfter } from '../../../src/queue/backends/hybrid/lane-deques.ts';
import { laneKey } from '../../../src/queue/claim-filter.ts';
import { kindGates, obstacleAt } from '../../../src/queue/gate.ts';
import type { Place } from '../../../src/queue/holding-store.ts';
import type { TaskRecord, TaskStore } from '../../../src/queue/task-store.ts';
import { turnEnd, turnOf } from '../../../src/queue/turns.ts';

/** The backlog of tasks without a fair key. */
const OWN = '';

/** What goes next: a waiting task, or the first of those held elsewhere. */
interface Next extends Place {
  readonly fairKey: string;
  readonly weight: number;
  readonly record: TaskRecord | null;
}

/** Gates and turns for claims that choose among waiting tasks by their ids. By the book, and slow. */
export class TurnTaking {
  readonly #tasks: TaskStore;
  #at = 0;
  readonly #ends = new Map<string, number>();

  constructor(tasks: TaskStore) {
    this.#tasks = tasks;
  }

  /** Whether neither its gates nor those of its kind keep the task back. */
  async admits(record: TaskRecord, now: number): Promise<boolean> {
    for (const { key, weight } of limitsOf(record)) {
      const [gate] = await this.#tasks.gates([key]);
      if (gate && obstacleAt(gate, weight, now) !== null) return false;
    }
    return true;
  }

  /** The first of those that wait, in order, and of `held`; null with none. */
  async next(waiting: readonly TaskRecord[], held: Place | undefined, now: number): Promise<Next | null> {
    const candidates: Next[] = held ? [{ ...held, fairKey: OWN, weight: 1, record: null }] : [];
    const lanes = new Set<string>();
    for (const record of waiting) {
      const lane = laneKey(record);
      if (lanes.has(lane)) continue;
      lanes.add(lane);
      const { rank, seq, quota } = record;
      const turn = { fairKey: quota?.fairKey ?? OWN, weight: quota?.fairWeight ?? 1 };
      if (await this.admits(record, now)) candidates.push({ rank, seq, ...turn, record });
    }
    const isFair = waiting.some(({ quota }) => quota?.fairKey);
    return candidates.sort((a, b) => (isFair && this.#turnOf(a) - this.#turnOf(b)) || order(a, b))[0] ?? null;
  }

  served(next: Next, waiting: readonly TaskRecord[]): void {
    if (!waiting.some(({ quota }) => quota?.fairKey)) return;
    this.#at = this.#turnOf(next);
    this.#ends.set(next.fairKey, turnEnd(this.#at, next.weight));
  }

  #turnOf({ fairKey }: Next): number {
    return turnOf({ at: this.#at, ends: this.#ends }, fairKey);
  }
}

function limitsOf(record: TaskRecord) {
  const kinds = kindGates(record).map((key) => ({ key, weight: 1 }));
  return [...kinds, ...(record.quota?.limits ?? [])];
}

function order(a: Place, b: Place): number {
  return isAfter(a, b) ? 1 : -1;
}
