import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { deltaChannelHistoryTests, validate } from '@langchain/langgraph-checkpoint-validation';
import { SQLiteSaver } from '../../src/checkpoint/sqlite-saver.ts';

const paths = new WeakMap<SQLiteSaver, string>();

const initializer = {
  checkpointerName: 'jotty SQLiteSaver',
  createCheckpointer() {
    const path = join(mkdtempSync(join(tmpdir(), 'jotty-saver-')), 'state.db');
    const saver = new SQLiteSaver({ path });
    paths.set(saver, path);
    return saver;
  },
  async destroyCheckpointer(saver: SQLiteSaver) {
    await saver.close();
    rmSync(dirname(paths.get(saver)!), { recursive: true, force: true });
  },
};

validate(initializer);
deltaChannelHistoryTests(initializer);
