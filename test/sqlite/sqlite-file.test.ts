import { spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  copyFileSync,
  existsSync,
  readdirSync,
  readFileSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import type { BetterSqlite3Database } from '../../src/sqlite/better-sqlite3.ts';
import { addNote, NEWER_NOTES, notesIn, Workbench } from './notes.ts';

const BetterSqlite3 = createRequire(import.meta.url)('better-sqlite3') as new (
  path: string,
) => BetterSqlite3Database;
const CREATOR = fileURLToPath(new URL('./creator.ts', import.meta.url));

const corrupt = (reason: RegExp) =>
  expect.objectContaining({ code: 'STORE_CORRUPT', message: expect.stringMatching(reason) });
const startCreator = (path: string) =>
  spawn(process.execPath, ['--import', 'tsx', CREATOR, path], { stdio: ['ignore', 'pipe', 'inherit'] });

/** A closed file with enough in it to be damaged. */
async function filled(bench: Workbench): Promise<string> {
  const database = bench.open();
  await Promise.all(
    Array.from({ length: 300 }, (_, i) => database.write(addNote(`${i} ${'x'.repeat(200)}`))),
  );
  await database.close();
  return bench.path;
}

test('a new file is created with its folders, and keeps its store id', async () => {
  await using bench = new Workbench();
  const path = join(bench.folder, 'a', 'b', 'tasks.db');
  const first = bench.open({}, path);
  const { storeId } = first;
  await first.close();

  expect(readdirSync(join(bench.folder, 'a', 'b'))).toEqual(['tasks.db']);
  expect(storeId).toMatch(/^[0-9a-f-]{36}$/);
  expect(bench.open({}, path).storeId).toBe(storeId);
});

test('an empty file is refused and stays empty', async () => {
  await using bench = new Workbench();
  writeFileSync(bench.path, '');
  expect(() => bench.open()).toThrow(corrupt(/is empty \(0 bytes\)/));
  expect(readFileSync(bench.path)).toHaveLength(0);
});

test('another program’s database is refused and left untouched', async () => {
  await using bench = new Workbench();
  const other = new BetterSqlite3(bench.path);
  other.exec('CREATE TABLE theirs (x)');
  other.close();
  const before = readFileSync(bench.path);

  expect(() => bench.open()).toThrow(corrupt(/another program/));
  expect(readFileSync(bench.path).equals(before)).toBe(true);
  expect(readdirSync(bench.folder)).toEqual(['notes.db']);
});

test('a damaged header, a text file and half a file are refused', async () => {
  await using bench = new Workbench();
  const path = await filled(bench);
  const good = readFileSync(path);

  writeFileSync(path, Buffer.concat([Buffer.alloc(16), good.subarray(16)]));
  expect(() => bench.open()).toThrow(corrupt(/header is damaged/));
  writeFileSync(path, 'these are not the tasks you are looking for');
  expect(() => bench.open()).toThrow(corrupt(/not a SQLite database/));
  writeFileSync(path, good);
  truncateSync(path, Math.floor(good.length / 2));
  expect(() => bench.open()).toThrow(corrupt(/cut short, \d+ pages are missing/));
});

test('damage inside is STORE_CORRUPT when it is met, by reads and by writes', async () => {
  await using bench = new Workbench();
  const path = await filled(bench);
  const bytes = readFileSync(path);
  bytes.fill(0xa5, 3 * 4096);
  writeFileSync(path, bytes);
  const database = bench.open();

  expect(() => notesIn(database)).toThrow(corrupt(/is damaged/));
  await expect(database.write(addNote('zzz'))).rejects.toMatchObject({ code: 'STORE_CORRUPT' });
});

test('a lost meta table is refused', async () => {
  await using bench = new Workbench();
  const path = await filled(bench);
  const raw = new BetterSqlite3(path);
  raw.exec('DROP TABLE jotty_meta');
  raw.close();
  expect(() => bench.open()).toThrow(corrupt(/lost its meta table/));
});

test('a newer schema is refused and nothing is changed; an older one is brought up', async () => {
  await using bench = new Workbench();
  const old = bench.open();
  await old.write(addNote('kept'));
  await old.close();
  const newer = bench.open({ components: [NEWER_NOTES] });
  expect(notesIn(newer)).toEqual(['kept']);
  await newer.close();

  expect(() => bench.open()).toThrow(expect.objectContaining({ code: 'SCHEMA_TOO_NEW' }));
  expect(notesIn(bench.open({ components: [NEWER_NOTES] }))).toEqual(['kept']);
});

test('a WAL without its database is refused instead of being replayed into a new one', async () => {
  await using bench = new Workbench();
  writeFileSync(`${bench.path}-wal`, 'left over');
  expect(() => bench.open()).toThrow(corrupt(/is missing but notes.db-wal is there/));
  expect(existsSync(bench.path)).toBe(false);
});

test('a WAL cut anywhere loses at most the last commits', async () => {
  await using bench = new Workbench();
  const database = bench.open();
  for (let i = 0; i < 20; i++) await database.write(addNote(`note ${i}`));
  const wal = readFileSync(`${bench.path}-wal`);
  for (const share of [0.1, 0.37, 0.5, 0.8, 0.99]) {
    const copy = join(bench.folder, `cut-${share}.db`);
    copyFileSync(bench.path, copy);
    writeFileSync(`${copy}-wal`, wal.subarray(0, Math.floor(wal.length * share)));
    const left = notesIn(bench.open({}, copy));
    expect(left).toEqual(left.map((_, i) => `note ${i}`));
  }
});

test('processes that create the same file at once all use the winner’s', async () => {
  await using bench = new Workbench();
  const creators = Array.from({ length: 3 }, () => startCreator(bench.path));
  const ids = await Promise.all(
    creators.map(async ({ stdout }) => String((await once(stdout, 'data'))[0]).trim()),
  );
  for (const creator of creators) creator.kill('SIGKILL');
  await Promise.all(creators.map((creator) => once(creator, 'exit')));

  expect(new Set(ids).size).toBe(1);
  expect(bench.open().storeId).toBe(ids[0]);
});

test('kill -9 in the middle of a creation leaves no file, or a whole one', async () => {
  await using bench = new Workbench();
  for (let round = 0; round < 4; round++) {
    const folder = join(bench.folder, String(round));
    const creator = spawn(process.execPath, ['--import', 'tsx', CREATOR, folder, 'many'], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    await once(creator.stdout, 'data');
    for (let turn = 0; turn < 5 + round * 7; turn++) await new Promise((resolve) => setImmediate(resolve));
    creator.kill('SIGKILL');
    await once(creator, 'exit');
    const made = readdirSync(folder).filter((name) => name.endsWith('.db'));
    for (const name of made) expect(notesIn(bench.open({}, join(folder, name)))).toEqual([]);
  }
});

test('what an abandoned creation left is removed by a later one', async () => {
  await using bench = new Workbench();
  const leftover = `${bench.path}.new-1-abandoned`;
  writeFileSync(leftover, 'half');
  utimesSync(leftover, 1_000, 1_000);
  writeFileSync(`${bench.path}.new-2-recent`, 'half');
  bench.open();
  expect(readdirSync(bench.folder).filter((name) => name.includes('.new-'))).toEqual([
    'notes.db.new-2-recent',
  ]);
});

test('a folder that cannot be made is STORE_UNAVAILABLE', async () => {
  await using bench = new Workbench();
  writeFileSync(join(bench.folder, 'file'), '');
  expect(() => bench.open({}, join(bench.folder, 'file', 'tasks.db'))).toThrow(
    expect.objectContaining({ code: 'STORE_UNAVAILABLE' }),
  );
});
