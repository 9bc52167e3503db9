/** Child process: creates one database and prints its store id, or (`many`) one after the other until it is killed. */
import { join } from 'node:path';
import { SqliteDatabase } from '../../src/sqlite/sqlite-database.ts';
import { NOTES } from './notes.ts';

const [path = '', mode] = process.argv.slice(2);
if (mode === 'many') {
  for (let i = 0; ; i++) {
    await SqliteDatabase.open(join(path, `${i}.db`), { components: [NOTES] }).close();
    if (i === 0) process.stdout.write('started\n');
  }
}
const database = SqliteDatabase.open(path, { components: [NOTES] });
process.stdout.write(`${database.storeId}\n`);
// Holds the file open until it is killed.
setInterval(() => undefined, 1_000);
