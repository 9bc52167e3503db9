import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'vitest';
import { SQLiteTaskStore, TASK_COMPONENT } from '../../../src/queue/backends/sqlite/sqlite-task-store.ts';
import { SqliteDatabase } from '../../../src/sqlite/sqlite-database.ts';
import { describeTaskStore } from '../../../src/testing/task-store-conformance.ts';

describeTaskStore(
  { describe, test },
  {
    name: 'SQLiteTaskStore',
    durable: true,
    shared: true,
    async open() {
      const folder = mkdtempSync(join(tmpdir(), 'jotty-store-'));
      const stores: SQLiteTaskStore[] = [];
      const open = () => {
        const store = new SQLiteTaskStore(() =>
          SqliteDatabase.open(join(folder, 'tasks.db'), { components: [TASK_COMPONENT] }),
        );
        stores.push(store);
        return store;
      };
      const closeAll = () => Promise.all(stores.splice(0).map((store) => store.close()));
      return {
        store: open(),
        second: async () => open(),
        reopen: async () => {
          await closeAll();
          return open();
        },
        dispose: async () => {
          await closeAll();
          rmSync(folder, { recursive: true });
        },
      };
    },
  },
);
