import { execFileSync, spawnSync } from 'node:child_process';
import { closeSync, mkdirSync, openSync, rmSync, statSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect } from 'vitest';
import { audit } from './audit.ts';
import { type Child, eventually } from './processes.ts';
import { TEST_TIMEOUT } from './scale.ts';
import { type Stage, test } from './stage.ts';

const DISK = 'size=4m';
const LEASE = { leaseMs: 20_000, sweepMs: 200 };

/** A disk that can be filled and emptied at will. */
interface Disk {
  readonly folder: string;
  fill(worker: Child): void;
  free(worker: Child): void;
}

describe('R13: a full disk', () => {
  test(
    'refuses submissions with a clear error; a finished result is written once there is space, not made again',
    TEST_TIMEOUT,
    async ({ stage }) => {
      await expectPatience(stage, smallDisk(stage));
    },
  );

  test(
    'fails no graph: a node whose checkpoint could not be written runs again, uncharged',
    TEST_TIMEOUT,
    async ({ stage }) => {
      const disk = smallDisk(stage);
      stage.database = join(disk.folder, 'jotty.db');
      stage.queueOptions = { ...LEASE, maxRetries: 0 };
      const worker = await stage.launch('graph-worker');
      worker.send({ type: 'submit-many', ids: ['graph'], agent: 'told', payload: { ms: 0 } });
      await worker.until('holding', { id: 'graph' });

      disk.fill(worker);
      worker.send({ type: 'open', id: 'graph' });
      await eventually(
        () => stage.log({ id: 'graph', node: 'b', phase: 'end' }).length === 1,
        5_000,
        () => 'b did not end',
      );
      worker.send({ type: 'submit', id: 'refused', agent: 'call' });
      await worker.until('submission-refused', { id: 'refused' });
      disk.free(worker);
      await eventually(
        () => worker.said('holding').length === 2,
        10_000,
        () => 'b did not run again',
      );
      worker.send({ type: 'open', id: 'graph' });
      await worker.until('transition', { id: 'graph', to: 'completed' });
      worker.kill('SIGTERM');
      expect(await worker.untilExit()).toEqual({ code: 0, signal: null });

      const task = (await audit(stage.database)).tasks.get('graph');
      expect(task).toMatchObject({ retryCount: 0, crashes: 0, result: { path: ['a', 'b', 'c'] } });
      expect(stage.log({ id: 'graph', node: 'a', phase: 'start' })).toHaveLength(1);
    },
  );

  test('a file that may not grow is borne in the same way', TEST_TIMEOUT, async ({ stage }) => {
    await expectPatience(stage, cappedFiles(stage));
  });
});

async function expectPatience(stage: Stage, disk: Disk): Promise<void> {
  stage.database = join(disk.folder, 'jotty.db');
  stage.queueOptions = LEASE;
  const worker = await stage.launch('graph-worker');
  worker.send({ type: 'submit', id: 'in-hand', agent: 'call' });
  await worker.until('calling', { id: 'in-hand' });

  disk.fill(worker);
  worker.send({ type: 'submit', id: 'refused', agent: 'call' });
  const refusal = await worker.until('submission-refused', { id: 'refused' });
  expect(refusal.code).toBe('STORE_UNAVAILABLE');
  expect(refusal.message).toMatch(/disk/);
  worker.send({ type: 'open', id: 'in-hand' });
  await worker.until('called', { id: 'in-hand' });
  // Long enough for the settlement to be refused: its outcome must outlive that.
  worker.send({ type: 'submit', id: 'refused-too', agent: 'call' });
  await worker.until('submission-refused', { id: 'refused-too' });

  disk.free(worker);
  await worker.until('transition', { id: 'in-hand', to: 'completed' });
  worker.send({ type: 'submit', id: 'later', agent: 'call' });
  await worker.until('calling', { id: 'later' });
  worker.send({ type: 'open', id: 'later' });
  await worker.until('transition', { id: 'later', to: 'completed' });
  worker.kill('SIGTERM');
  expect(await worker.untilExit()).toEqual({ code: 0, signal: null });

  const { tasks } = await audit(stage.database);
  expect([...tasks.keys()].sort()).toEqual(['in-hand', 'later']);
  expect(tasks.get('in-hand')).toMatchObject({
    status: 'completed',
    result: { answer: 42 },
    crashes: 0,
    retryCount: 0,
  });
  expect(stage.log({ id: 'in-hand', phase: 'start' })).toHaveLength(1);
  expect(worker.stderr).toBe('');
}

/** A file system of 4 MiB, and a file that takes all that is left of it. */
function smallDisk(stage: Stage): Disk {
  const folder = join(stage.folder, 'disk');
  mkdirSync(folder);
  const mounted =
    spawnSync('mount', ['-t', 'tmpfs', '-o', DISK, 'tmpfs', folder], { stdio: 'ignore' }).status === 0;
  // Where mounting is not allowed the second way of failing has to do for both.
  if (!mounted) return cappedFiles(stage);
  stage.atEnd(() => execFileSync('umount', [folder]));
  const ballast = join(folder, 'ballast');
  return { folder, fill: () => occupy(ballast), free: () => rmSync(ballast) };
}

/** The largest size of a file of the worker's is what the log of its database has now: every commit fails. */
function cappedFiles(stage: Stage): Disk {
  const limit = (worker: Child, bytes: number | 'unlimited'): void => {
    execFileSync('prlimit', ['--pid', String(worker.pid), `--fsize=${bytes}:unlimited`]);
  };
  return {
    folder: stage.folder,
    fill: (worker) => limit(worker, statSync(`${stage.database}-wal`).size),
    free: (worker) => limit(worker, 'unlimited'),
  };
}

function occupy(ballast: string): void {
  const file = openSync(ballast, 'w');
  const page = Buffer.alloc(4_096);
  try {
    for (;;) if (writeSync(file, page) < page.length) return;
  } catch (error) {
    expect((error as NodeJS.ErrnoException).code).toBe('ENOSPC');
  } finally {
    closeSync(file);
  }
}
