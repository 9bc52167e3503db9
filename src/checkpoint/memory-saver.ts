import type { CheckpointRows } from './checkpoint-rows.ts';
import { IncrementalSaver } from './incremental-saver.ts';
import { MemoryRows } from './memory-rows.ts';

/** Checkpoints in memory, with fences and our serializer. They survive nothing: for tests, and beside the memory queue. */
export class FencedMemorySaver extends IncrementalSaver {
  readonly #rows = new MemoryRows();

  protected override async read<T>(look: (rows: CheckpointRows) => T): Promise<T> {
    return look(this.#rows);
  }

  /** The rows change synchronously and only after the fence passed, so a change is atomic. */
  protected override async write<T>(change: (rows: CheckpointRows) => T): Promise<T> {
    return change(this.#rows);
  }
}
