import { readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { SqliteDatabase } from '../../src/sqlite/sqlite-database.ts';
import { addNote, notesIn, Workbench } from './notes.ts';

test('a database in memory has nothing to copy, and says so', async () => {
  const database = SqliteDatabase.open(':memory:', { components: [] });
  await expect(database.backup('/tmp/copy.db')).rejects.toMatchObject({ code: 'INVALID_OPTION' });
  await database.close();
});

test('a backup of a live database is the state of one moment and opens by itself', async () => {
  await using bench = new Workbench();
  const database = bench.open();
  const big = 'x'.repeat(20_000);
  for (let i = 0; i < 20; i++) {
    await Promise.all(Array.from({ length: 20 }, (_, j) => database.write(addNote(`${i} ${j} ${big}`))));
  }
  const copy = join(bench.folder, 'backups', 'copy.db');
  let writing = true;
  const writes = (async () => {
    for (let i = 0; writing; i++)
      await Promise.all([database.write(addNote(`left ${i}`)), database.write(addNote(`right ${i}`))]);
  })();

  await database.backup(copy);
  writing = false;
  await writes;

  const restored = bench.open({}, copy);
  expect(restored.storeId).toBe(database.storeId);
  const notes = notesIn(restored);
  expect(notes.slice(0, 400)).toEqual(notesIn(database).slice(0, 400));
  expect(notes.filter((note) => note.startsWith('left')).length).toBe(
    notes.filter((note) => note.startsWith('right')).length,
  );
  expect(restored.read(({ raw }) => raw.pragma('integrity_check', { simple: true }))).toBe('ok');
});

test('an existing target is refused and stays as it is', async () => {
  await using bench = new Workbench();
  const database = bench.open();
  const target = join(bench.folder, 'taken.db');
  writeFileSync(target, 'mine');

  await expect(database.backup(target)).rejects.toMatchObject({ code: 'INVALID_OPTION' });
  await expect(database.backup(bench.path)).rejects.toMatchObject({ code: 'INVALID_OPTION' });
  expect(readdirSync(bench.folder).filter((name) => name.includes('.new-'))).toEqual([]);
});
