import type { BaseChannel } from '@langchain/langgraph';

/** Makes the next value of an update; `current` is undefined before the first. */
export type Fold<Value, Update> = (current: Value | undefined, update: Update) => Value;

/** LangGraph's `Overwrite`, as it is stored. */
const OVERWRITE = '__overwrite__';

/**
 * A LangGraph channel that folds its updates one by one, in the order of the graph's tasks. LangGraph knows
 * channels by their shape, so that making one loads nothing of it. Unlike `BinaryOperatorAggregate` it hands the
 * first update to the fold as well.
 */
export function foldChannel<Value, Update>(
  fold: Fold<Value, Update>,
  initial?: () => Value,
): BaseChannel<Value, Update, Value> {
  return new FoldChannel(fold, initial) as unknown as BaseChannel<Value, Update, Value>;
}

class FoldChannel<Value, Update> {
  readonly lc_graph_name = 'FoldChannel';
  readonly lg_is_channel = true;
  readonly fold: Fold<Value, Update>;
  readonly initial: (() => Value) | undefined;
  value: Value | undefined;

  constructor(fold: Fold<Value, Update>, initial: (() => Value) | undefined) {
    this.fold = fold;
    this.initial = initial;
    this.value = initial?.();
  }

  fromCheckpoint(saved?: Value): FoldChannel<Value, Update> {
    const channel = new FoldChannel(this.fold, this.initial);
    if (saved !== undefined) channel.value = saved;
    return channel;
  }

  update(updates: readonly Update[]): boolean {
    for (const update of updates) {
      this.value = isOverwrite<Value>(update) ? update[OVERWRITE] : this.fold(this.value, update);
    }
    return updates.length > 0;
  }

  get(): Value {
    if (this.value === undefined) throw new EmptyChannelError();
    return this.value;
  }

  checkpoint(): Value {
    return this.get();
  }

  isAvailable(): boolean {
    return this.value !== undefined;
  }

  consume(): boolean {
    return false;
  }

  finish(): boolean {
    return false;
  }

  equals(other: unknown): boolean {
    return other instanceof FoldChannel && other.fold === this.fold;
  }
}

/** LangGraph tells it by its name. */
class EmptyChannelError extends Error {
  constructor() {
    super('the channel is empty');
    this.name = 'EmptyChannelError';
  }
}

function isOverwrite<Value>(update: unknown): update is { readonly [OVERWRITE]: Value } {
  return typeof update === 'object' && update !== null && OVERWRITE in update;
}
