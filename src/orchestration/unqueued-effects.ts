import type { Clock } from '../clock.ts';
import { type Effect, withEffects } from '../queue/effects.ts';
import type { TaskAnswer } from '../queue/task.ts';
import { EffectLedger } from './effect-ledger.ts';

/** The effects of runs without a queue, by thread: in memory, until the run on that thread has completed. */
export class UnqueuedEffects {
  readonly #threads = new Map<string, readonly Effect[]>();

  ledger(threadId: string, answers: readonly TaskAnswer[], clock: Clock): EffectLedger {
    const write = async (effects: readonly Effect[]) => {
      this.#threads.set(threadId, withEffects(threadId, this.#threads.get(threadId) ?? [], effects));
    };
    return new EffectLedger({
      recorded: this.#threads.get(threadId) ?? [],
      answers,
      attempt: 1,
      clock,
      write,
    });
  }

  forget(threadId: string): void {
    this.#threads.delete(threadId);
  }
}
