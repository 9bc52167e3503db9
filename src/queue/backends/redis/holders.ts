import { systemClock } from '../../../clock.ts';
import { ALIVE_MS, givenBack } from '../../given-back.ts';
import type { ScriptRunner } from './script-runner.ts';

/** The nodes that hold tasks of the queue ahead (holding-store.ts). What lets less through resolves after they gave it back. */
export class Holders {
  readonly #scripts: ScriptRunner;
  readonly #isOver: () => boolean;

  /** `isOver`: from then on nobody is waited for. */
  constructor(scripts: ScriptRunner, isOver: () => boolean) {
    this.#scripts = scripts;
    this.#isOver = isOver;
  }

  readonly all = async (): Promise<number> =>
    (await this.#scripts.run('nodes', { now: '' })) as unknown as number;

  /** Those that have yet to give back what was called back. */
  readonly recalled = async (): Promise<number> =>
    (await this.#scripts.run('nodes', { now: '', values: ['1'] })) as unknown as number;

  /** Resolves when these have given back what they hold, or were silent for as long as their holds last. */
  givenBack(count: () => Promise<number>): Promise<void> {
    return givenBack({ count, clock: systemClock, isOver: this.#isOver });
  }

  /** What this resolves to is stored, whether all who live have given back or not. */
  async after<T>(stored: Promise<T>): Promise<T> {
    const answer = await stored;
    const recall = { count: this.recalled, clock: systemClock, isOver: this.#isOver, msMax: ALIVE_MS };
    await givenBack(recall).catch(() => {});
    return answer;
  }
}
