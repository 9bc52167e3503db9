import { expect, test } from 'vitest';
import { MemoryTaskStore, StoredTaskQueue } from '../../src/queue/index.ts';
import type { TaskStore } from '../../src/queue/task-store.ts';
import { FakeClock } from '../../src/testing/index.ts';

const TASKS = 3_500;
const LEASE_MS = 30_000;
const tasks = Array.from({ length: TASKS }, () => ({ payload: {} }));

test('one sweep frees all leases that are over, and purges all that has been kept long enough', async () => {
  const clock = new FakeClock();
  await using queue = new StoredTaskQueue(new MemoryTaskStore(), {
    clock,
    retentionMs: 60_000,
    leaseMs: LEASE_MS,
  });
  await queue.enqueueMany(tasks);
  for (let taken = 0; taken < TASKS; ) taken += (await queue.dequeueMany(1_000)).length;
  await clock.advance(LEASE_MS + 5_000);
  expect((await queue.stats()).counts).toMatchObject({ pending: TASKS, assigned: 0 });

  await Promise.all((await allIds(queue)).map((id) => queue.cancel(id)));
  await clock.advance(60_000 + 5_000);
  expect((await queue.stats()).counts).toMatchObject({ cancelled: 0 });
});

test('a purge that fails keeps no lease from ending, and no verdict from being given', async () => {
  const clock = new FakeClock();
  const store = new MemoryTaskStore();
  const broken: TaskStore = new Proxy(store, {
    get(target, name) {
      const value = Reflect.get(target, name, target);
      if (name === 'purge') return () => Promise.reject(new Error('broken'));
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
  await using queue = new StoredTaskQueue(broken, { clock, retentionMs: 1_000, leaseMs: LEASE_MS });
  const errors: Error[] = [];
  queue.on('error', (error) => errors.push(error));
  const id = await queue.enqueue({ payload: {} });
  await queue.dequeue();
  await clock.advance(LEASE_MS + 5_000);
  expect(await queue.getTask(id)).toMatchObject({ status: 'pending' });
  expect(errors[0]?.message).toBe('broken');
});

async function allIds(queue: StoredTaskQueue): Promise<string[]> {
  const ids: string[] = [];
  let cursor: string | undefined;
  do {
    const page = await queue.listTasks({ limit: 1_000, ...(cursor !== undefined && { cursor }) });
    ids.push(...page.tasks.map(({ id }) => id));
    cursor = page.cursor;
  } while (cursor !== undefined);
  return ids;
}
