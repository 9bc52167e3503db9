import { expect } from 'vitest';
import type { TaskQueue } from '../../src/index.ts';
import type { InboxEntry } from '../../src/orchestration/inbox.ts';
import { decisionOf, isAskedEarly, type Plan } from './random-plans.ts';

/** Those who decide the approvals of one plan, as it says: some of them only when what they were shown is no longer so. */
export class People {
  /** How often the plan was run before. */
  life = 0;
  readonly #plan: Plan;
  readonly #queue: TaskQueue;
  readonly #changed = new Set<string>();

  constructor(plan: Plan, queue: TaskQueue) {
    this.#plan = plan;
    this.#queue = queue;
  }

  /** Decides what is asked, but for what is left to the clock. Returns how many were decided, or are asked anew. */
  async attend(entries: readonly InboxEntry[]): Promise<number> {
    let done = 0;
    for (const entry of entries) {
      expect(entry.kind).toBe('approval');
      if (entry.kind === 'approval' && (await this.#attendTo(entry))) done += 1;
    }
    return done;
  }

  async #attendTo({ taskId, workflow, hash }: InboxEntry & { kind: 'approval' }): Promise<boolean> {
    const i = Number(workflow!.ref.slice(1));
    const isEarly = isAskedEarly(this.#plan, i);
    const isStale = this.#plan.tasks[i]!.approval!.isChanged && !this.#changed.has(`${this.life} ${i}`);
    const { by, ...decision } = decisionOf(this.#plan, i, this.life);
    try {
      if (isStale) {
        await this.#queue.updateStatus(taskId, 'waiting', { metadata: { seen: this.life } });
        this.#changed.add(`${this.life} ${i}`);
      }
      if (by === 'timeout') return isStale;
      await this.#queue.decide(taskId, { ...decision, by, hash });
      expect(isStale, `${taskId} was decided by what it showed before`).toBe(false);
    } catch (error) {
      const { code } = error as { code?: string };
      if (code === 'INVALID_TRANSITION')
        expect((await this.#queue.getTask(taskId))?.status, taskId).toBe('cancelled');
      else if (code === 'STALE_APPROVAL') expect(isStale || isEarly, `${taskId} has changed`).toBe(true);
      else throw error;
    }
    return true;
  }
}
