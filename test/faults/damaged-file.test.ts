import { copyFileSync, existsSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { describe, expect } from 'vitest';
import { StoreCorruptError } from '../../src/errors.ts';
import { SQLiteTaskQueue } from '../../src/queue/index.ts';
import { allTasks, audit } from './audit.ts';
import { eventually } from './processes.ts';
import { scaled, TEST_TIMEOUT } from './scale.ts';
import { type Stage, test } from './stage.ts';
import { randomFrom } from './workers/random.ts';

const TASKS = 120;
const WAL_CUTS = scaled(25, 300);
/** The first page. */
const SCHEMA_BYTES = 4_096;
const FLIPS = scaled(25, 300);

/** What to do is one of these. */
const ADVICE = /restore|move it|recover|put the database back/;

describe('R12: damaged storage', () => {
  const damages: Record<string, (path: string) => void> = {
    'a damaged header': (path) => overwrite(path, 0, Buffer.alloc(100, 0x5a)),
    'half of the file': (path) => truncateSync(path, Math.floor(readFileSync(path).length / 2)),
    'no bytes at all': (path) => truncateSync(path, 0),
  };
  for (const [name, damage] of Object.entries(damages)) {
    test(
      `${name} is refused with one clear error, and the file is left as it is`,
      TEST_TIMEOUT,
      async ({ stage }) => {
        await fill(stage, 'closed');
        damage(stage.database);
        const damaged = readFileSync(stage.database);

        const refusal = await refusalOf(stage.database);
        expect(refusal).toBeInstanceOf(StoreCorruptError);
        expect(refusal?.code).toBe('STORE_CORRUPT');
        expect(refusal?.message).toContain(basename(stage.database));
        expect(refusal?.message).toMatch(ADVICE);
        expect(readFileSync(stage.database).equals(damaged)).toBe(true);
      },
    );
  }

  test('a write-ahead log cut anywhere costs at most the newest tasks', TEST_TIMEOUT, async ({ stage }) => {
    const submitted = await fill(stage, 'killed');
    const wal = readFileSync(`${stage.database}-wal`);
    expect(wal.length).toBeGreaterThan(0);
    for (let cut = 0; cut < WAL_CUTS; cut++) {
      const bytes = stage.random.below(wal.length);
      const copy = copyOf(stage, `cut-${cut}`);
      truncateSync(`${copy}-wal`, bytes);
      const kept = await idsIn(copy);
      if (kept !== 'refused') expect(kept, `WAL cut at ${bytes}`).toEqual(submitted.slice(0, kept.length));
      removeDatabase(copy);
    }
  });

  test(
    'one flipped byte in a task quarantines that task, and the others run',
    TEST_TIMEOUT,
    async ({ stage }) => {
      await fill(stage, 'closed');
      flipText(stage.database, 'task number 42"', 'task number 4x"');
      const worker = await stage.launch('queue-worker');
      const queue = stage.queue();

      await eventually(
        async () => (await queue.stats()).counts.completed === TASKS - 1,
        10_000,
        () => 'the others did not run',
      );
      const damaged = await queue.waitFor('t-42', { timeoutMs: 10_000 });
      expect(damaged).toMatchObject({ status: 'failed', error: { code: 'STORE_CORRUPT' } });
      expect(stage.log({ id: 't-42' }), 'it was never run').toEqual([]);
      worker.kill('SIGTERM');
      expect(await worker.untilExit()).toEqual({ code: 0, signal: null });
      expect((await audit(stage.database)).tasks.size).toBe(TASKS);
    },
  );

  test(
    'a byte flipped anywhere is refused by name or changes nothing that can be seen',
    TEST_TIMEOUT,
    async ({ stage }) => {
      await fill(stage, 'closed');
      const { length } = readFileSync(stage.database);
      // The short run always flips the same bits: what a new one finds is no fault of the change under test.
      const random = scaled(randomFrom(1), stage.random);
      for (let flip = 0; flip < FLIPS; flip++) {
        // Every second one in the schema, where a single bit can do most.
        const at = random.below(flip % 2 === 0 ? length : SCHEMA_BYTES);
        const copy = copyOf(stage, `flip-${flip}`);
        const bytes = readFileSync(copy);
        overwrite(copy, at, Buffer.from([(bytes[at] ?? 0) ^ (1 << random.below(8))]));
        await expectTypedErrorsOnly(copy, `byte ${at} of ${length}`);
        removeDatabase(copy);
      }
    },
  );
});

/** A real file by a real process, with its log emptied (`closed`) or as a killed process leaves it (`killed`). Returns the ids in order. */
async function fill(stage: Stage, how: 'closed' | 'killed'): Promise<string[]> {
  const enqueuer = stage.spawn('enqueuer', { more: { total: TASKS, stay: how === 'killed' } });
  await enqueuer.until('done');
  if (how === 'killed') enqueuer.kill('SIGKILL');
  await enqueuer.untilExit();
  return enqueuer.said('acknowledged').flatMap((message) => message.ids as string[]);
}

async function refusalOf(path: string): Promise<StoreCorruptError | undefined> {
  try {
    const queue = new SQLiteTaskQueue({ path });
    try {
      await queue.stats();
    } finally {
      await queue.close();
    }
    return undefined;
  } catch (error) {
    return error as StoreCorruptError;
  }
}

async function idsIn(path: string): Promise<string[] | 'refused'> {
  try {
    const queue = new SQLiteTaskQueue({ path });
    try {
      return [...(await allTasks(queue)).keys()];
    } finally {
      await queue.close();
    }
  } catch (error) {
    expect(error).toBeInstanceOf(StoreCorruptError);
    return 'refused';
  }
}

/** Everything a user does, on a file of which one bit is wrong: it works, or it says STORE_CORRUPT. */
async function expectTypedErrorsOnly(path: string, where: string): Promise<void> {
  try {
    const queue = new SQLiteTaskQueue({ path });
    queue.on('error', (error) => expect(error, where).toHaveProperty('code'));
    try {
      await queue.stats();
      for (const task of await queue.dequeueMany(20, undefined, { start: true })) {
        await queue.settle(task, { status: 'completed' });
      }
      await allTasks(queue);
    } finally {
      await queue.close();
    }
  } catch (error) {
    expect(['STORE_CORRUPT', 'SCHEMA_TOO_NEW'], `${where}: ${String(error)}`).toContain(
      (error as { code?: string }).code,
    );
  }
}

function copyOf(stage: Stage, name: string): string {
  const copy = join(stage.folder, `${name}.db`);
  copyFileSync(stage.database, copy);
  if (existsSync(`${stage.database}-wal`)) copyFileSync(`${stage.database}-wal`, `${copy}-wal`);
  return copy;
}

function removeDatabase(path: string): void {
  for (const suffix of ['', '-wal', '-shm']) rmSync(path + suffix, { force: true });
}

function overwrite(path: string, at: number, bytes: Buffer): void {
  const content = readFileSync(path);
  bytes.copy(content, at);
  writeFileSync(path, content);
}

function flipText(path: string, from: string, to: string): void {
  const at = readFileSync(path).indexOf(from);
  expect(at, 'the text is in the file').toBeGreaterThan(0);
  overwrite(path, at, Buffer.from(to));
}
