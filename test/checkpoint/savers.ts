import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { IncrementalSaver } from '../../src/checkpoint/incremental-saver.ts';
import { FencedMemorySaver } from '../../src/checkpoint/memory-saver.ts';
import { SQLiteSaver } from '../../src/checkpoint/sqlite-saver.ts';

/** A saver of either kind with what it needs; disposing removes it. */
export class SaverBench {
  readonly folder = mkdtempSync(join(tmpdir(), 'jotty-checkpoint-'));
  readonly path = join(this.folder, 'state.db');
  readonly #opened: SQLiteSaver[] = [];

  sqlite(path = this.path): SQLiteSaver {
    const saver = new SQLiteSaver({ path });
    this.#opened.push(saver);
    return saver;
  }

  of(kind: SaverKind): IncrementalSaver {
    return kind === 'sqlite' ? this.sqlite() : new FencedMemorySaver();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const saver of this.#opened) await saver.close();
    rmSync(this.folder, { recursive: true, force: true });
  }
}

export type SaverKind = 'sqlite' | 'memory';
export const KINDS: readonly SaverKind[] = ['sqlite', 'memory'];
