/**
 * Child process: claims from the file until it is empty and prints the ids; or (`insert`) inserts one task as
 * soon as it is told a line.
 */
import { once } from 'node:events';
import { SQLiteTaskStore, TASK_COMPONENT } from '../../../src/queue/backends/sqlite/sqlite-task-store.ts';
import { SqliteDatabase } from '../../../src/sqlite/sqlite-database.ts';
import { aClaim, aRecord } from '../../../src/testing/task-store-cases/steps.ts';

const [path = '', owner = '', mode] = process.argv.slice(2);
const store = new SQLiteTaskStore(() => SqliteDatabase.open(path, { components: [TASK_COMPONENT] }));
await store.isPaused();
process.stdout.write('ready\n');
await once(process.stdin, 'data');
process.stdin.destroy();
if (mode === 'insert') {
  await store.insert([aRecord({ id: owner })], 0);
} else {
  for (;;) {
    const held = await store.claim(aClaim({ owner, limit: 7 }));
    if (held.length === 0) break;
    process.stdout.write(held.map((record) => `${record.id}\n`).join(''));
  }
}
await store.close();
