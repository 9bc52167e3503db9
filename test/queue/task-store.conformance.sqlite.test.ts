import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'vitest';
import { SQLiteTaskStore, TASK_COMPONENT } from '../../src/queue/backends/sqlite/sqlite-task-store.ts';
import { SqliteDatabase } from '../../src/sqlite/sqlite-database.ts';
import { describeTaskStore } from '../../src/testing/task-store-conformance.ts';

const backend = {
  name: 'sqlite',
  durable: true,
  shared: true,
  async open() {
    const folder = await mkdtemp(join(tmpdir(), 'jotty-store-'));
    const stores: SQLiteTaskStore[] = [];
    const second = async () => {
      let database: SqliteDatabase | undefined;
      const open = () => {
        database ??= SqliteDatabase.open(join(folder, 'tasks.db'), { components: [TASK_COMPONENT] });
        return database;
      };
      stores.push(new SQLiteTaskStore(open));
      return stores.at(-1)!;
    };
    const closeAll = () => Promise.all(stores.splice(0).map((store) => store.close()));
    const reopen = async () => {
      await closeAll();
      return second();
    };
    const dispose = async () => {
      await closeAll();
      await rm(folder, { recursive: true });
    };
    return { store: await second(), second, reopen, dispose };
  },
};

describeTaskStore({ describe, test }, backend);
