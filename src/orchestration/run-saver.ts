import { isFenced } from '../checkpoint/fence.ts';
import type { Checkpointer, CheckpointRecord, GraphConfig } from './graph.ts';
import { AGENT_KEY, GRAPH_KEY } from './graph-fingerprint.ts';
import { WRITER_KEY } from './shared-thread.ts';
import type { StoreErrors } from './store-errors.ts';

/** The part of a saver that writes. */
interface Writer extends Checkpointer {
  put(config: GraphConfig, checkpoint: { readonly id: string }, ...rest: PutRest): Promise<unknown>;
  putWrites(config: GraphConfig, ...rest: unknown[]): Promise<void>;
}
type Metadata = Readonly<Record<string, unknown>>;
/** What a run leaves in the metadata of its checkpoints. */
interface CheckpointMarks {
  /** The hash of its graph. */
  readonly graph?: string;
  readonly agent?: string;
  /** The task, on a shared thread. */
  readonly writer?: string | undefined;
  /** The task for which a checkpoint of another was put on this thread. */
  readonly fork?: string;
}

/** Where a checkpoint's metadata says for which task it was copied: that one begins there. */
export const FORK_KEY = 'jotty_fork';

type PutRest = [metadata: Metadata, versions: unknown];

/**
 * A saver as one run sees it, with two waits less than LangGraph would make of it:
 *
 * - The run looks for the thread's checkpoint before it starts, and LangGraph once more. What was not there
 *   then is not there a moment later: the thread is this run's alone.
 * - LangGraph hands over a checkpoint when the one before is stored, also between the input's and the next,
 *   though no node starts before that next one. So the input's is confirmed at once, and every later write
 *   only together with it: where they share a commit, one disk sync serves both.
 *
 * The second holds for Jotty's savers, which store in the order asked.
 */
export class RunSaver {
  /** What the graph is given. All but three methods are the saver's own. */
  readonly checkpointer: Checkpointer;
  readonly #saver: Writer;
  readonly #errors: StoreErrors | undefined;
  readonly #isOrdered: boolean;
  #isKnownEmpty = false;
  /** The inputs' checkpoints that are not stored yet, or one that never will be. */
  #input: Promise<void> | undefined;
  #failure: { readonly error: unknown } | undefined;

  readonly #onStep: (() => Promise<void>) | undefined;
  readonly #isShared: boolean;
  readonly #marks: Metadata;

  /** Its errors are remembered by `errors`. Checkpoints are marked as those of `writer`, and of this version of the graph. */
  constructor(
    saver: Checkpointer,
    errors?: StoreErrors,
    { graph, agent, writer, fork }: CheckpointMarks = {},
    onStep?: () => Promise<void>,
  ) {
    this.#onStep = onStep;
    this.#isShared = writer !== undefined;
    this.#marks = {
      ...(graph !== undefined && { [GRAPH_KEY]: graph }),
      ...(agent !== undefined && { [AGENT_KEY]: agent }),
      ...(writer !== undefined && { [WRITER_KEY]: writer }),
      ...(fork !== undefined && { [FORK_KEY]: fork }),
    };
    this.#saver = saver as Writer;
    this.#errors = errors;
    this.#isOrdered = isFenced(saver);
    this.checkpointer = new Proxy(saver, { get: (_, key) => this.#property(key) });
  }

  /** Resolves when all that was confirmed is stored. */
  async stored(): Promise<void> {
    await this.#input;
  }

  #property(key: string | symbol): unknown {
    switch (key) {
      case 'getTuple':
        return this.#getTuple;
      case 'put':
        return this.#put;
      case 'putWrites':
        return this.#putWrites;
    }
    const value: unknown = Reflect.get(this.#saver, key);
    if (typeof value !== 'function' || key === 'constructor') return value;
    return (...args: unknown[]) => this.#watched(value.apply(this.#saver, args));
  }

  #watched<T>(result: T): T;
  #watched(result: unknown): unknown {
    return result instanceof Promise && this.#errors !== undefined ? this.#errors.from(result) : result;
  }

  readonly #getTuple = async (config: GraphConfig): Promise<CheckpointRecord | undefined> => {
    const { checkpoint_ns: namespace, checkpoint_id: id } = config.configurable;
    const isLatest = !namespace && !id;
    if (isLatest && this.#isKnownEmpty) return undefined;
    const found = await this.#watched(this.#saver.getTuple(config));
    // On a shared thread somebody else may have been faster.
    if (isLatest) this.#isKnownEmpty = found === undefined && !this.#isShared;
    return found;
  };

  readonly #put: Writer['put'] = (config, checkpoint, metadata, versions) => {
    if (this.#failure !== undefined) return Promise.reject(this.#failure.error);
    this.#isKnownEmpty = false;
    const marked = { ...metadata, ...this.#marks };
    const stored = this.#watched(this.#saver.put(config, checkpoint, marked, versions));
    if (this.#onStep !== undefined && isStep(metadata)) return this.#counted(this.#withInput(stored));
    if (!this.#isOrdered || !isInputOnly(metadata)) return this.#withInput(stored);
    this.#keep(stored);
    const { thread_id, checkpoint_ns = '' } = config.configurable;
    return Promise.resolve({ configurable: { thread_id, checkpoint_ns, checkpoint_id: checkpoint.id } });
  };

  readonly #putWrites: Writer['putWrites'] = (...args) => {
    if (this.#failure !== undefined) return Promise.reject(this.#failure.error);
    return this.#withInput(this.#watched(this.#saver.putWrites(...args)));
  };

  async #counted<T>(stored: Promise<T>): Promise<T> {
    const result = await stored;
    await this.#onStep?.();
    return result;
  }

  #keep(stored: Promise<unknown>): void {
    const input = Promise.all([this.#input, stored]).then(
      () => {
        if (this.#input === input) this.#input = undefined;
      },
      (error: unknown) => {
        this.#failure = { error };
        throw error;
      },
    );
    input.catch(() => {});
    this.#input = input;
  }

  #withInput<T>(stored: Promise<T>): Promise<T> {
    const input = this.#input;
    return input === undefined ? stored : Promise.all([stored, input]).then(([result]) => result);
  }
}

/** Nodes have run: step 0 takes in the input. */
function isStep({ source, step }: Metadata): boolean {
  return source === 'loop' && typeof step === 'number' && step > 0;
}

/**
 * Not of a graph with delta channels: such a channel is rebuilt from all checkpoints before, and one stored
 * without its predecessor would be short for good.
 */
function isInputOnly(metadata: Metadata): boolean {
  const hasDeltas = 'delta_writes_versioned' in metadata || 'counters_since_delta_snapshot' in metadata;
  return metadata.source === 'input' && !hasDeltas;
}
