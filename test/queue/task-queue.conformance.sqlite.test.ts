import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'vitest';
import { SQLiteTaskQueue } from '../../src/queue/backends/sqlite/sqlite-task-queue.ts';
import { SQLiteTaskStore, TASK_COMPONENT } from '../../src/queue/backends/sqlite/sqlite-task-store.ts';
import { StoredTaskQueue } from '../../src/queue/stored-task-queue.ts';
import { SqliteDatabase } from '../../src/sqlite/sqlite-database.ts';
import { describeTaskQueue } from '../../src/testing/task-queue-conformance.ts';

describeTaskQueue(
  { describe, test },
  {
    name: 'sqlite',
    durable: true,
    shared: true,
    async open() {
      const folder = await mkdtemp(join(tmpdir(), 'jotty-queue-'));
      const path = join(folder, 'tasks.db');
      return {
        queue: (options) => new SQLiteTaskQueue({ ...options, path }),
        wrapped(options, wrap) {
          let database: SqliteDatabase | undefined;
          const open = () => {
            database ??= SqliteDatabase.open(path, { components: [TASK_COMPONENT] });
            return database;
          };
          return new StoredTaskQueue(wrap(new SQLiteTaskStore(open)), options);
        },
        dispose: () => rm(folder, { recursive: true }),
      };
    },
  },
);
