import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { expect, test } from 'vitest';
import { addNote, notesIn, Workbench } from './notes.ts';

const WRITER = `
  const database = new (require('better-sqlite3'))(process.argv[1]);
  const insert = database.prepare('INSERT INTO notes (text) VALUES (?)');
  process.stdin.on('data', (text) => insert.run(String(text)));
  process.stdin.on('end', () => database.close());
`;

test('a commit by another process is noticed, our own is not', async () => {
  await using bench = new Workbench();
  const database = bench.open();
  const writer = spawn(process.execPath, ['-e', WRITER, bench.path], {
    stdio: ['pipe', 'ignore', 'inherit'],
  });
  let calls = 0;
  let notice: (() => void) | undefined;
  const stop = database.watch(() => {
    calls++;
    notice?.();
  });
  const noticed = (): Promise<void> => new Promise((resolve) => (notice = resolve));

  await database.write(addNote('ours'));
  const first = noticed();
  writer.stdin.write('theirs');
  await first;
  expect(notesIn(database)).toEqual(['ours', 'theirs']);
  expect(calls).toBe(1);

  stop();
  writer.stdin.end();
  await once(writer, 'exit');
});

test('the watch looks only while somebody listens, and a listener that throws disturbs nobody', async () => {
  await using bench = new Workbench();
  const armed = new Map<number, () => void>();
  let next = 0;
  const clock = {
    now: () => 0,
    setTimeout: (callback: () => void, ms: number) => {
      // With what a claim takes, a commit elsewhere is a start here within 50 ms.
      expect(ms).toBeLessThanOrEqual(25);
      armed.set(++next, callback);
      return next;
    },
    clearTimeout: (handle: unknown) => void armed.delete(handle as number),
  };
  const look = (): void => {
    const [handle, callback] = [...armed][0]!;
    armed.delete(handle);
    callback();
  };
  const database = bench.open({ clock });
  const other = bench.open();
  expect(armed.size).toBe(0);
  let calls = 0;
  const stopFirst = database.watch(() => {
    calls++;
    throw new Error('a bad listener');
  });
  const stopSecond = database.watch(() => calls++);

  await other.write(addNote('a'));
  look();
  await other.write(addNote('b'));
  look();
  expect(calls).toBe(4);

  stopFirst();
  expect(armed.size).toBe(1);
  stopSecond();
  expect(armed.size).toBe(0);
});
