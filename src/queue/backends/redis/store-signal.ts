import { systemClock } from '../../../clock.ts';
import type { RedisConnection } from '../../../redis/redis-connection.ts';
import type { ScriptRunner } from './script-runner.ts';

/** Others publish for whoever told within this time that it listens. */
const LISTENING_MS = 90_000;
const RENEW_MS = 30_000;

/** Hints by pub/sub that another store object wrote. Costs nothing until somebody listens. */
export class StoreSignal {
  readonly #connection: RedisConnection;
  readonly #scripts: ScriptRunner;
  readonly #listeners = new Set<(isNew: boolean, isRecall: boolean) => void>();
  #unsubscribe: (() => void) | undefined;
  #renewal: unknown;
  #isClosed = false;

  constructor(connection: RedisConnection, scripts: ScriptRunner) {
    this.#connection = connection;
    this.#scripts = scripts;
  }

  get isWatched(): boolean {
    return this.#listeners.size > 0;
  }

  watch(listener: (isNew: boolean, isRecall: boolean) => void): () => void {
    const own = (isNew: boolean, isRecall: boolean) => listener(isNew, isRecall);
    this.#listeners.add(own);
    this.#start();
    return () => {
      this.#listeners.delete(own);
      if (this.#listeners.size === 0) this.#stop();
    };
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    this.#listeners.clear();
    const wasListening = this.#unsubscribe !== undefined;
    this.#stop();
    if (wasListening) await this.#connection.lastly(() => this.#tell(0));
  }

  #start(): void {
    if (this.#unsubscribe) return;
    const { instance } = this.#scripts;
    this.#unsubscribe = this.#connection.subscribe(
      this.#scripts.key('task_notifications'),
      (message) => {
        const isRecall = message.startsWith('recall ');
        // What is recalled is recalled from this process too.
        if (isRecall || !message.endsWith(instance)) this.hint(!message.startsWith('updated '), isRecall);
      },
      () => void this.#listen(),
    );
  }

  #stop(): void {
    this.#unsubscribe?.();
    this.#unsubscribe = undefined;
    if (this.#renewal !== undefined) systemClock.clearTimeout(this.#renewal);
    this.#renewal = undefined;
  }

  /** The subscription has begun: from now on others shall publish, and what they wrote before is looked for. */
  async #listen(): Promise<void> {
    if (this.#renewal !== undefined) systemClock.clearTimeout(this.#renewal);
    this.#renewal = undefined;
    if (!this.#unsubscribe) return;
    // A failure is made good by the next renewal; until then there is polling.
    await this.#tell(LISTENING_MS).catch(() => {});
    if (!this.#unsubscribe || this.#isClosed) return;
    this.#renew();
    this.hint(true);
  }

  /** One at a time: two gaps in a row both come here. */
  #renew(): void {
    if (this.#renewal !== undefined) systemClock.clearTimeout(this.#renewal);
    this.#renewal = systemClock.setTimeout(() => {
      void this.#tell(LISTENING_MS).catch(() => {});
      this.#renew();
    }, RENEW_MS);
  }

  async #tell(ms: number): Promise<void> {
    await this.#scripts.run('watch', { now: '', values: [ms] });
  }

  /** Tells the listeners here, whoever wrote. `isNew`: there may be something to claim; `isRecall`: see `HoldingStore`. */
  hint(isNew = true, isRecall = false): void {
    for (const listener of this.#listeners) listener(isNew, isRecall);
  }
}
