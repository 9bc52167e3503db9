import type { Clock } from '../clock.ts';
import type { AnalyticsLog } from './analytics-log.ts';
import type { Approvals } from './approvals.ts';
import type { Conditions } from './conditions.ts';
import type { Observers } from './observers.ts';
import type { Task } from './task.ts';
import type { Effects, TaskRecord, TaskStore, UnjudgedEdge } from './task-store.ts';

/** Edges that are judged at a time. */
const JUDGED_MAX = 100;

interface PropagationParts {
  readonly store: TaskStore;
  readonly clock: Clock;
  readonly leaseMs: number;
  readonly conditions: Conditions;
  readonly observers: Observers;
  readonly approvals: Approvals;
  readonly log: AnalyticsLog;
  readonly view: (record: TaskRecord) => Task;
}

/** What an ending does to the tasks that depend on it. */
export class Propagation {
  readonly #parts: PropagationParts;

  constructor(parts: PropagationParts) {
    this.#parts = parts;
  }

  /** Judges what nobody has judged yet. */
  judge(): Promise<void> {
    return this.follow({ released: [], skipped: [], unjudged: true });
  }

  /**
   * Wakes who waits for the tasks that an ending, of `endedId` where it was one, released or skipped, and judges what
   * only this layer can judge.
   */
  async follow(effects: Effects, endedId?: string): Promise<void> {
    const { store, clock, observers, approvals, log } = this.#parts;
    let { released, skipped, unjudged } = effects;
    for (;;) {
      if (released.length > 0) {
        observers.emit('available', undefined);
        await approvals.openExpected();
      }
      log.skipped(skipped.length);
      await observers.tellLatest(skipped);
      await observers.tellWaiters(skipped);
      if (!unjudged) return;
      const verdicts = await this.#verdicts(endedId);
      if (verdicts.length === 0) return;
      ({ released, skipped } = await store.judge(verdicts, clock.now()));
      unjudged = true;
    }
  }

  async #verdicts(endedId: string | undefined) {
    const { store, conditions, view } = this.#parts;
    const edges = await store.unjudged(JUDGED_MAX);
    if (edges.length === 0) return [];
    const dependencies = await store.get(edges.map((edge) => edge.dependencyId));
    return edges.flatMap((edge, i) => {
      const dependency = dependencies[i] ?? null;
      if (edge.dependencyId !== endedId && this.#isForOthers(edge, dependency)) return [];
      return [conditions.judge(edge, dependency && view(dependency))];
    });
  }

  /**
   * An edge that came up here by chance, while whoever settled its dependency is about to judge it: a process
   * that does not know the condition would fail it. Once that one can be taken for dead, somebody must.
   */
  #isForOthers({ condition }: UnjudgedEdge, dependency: TaskRecord | null): boolean {
    const { clock, conditions, leaseMs } = this.#parts;
    if (conditions.knows(condition)) return false;
    return clock.now() - (dependency?.completedAt ?? 0) < leaseMs;
  }
}

export function isQuiet({ released, skipped, unjudged }: Effects): boolean {
  return released.length === 0 && skipped.length === 0 && !unjudged;
}
