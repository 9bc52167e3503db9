import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';
import { Conductor } from '../../src/index.ts';
import { RedisTaskQueue, SQLiteTaskQueue } from '../../src/queue/index.ts';
import { twoQuestions } from '../orchestration/graphs.ts';
import { sharedRedis } from '../redis/shared-redis.ts';

const redis = sharedRedis();
const SCRIPT = join(import.meta.dirname, '..', '..', 'scripts', 'migrate.ts');

const migrate = (...args: string[]) =>
  promisify(execFile)(process.execPath, ['--import', 'tsx', SCRIPT, ...args]);

test('npm run migrate moves a SQLite file to Redis: waiting tasks run there, a half-done graph goes on', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'jotty-migrate-'));
  const path = join(folder, 'tasks.db');
  const prefix = redis.prefix();
  const agents = { ask: twoQuestions(), echo: { invoke: ({ goal }: { goal?: string }) => ({ goal }) } };
  const ids: string[] = [];
  let asked = '';
  {
    await using queue = new SQLiteTaskQueue({ path });
    const conductor = new Conductor({ agents, queue });
    asked = await conductor.enqueueGoal('go', { agent: 'ask' });
    await conductor.processQueue({ untilEmpty: true });
    for (let i = 0; i < 700; i++) ids.push(await conductor.enqueueGoal(`goal ${i}`, { agent: 'echo' }));
  }

  const { stdout } = await migrate('--from', path, '--to', redis.url, '--prefix', prefix);
  expect(stdout).toMatch(/701 tasks moved, 0 were there already\n$/);
  expect((await migrate('--from', path, '--to', redis.url, '--prefix', prefix)).stdout).toMatch(
    /^0 tasks moved, 0 were there already\n$/m,
  );

  await using queue = new RedisTaskQueue({ url: redis.url, prefix });
  const conductor = new Conductor({ agents, queue });
  const [question] = (await queue.getTask(asked))!.interrupts!;
  await conductor.answer(asked, question!.id, 'Ada');
  const counts = await conductor.processQueue({ untilEmpty: true, maxConcurrent: 50 });
  expect(counts).toEqual({ completed: 700, failed: 0, waiting: 1 });
  expect(await conductor.result(ids[699]!)).toEqual({ goal: 'goal 699' });
  expect((await queue.getTask(asked))!.interrupts).toMatchObject([{ value: 'colour?' }]);
  await rm(folder, { recursive: true, force: true });
});

test('npm run migrate says what is missing', async () => {
  await expect(migrate('--from', '/nowhere/tasks.db', '--to', redis.url)).rejects.toMatchObject({
    stderr: 'there is no file /nowhere/tasks.db\n',
  });
  await expect(migrate('--to', redis.url)).rejects.toMatchObject({ code: 1 });
});
