import { decodeState } from '../checkpoint/state-decoder.ts';
import { encodeState } from '../checkpoint/state-encoder.ts';
import type { Effect } from '../queue/effects.ts';
import type { AttemptInfo } from './agent.ts';
import type { Attempt } from './attempt.ts';
import type { Goal } from './goal.ts';
import type { Checkpointer } from './graph.ts';
import type { FromWorker, RunData, ToWorker } from './isolated-message.ts';
import { crashOf, type IsolatedUnit } from './isolated-unit.ts';
import type { ModulePlace } from './isolation.ts';
import { RemoteCalls } from './remote-meter.ts';
import { fromWire, toWire, type WireError } from './wire-error.ts';

/** What crosses to the other side, and what answers from there meet. */
export interface Crossing {
  readonly data: RunData;
  readonly info: AttemptInfo;
  readonly saver: Checkpointer | undefined;
  readonly attempt: Pick<Attempt, 'onChunk' | 'onCustom' | 'shared' | 'control' | 'callbacks' | 'onStep'>;
}

type Method = (...args: never[]) => Promise<unknown>;

const SAVER_METHODS = ['getTuple', 'put', 'putWrites', 'deleteThread', 'advanceFence', 'raiseFence'] as const;
/** Chunks are confirmed by so many. */
const CHUNKS_TAKEN = 100;

/**
 * One run in a thread or process, as this side sees it. The saver, the ledger of effects and the lease stay here: so
 * a fence is judged where it always is, one connection serves all runs, and what the other side may write ends
 * with its run, also where that side does not know it yet.
 */
export class IsolatedRun {
  readonly #unit: IsolatedUnit;
  readonly #crossing: Crossing;
  readonly #models: RemoteCalls;
  readonly #errors = new Map<number, unknown>();
  /** State is read in the order it came: a saver stores in the order asked. */
  #reading: Promise<unknown> = Promise.resolve();
  #lastRef = 0;
  #chunks = 0;
  #isOver = false;
  readonly #ended: Promise<unknown>;
  /** Resolves when none of its code runs any more, with whether the unit can be given another run. */
  readonly idle: Promise<boolean>;
  #end!: { readonly resolve: (value: unknown) => void; readonly reject: (error: unknown) => void };
  #setIdle!: (isFit: boolean) => void;

  constructor(unit: IsolatedUnit, crossing: Crossing) {
    this.#unit = unit;
    this.#crossing = crossing;
    this.#models = new RemoteCalls(() => crossing.attempt.callbacks!()[0]);
    this.#ended = new Promise((resolve, reject) => {
      this.#end = { resolve, reject };
    });
    this.#ended.catch(() => {});
    this.idle = new Promise((resolve) => {
      this.#setIdle = resolve;
    });
    void unit.exited.then((exit) => {
      this.#end.reject(crashOf(exit));
      this.#setIdle(false);
    });
  }

  /** What the agent came to, or what it threw. */
  async run({ url, export: name }: ModulePlace): Promise<unknown> {
    const { info, attempt, data } = this.#crossing;
    const { signal } = info;
    const abort = () => this.#post({ type: 'abort', error: this.#wireOf(signal.reason) });
    this.#unit.onMessage = (message) => this.#hear(message as FromWorker);
    let forget = () => {};
    try {
      this.#post({ type: 'run', url, export: name, data: encodeState(data) });
      if (signal.aborted) abort();
      else signal.addEventListener('abort', abort, { once: true });
      forget = attempt.control.onDrain((reason) => this.#post({ type: 'drain', reason }));
      return await this.#ended;
    } finally {
      this.#isOver = true;
      forget();
      // What of it runs on hears of an abort that comes now.
      void this.idle.then(() => signal.removeEventListener('abort', abort));
    }
  }

  #post(message: ToWorker): void {
    this.#unit.post(message);
  }

  #hear(message: FromWorker): void {
    switch (message.type) {
      case 'call':
        this.#reading = this.#reading.then(() => this.#answer(message.call, message.method, message.args));
        return;
      case 'chunk':
        this.#reading = this.#reading.then(() => this.#show(message));
        return;
      case 'token':
        this.#models.token(message.runId);
        return;
      case 'spend':
        if (!this.#isOver) this.#crossing.info.spend(message.key, message.weight);
        return;
      case 'end':
        this.#reading = this.#reading.then(() => this.#finish(message.end, message.error));
        return;
      case 'idle':
        // A call of a model that nobody waits for is code that runs on.
        this.#reading = this.#reading.then(() => this.#setIdle(!this.#models.areOpen));
    }
  }

  async #finish(end: string | undefined, error: WireError | undefined): Promise<void> {
    try {
      if (error !== undefined) this.#end.reject(await this.#revived(error));
      else this.#end.resolve(end === undefined ? undefined : await decodeState(end));
    } catch (unreadable) {
      this.#end.reject(unreadable);
    }
  }

  /** Resolves when the call is made, not when it is answered: those that come in one go share a commit. */
  async #answer(call: number, method: string, args: string): Promise<void> {
    const reply = (answer: object) => this.#post({ type: 'reply', call, ...answer });
    const fail = (error: unknown) => reply({ error: this.#wireOf(error) });
    try {
      const given = (await decodeState(args)) as never[];
      this.#methodOf(method)(...given)
        .then((value) => reply({ value: encodeState(value) }))
        .catch(fail);
    } catch (error) {
      fail(error);
    }
  }

  #methodOf(method: string): Method {
    const { info, saver, attempt } = this.#crossing;
    const [kind, name = ''] = method.split('.');
    // What a model has been called for is paid for, whatever has become of the run.
    if (kind === 'meter' && (name === 'end' || name === 'error')) return this.#metering(name);
    // The run is over for this side: whatever its zombie asks for is not done.
    if (info.signal.aborted) return () => Promise.reject(info.signal.reason);
    if (kind === 'meter' && (name === 'admit' || name === 'start')) return this.#metering(name);
    if (kind === 'saver') return saverMethod(saver, name);
    switch (method) {
      case 'effects':
        return (effects: readonly Effect[]) =>
          Promise.all(effects.map((effect) => info.effects.record(effect)));
      case 'children':
        return (goals: readonly Goal[]) => info.children!(goals);
      case 'step':
        return () => attempt.onStep!();
      case 'isSpent':
        return () => info.isSpent!();
      case 'isOpen':
        return (id: string) => attempt.shared!.isOpen(id);
      case 'confirmLease':
        return () => attempt.shared!.confirmLease();
      default:
        return () => Promise.reject(new TypeError(`there is no call ${method}`));
    }
  }

  #metering(name: 'admit' | 'start' | 'end' | 'error'): Method {
    return (...args) => (this.#models[name] as Method).apply(this.#models, args);
  }

  async #show({ mode, namespace, chunk }: Extract<FromWorker, { type: 'chunk' }>): Promise<void> {
    this.#chunks += 1;
    if (this.#chunks % CHUNKS_TAKEN === 0) this.#post({ type: 'taken', chunks: CHUNKS_TAKEN });
    if (this.#isOver) return;
    const { onChunk, onCustom } = this.#crossing.attempt;
    try {
      const shown = await decodeState(chunk);
      if (mode !== 'custom!') onChunk?.(namespace, mode, shown);
      else if (onCustom !== undefined) onCustom(shown);
      else onChunk?.(namespace, 'custom', shown);
    } catch {
      // A reader that is gone is no reason to stop the run.
    }
  }

  #wireOf(error: unknown): WireError {
    const ref = ++this.#lastRef;
    this.#errors.set(ref, error);
    return { ...toWire(error, () => undefined), ref };
  }

  /** One of this side's that went there and comes back is the same again: others know it by its identity. */
  async #revived(wire: WireError): Promise<unknown> {
    if (wire.ref !== undefined && this.#errors.has(wire.ref)) return this.#errors.get(wire.ref);
    const fields = wire.fields === undefined ? {} : await decodeState(wire.fields);
    const cause = wire.cause === undefined ? undefined : await this.#revived(wire.cause);
    return fromWire(wire, fields as object, () => cause);
  }
}

function saverMethod(saver: Checkpointer | undefined, name: string): Method {
  const methods = saver as unknown as Readonly<Record<string, (...args: unknown[]) => Promise<unknown>>>;
  if (name === 'list')
    return async (...args) => collected(methods.list!(...args) as unknown as AsyncIterable<unknown>);
  if (!(SAVER_METHODS as readonly string[]).includes(name) || typeof methods?.[name] !== 'function')
    return () => Promise.reject(new TypeError(`the saver has no ${name}`));
  return (...args) => methods[name]!(...args);
}

async function collected(items: AsyncIterable<unknown>): Promise<unknown[]> {
  const all: unknown[] = [];
  for await (const item of items) all.push(item);
  return all;
}
