import { type Clock, wait } from '../clock.ts';
import { StoreUnavailableError } from '../errors.ts';
import type { Effect } from '../queue/effects.ts';
import type { TaskAnswer } from '../queue/task.ts';

/** About half a minute in all. */
const END_TRIES_MAX = 12;
const END_WAIT_MS = 100;
const END_WAIT_MS_MAX = 5_000;

/** Stores records, all in one step; resolves when they are durable, rejects where the lease is lost. */
export type EffectWriter = (effects: readonly Effect[]) => Promise<void>;

export interface EffectLedgerOptions {
  /** What was recorded before this run. Nobody else records while it holds its lease. */
  readonly recorded: readonly Effect[];
  readonly answers: readonly TaskAnswer[];
  readonly attempt: number;
  readonly clock: Clock;
  readonly write: EffectWriter;
}

/** The effects of one task, as one run of it sees and records them. */
export class EffectLedger {
  readonly answers: readonly TaskAnswer[];
  readonly #attempt: number;
  readonly #clock: Clock;
  readonly #write: EffectWriter;
  readonly #effects: Map<string, Effect>;
  readonly #calls = new Map<string, Promise<unknown>>();
  #waiting: Effect[] = [];
  #written: Promise<void> = Promise.resolve();
  /** The step that takes along what waits. */
  #next: Promise<void> | undefined;

  constructor({ recorded, answers, attempt, clock, write }: EffectLedgerOptions) {
    this.answers = answers;
    this.#attempt = attempt;
    this.#clock = clock;
    this.#write = write;
    this.#effects = new Map(recorded.map((effect) => [effect.key, effect]));
  }

  /** As they stand now. */
  get recorded(): readonly Effect[] {
    return [...this.#effects.values()];
  }

  get(key: string): Effect | undefined {
    return this.#effects.get(key);
  }

  /** Of calls under one key at the same moment all get the end of the first. */
  single<T>(key: string, call: () => Promise<T>): Promise<T> {
    const begun = this.#calls.get(key) as Promise<T> | undefined;
    if (begun !== undefined) return begun;
    const end = call().finally(() => this.#calls.delete(key));
    this.#calls.set(key, end);
    return end;
  }

  start(key: string): Promise<Effect> {
    const starts = (this.#effects.get(key)?.starts ?? 0) + 1;
    return this.record({
      key,
      state: 'started',
      starts,
      startedAt: this.#clock.now(),
      attempt: this.#attempt,
    });
  }

  /** Of a call that has ended: what is not recorded now is in doubt for ever, so a store that is away is waited for. */
  async end(effect: Effect): Promise<Effect> {
    for (let tries = 1; ; tries++) {
      try {
        return await this.record(effect);
      } catch (error) {
        if (!(error instanceof StoreUnavailableError) || tries === END_TRIES_MAX) throw error;
        const waitMs = Math.min(END_WAIT_MS * 2 ** (tries - 1), END_WAIT_MS_MAX);
        await wait(this.#clock, waitMs);
      }
    }
  }

  /** Records of one moment are stored in one step, behind the one under way, however that ends. */
  async record(effect: Effect): Promise<Effect> {
    this.#waiting.push(effect);
    this.#next ??= this.#written.then(undefined, () => {}).then(() => this.#flush());
    await this.#next;
    return effect;
  }

  #flush(): Promise<void> {
    const effects = this.#waiting;
    this.#waiting = [];
    this.#next = undefined;
    this.#written = this.#write(effects).then(() => {
      for (const effect of effects) this.#effects.set(effect.key, effect);
    });
    return this.#written;
  }
}
