import { readdirSync } from 'node:fs';
import { createRequire } from 'node:module';
import { expect, test } from 'vitest';
import { CHECKPOINT_COMPONENT } from '../../src/checkpoint/component.ts';
import type { BetterSqlite3Database } from '../../src/sqlite/better-sqlite3.ts';
import { refuseUnsafeVersion } from '../../src/sqlite/better-sqlite3.ts';
import { addNote, NOTES, notesIn, Workbench } from './notes.ts';

const BetterSqlite3 = createRequire(import.meta.url)('better-sqlite3') as new (
  path: string,
) => BetterSqlite3Database;

test('writes asked for in one turn share one commit, in the order asked', async () => {
  await using bench = new Workbench();
  // The clock on the wall would count what the machine does beside.
  const database = bench.open({ stopwatch: () => 0 });
  const before = database.commitCount;
  const texts = Array.from({ length: 500 }, (_, i) => `note ${i}`);

  const answers = await Promise.all(texts.map((text) => database.write(addNote(text))));

  expect(answers).toEqual(texts);
  expect(notesIn(database)).toEqual(texts);
  expect(database.commitCount - before).toBe(1);
});

test('a batch that takes too long is cut into several commits', async () => {
  await using bench = new Workbench();
  let ms = 0;
  const database = bench.open({ stopwatch: () => ms });
  const before = database.commitCount;
  const slow = (): void => {
    ms += 15;
  };

  await Promise.all([1, 2, 3, 4].map(() => database.write(slow)));

  expect(database.commitCount - before).toBe(2);
});

test('an operation that throws fails alone', async () => {
  await using bench = new Workbench();
  const database = bench.open();

  const [first, second, third] = await Promise.allSettled([
    database.write(addNote('a')),
    database.write(() => {
      throw new Error('refused');
    }),
    database.write(addNote('b')),
  ]);

  expect([first?.status, second?.status, third?.status]).toEqual(['fulfilled', 'rejected', 'fulfilled']);
  expect(notesIn(database)).toEqual(['a', 'b']);
});

test('with a savepoint an operation that throws after writing leaves nothing behind', async () => {
  await using bench = new Workbench();
  const database = bench.open();

  const results = await Promise.allSettled([
    database.write(addNote('a')),
    database.write(
      (connection) => {
        addNote('half')(connection);
        throw new Error('too late');
      },
      { savepoint: true },
    ),
    database.write(addNote('b'), { savepoint: true }),
  ]);

  expect(results.map((result) => result.status)).toEqual(['fulfilled', 'rejected', 'fulfilled']);
  expect(notesIn(database)).toEqual(['a', 'b']);
});

test('a full disk fails the whole batch, and the database goes on when there is space', async () => {
  await using bench = new Workbench();
  const database = bench.open();
  const limitPages = (pages: number) => database.read(({ raw }) => raw.pragma(`max_page_count = ${pages}`));
  limitPages(1); // cannot go below the present size

  const results = await Promise.allSettled([
    database.write(addNote('small')),
    database.write(addNote('x'.repeat(1_000_000))),
  ]);
  limitPages(1_000_000);

  expect(results.map((result) => (result as PromiseRejectedResult).reason.code)).toEqual(
    Array(2).fill('STORE_UNAVAILABLE'),
  );
  expect(notesIn(database)).toEqual([]);
  await database.write(addNote('again'));
  expect(notesIn(database)).toEqual(['again']);
});

test('while another process holds the lock, writes wait without blocking the loop, and follow in order', async () => {
  await using bench = new Workbench();
  const database = bench.open();
  const other = new BetterSqlite3(bench.path);
  const worstGapsMs: number[] = [];
  // A busy machine may take its time once; a write that blocks does so each time.
  for (const [a, b] of [
    ['a', 'b'],
    ['c', 'd'],
    ['e', 'f'],
  ] as const) {
    other.exec('BEGIN IMMEDIATE');
    const writes = Promise.all([database.write(addNote(a)), database.write(addNote(b))]);
    worstGapsMs.push(await worstGapMs());
    other.exec('COMMIT');
    await writes;
  }
  other.close();
  expect(notesIn(database)).toEqual(['a', 'b', 'c', 'd', 'e', 'f']);
  expect(Math.min(...worstGapsMs)).toBeLessThan(100);
});

/** Of 200 turns of the event loop. */
async function worstGapMs(): Promise<number> {
  let worst = 0;
  for (let turn = 0, last = performance.now(); turn < 200; turn++) {
    await new Promise((resolve) => setImmediate(resolve));
    worst = Math.max(worst, performance.now() - last);
    last = performance.now();
  }
  return worst;
}

test('a lock held past the deadline is STORE_UNAVAILABLE, and later writes succeed', async () => {
  await using bench = new Workbench();
  const database = bench.open({ busyDeadlineMs: 30 });
  const other = new BetterSqlite3(bench.path);
  other.exec('BEGIN IMMEDIATE');

  await expect(database.write(addNote('a'))).rejects.toMatchObject({
    code: 'STORE_UNAVAILABLE',
    retryable: true,
  });
  other.exec('ROLLBACK');
  other.close();

  await database.write(addNote('b'));
  expect(notesIn(database)).toEqual(['b']);
});

test('a sliced write is one transaction over several turns, unseen before its commit', async () => {
  await using bench = new Workbench();
  const database = bench.open();
  let turns = 0;
  let watching = true;
  const seen = new Set<number>();
  const watch = (): void => {
    if (!watching) return;
    turns++;
    seen.add(notesIn(database).length);
    setImmediate(watch);
  };
  setImmediate(watch);

  const sliced = database.writeSliced(function* (connection) {
    for (let i = 0; i < 3_000; i++) {
      addNote(`sliced ${i}`)(connection);
      if (i % 100 === 99) {
        const until = performance.now() + 2;
        while (performance.now() < until);
        yield;
      }
    }
    return 'done';
  });
  const writes = Promise.all([database.write(addNote('after 1')), database.write(addNote('after 2'))]);

  expect(await sliced).toBe('done');
  expect(turns).toBeGreaterThan(2);
  await writes;
  watching = false;
  expect([...seen].every((count) => count === 0 || count >= 3_000)).toBe(true);
  expect(notesIn(database).slice(-2)).toEqual(['after 1', 'after 2']);
});

test('a sliced write that throws leaves nothing behind', async () => {
  await using bench = new Workbench();
  const database = bench.open();

  const sliced = database.writeSliced(function* (connection) {
    addNote('a')(connection);
    yield;
    throw new Error('refused');
  });
  const next = database.write(addNote('b'));

  await expect(sliced).rejects.toThrow('refused');
  await next;
  expect(notesIn(database)).toEqual(['b']);
});

test('every commit is synchronous=FULL', async () => {
  await using bench = new Workbench();
  const database = bench.open();
  await database.write(addNote('a'));

  expect(database.read(({ raw }) => raw.pragma('synchronous', { simple: true }))).toBe(2);
  expect(database.read(({ raw }) => raw.pragma('journal_mode', { simple: true }))).toBe('wal');
});

test('close waits for the writes in flight, can be repeated, and refuses what follows', async () => {
  await using bench = new Workbench();
  const database = bench.open();
  const write = database.write(addNote('last'));

  await Promise.all([database.close(), database.close()]);

  expect(await write).toBe('last');
  await expect(database.write(addNote('late'))).rejects.toMatchObject({ code: 'CLOSED' });
  expect(() => notesIn(database)).toThrow(expect.objectContaining({ code: 'CLOSED' }));
  expect(readdirSync(bench.folder)).toEqual(['notes.db']);
  expect(notesIn(bench.open())).toEqual(['last']);
});

test('holders let go in any order, and the last one closes', async () => {
  await using bench = new Workbench();
  const database = bench.open();
  const release = database.retain();

  await database.close();
  await database.write(addNote('still open'));
  await release();
  await release();

  await expect(database.write(addNote('late'))).rejects.toMatchObject({ code: 'CLOSED' });
});

test('a component is installed later into an open file that is being written', async () => {
  await using bench = new Workbench();
  const database = bench.open();
  expect(database.has(CHECKPOINT_COMPONENT)).toBe(false);

  await Promise.all([
    database.write(addNote('a')),
    database.install(CHECKPOINT_COMPONENT),
    database.install(CHECKPOINT_COMPONENT),
    database.write(addNote('b')),
  ]);

  expect(database.has(CHECKPOINT_COMPONENT)).toBe(true);
  expect(database.has(NOTES)).toBe(true);
  expect(notesIn(database)).toEqual(['a', 'b']);
});

test('an in-memory database works', async () => {
  await using bench = new Workbench();
  const database = bench.open({}, ':memory:');
  await database.write(addNote('a'));
  expect(notesIn(database)).toEqual(['a']);
});

test('better-sqlite3 13 on a Node that cannot run it is a sentence, not a segmentation fault', () => {
  expect(() => refuseUnsafeVersion('13.0.1', 9)).toThrow(/npm install better-sqlite3@12/);
  expect(() => refuseUnsafeVersion('13.0.1', 10)).not.toThrow();
  expect(() => refuseUnsafeVersion('12.11.1', 9)).not.toThrow();
});
