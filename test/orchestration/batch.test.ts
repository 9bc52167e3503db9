import { expect, test } from 'vitest';
import { Conductor } from '../../src/index.ts';
import { MemoryTaskQueue } from '../../src/queue/backends/memory/memory-task-queue.ts';
import { FakeClock } from '../../src/testing/fake-clock.ts';
import { deferred } from './graphs.ts';

test('a batch tells the first end, all ends, and how far it is', async () => {
  const slow = deferred();
  await using conductor = new Conductor({
    agents: {
      worker: {
        invoke: async ({ goal }) => {
          if (goal === 'slow') await slow.promise;
          if (goal === 'bad') throw new Error('bad');
          return goal;
        },
      },
    },
  });
  const ids = await conductor.enqueueGoals(['slow', 'quick', { goal: 'bad', maxRetries: 0 }]);
  const batch = conductor.batch([...ids, ids[0]!]);
  expect(await batch.progress()).toMatchObject({ total: 3, ended: 0, missing: 0, counts: { pending: 3 } });
  const loop = conductor.processQueue({ untilEmpty: true });
  expect(ids.slice(1)).toContain((await batch.waitFirst()).id);
  const all = batch.waitAll();
  slow.resolve();
  expect((await all).map(({ id, status }) => [id, status])).toEqual([
    [ids[0], 'completed'],
    [ids[1], 'completed'],
    [ids[2], 'failed'],
  ]);
  await loop;
  expect(await batch.progress()).toMatchObject({ ended: 3, counts: { completed: 2, failed: 1 } });
  expect(await conductor.batch([...ids, 'gone']).progress()).toMatchObject({ total: 4, missing: 1 });
});

test('the ids of tasks enqueued together are a batch', async () => {
  await using queue = new MemoryTaskQueue();
  await using conductor = new Conductor({ agents: { agent: { invoke: () => 'done' } }, queue });
  const ids = await queue.enqueueMany([
    { id: 'a', payload: { goal: 'a' } },
    { id: 'b', payload: { goal: 'b' }, dependsOn: ['a'] },
  ]);
  expect(ids).toStrictEqual(['a', 'b']);
  expect(JSON.stringify(ids)).toBe('["a","b"]');
  expect(await ids.progress()).toMatchObject({ total: 2, ended: 0 });
  const first = ids.waitFirst();
  const goals = await conductor.enqueueGoals(['c', 'd']);
  await conductor.processQueue({ untilEmpty: true });
  expect((await first).id).toBe('a');
  expect((await ids.waitAll()).map(({ status }) => status)).toEqual(['completed', 'completed']);
  expect((await goals.waitAll()).map(({ id }) => id)).toEqual([...goals]);
  expect(await goals.progress()).toMatchObject({ total: 2, ended: 2 });
});

test('a wait for many ends with its signal, its time, or an id that is not there, and leaves nothing behind', async () => {
  const clock = new FakeClock();
  await using queue = new MemoryTaskQueue({ clock });
  await using conductor = new Conductor({ agents: { worker: { invoke: () => 1 } }, queue });
  const warnings: Error[] = [];
  const warn = (warning: Error) => void warnings.push(warning);
  process.on('warning', warn);
  const ids = await conductor.enqueueGoals(Array.from({ length: 30 }, (_, i) => `goal ${i}`));
  const batch = conductor.batch(ids);
  const stop = new AbortController();
  const aborted = batch.waitAll({ signal: stop.signal });
  stop.abort(new Error('enough'));
  await expect(aborted).rejects.toThrow('enough');
  await expect(batch.waitAll({ signal: stop.signal })).rejects.toThrow('enough');
  const late = batch.waitFirst({ timeoutMs: 50 });
  const isLate = expect(late).rejects.toMatchObject({ code: 'TIMEOUT' });
  await clock.advance(50);
  await isLate;
  await expect(conductor.batch([...ids, 'gone']).waitAll()).rejects.toMatchObject({ code: 'TASK_NOT_FOUND' });
  await expect(conductor.batch([]).waitFirst()).rejects.toMatchObject({ code: 'INVALID_OPTION' });
  expect(await conductor.batch([]).waitAll()).toEqual([]);
  await new Promise((resolve) => setImmediate(resolve));
  process.off('warning', warn);
  expect(warnings).toEqual([]);
});
