import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import type { BaseCheckpointSaver } from '@langchain/langgraph-checkpoint';
import { emptyCheckpoint } from '@langchain/langgraph-checkpoint';
import { expect, test } from 'vitest';
import { MemoryTaskQueue } from '../../../src/queue/backends/memory/memory-task-queue.ts';
import { FakeClock } from '../../../src/testing/fake-clock.ts';

test('a purged task takes its checkpoints along, so that its id is new again', async () => {
  const clock = new FakeClock();
  await using queue = new MemoryTaskQueue({ clock, retentionMs: 60_000, sweepMs: 5_000 });
  const saver = (await queue.checkpointer()) as BaseCheckpointSaver;
  for (const id of ['old', 'alive']) {
    await queue.enqueue({ payload: {}, id });
    const config = { configurable: { thread_id: id, checkpoint_ns: '' } };
    await saver.put(config, emptyCheckpoint(), { source: 'input', step: 0, parents: {} }, {});
  }
  const task = await queue.dequeue({ ids: ['old'] });
  await queue.settle(task!, { status: 'completed' });
  const purged: string[] = [];
  queue.on('purged', (ids) => purged.push(...ids));
  await clock.advance(70_000);
  expect(purged).toEqual(['old']);
  const threads = async (id: string) => saver.getTuple({ configurable: { thread_id: id } });
  expect(await threads('old')).toBeUndefined();
  expect(await threads('alive')).toBeDefined();
});

test.each([
  ['delayed', { delayMs: 86_400_000 }],
  ['ready', {}],
])('%s tasks that were cancelled and purged leave nothing behind a living one', async (_, when) => {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  const usedBytes = () => {
    collect();
    return process.memoryUsage().heapUsed;
  };
  const clock = new FakeClock();
  await using queue = new MemoryTaskQueue({ clock, retentionMs: 1_000 });
  await queue.enqueueMany([
    { id: 'first', payload: {} },
    { id: 'due', payload: {}, delayMs: 3_600_000 },
  ]);
  const before = usedBytes();
  for (let round = 0; round < 10; round++) {
    const tasks = Array.from({ length: 2_000 }, () => ({ payload: { list: Array(20).fill(0) }, ...when }));
    for (const id of await queue.enqueueMany(tasks)) await queue.cancel(id);
    await clock.advance(10_000);
  }
  expect((await queue.stats()).counts).toMatchObject({ pending: 2, cancelled: 0 });
  expect((usedBytes() - before) / 20_000, 'bytes a task').toBeLessThan(300);

  // What lives is where it was.
  expect(await queue.dequeueMany(10)).toMatchObject([{ id: 'first' }]);
  await clock.advance(3_600_000);
  expect(await queue.dequeueMany(10)).toMatchObject([{ id: 'first' }, { id: 'due' }]);
});

test('a cancelled task gives its turn to nobody: what follows it under its limit keeps its own', async () => {
  const clock = new FakeClock();
  await using queue = new MemoryTaskQueue({ clock });
  const limits = [{ key: 'k', max: 10 }];
  for (const [id, limited] of Object.entries({ a: true, cancelled: true, b: false, c: true })) {
    await queue.enqueue({ id, payload: {}, ...(limited && { limits }) });
    await clock.advance(10);
  }
  await queue.cancel('cancelled');
  expect((await queue.dequeueMany(10)).map(({ id }) => id)).toEqual(['a', 'b', 'c']);
});

/** Writes into every object it can reach, as careless code might. */
function scribble(value: object): void {
  for (const item of Object.values(value)) if (typeof item === 'object' && item !== null) scribble(item);
  Object.assign(value, { scribbled: true });
}

test('what is stored belongs to the queue: neither submitters nor workers can change it', async () => {
  await using queue = new MemoryTaskQueue();
  const submission = {
    id: 'a',
    payload: { list: [{ n: 1 }], deep: { er: 'text' } },
    metadata: { of: { whom: 'me' } },
    retry: { jitter: false },
  };
  const submitted = structuredClone(submission);
  await queue.enqueue(submission);
  scribble(submission);
  await queue.enqueue(submitted);
  const isUntouched = async () => {
    const { payload, metadata } = (await queue.getTask('a'))!;
    expect({ payload, metadata }).toStrictEqual({ payload: submitted.payload, metadata: submitted.metadata });
  };
  await isUntouched();

  const claimed = (await queue.dequeue())!;
  scribble(claimed.payload);
  scribble(claimed.metadata);
  scribble((await queue.getTask('a'))!);
  await isUntouched();
  const result = { found: [1] };
  scribble(await queue.settle(claimed, { status: 'completed', result }));
  scribble(result);
  await isUntouched();
  expect((await queue.getTask('a'))!.result).toEqual({ found: [1] });
});

test('a batch is bounded by the bytes of its JSON, also where no JSON is written', async () => {
  await using queue = new MemoryTaskQueue();
  const megabyte = 'x'.repeat(1_000_000);
  const batch = (tasks: number) => Array.from({ length: tasks }, () => ({ payload: { megabyte } }));
  await expect(queue.enqueueMany(batch(68))).rejects.toMatchObject({
    code: 'TOO_LARGE',
    bound: 'BATCH_BYTES_MAX',
  });
  expect(await queue.enqueueMany(batch(67))).toHaveLength(67);
});

test('a lane that a rate keeps back is looked at again when its first task is cancelled', async () => {
  const clock = new FakeClock();
  await using queue = new MemoryTaskQueue({ clock });
  const rate = { max: 10, perMs: 60_000 };
  const weighed = (id: string, weight: number) => ({ payload: {}, id, limits: [{ key: 'k', rate, weight }] });
  await queue.enqueueMany([weighed('first', 8), weighed('heavy', 5), weighed('light', 2)]);
  expect((await queue.dequeueMany(3)).map(({ id }) => id)).toEqual(['first']);
  await queue.cancel('heavy');
  expect((await queue.dequeueMany(3)).map(({ id }) => id)).toEqual(['light']);
});

test('a claim asks one gate, however many keys there are', async () => {
  await using queue = new MemoryTaskQueue();
  const keys = 5_000;
  await queue.enqueueMany(
    Array.from({ length: keys }, (_, i) => ({ payload: {}, limits: [{ key: `k${i}`, max: 1 }] })),
  );
  const from = process.cpuUsage();
  for (let i = 0; i < keys; i++) expect(await queue.dequeue()).not.toBeNull();
  const { user, system } = process.cpuUsage(from);
  // About 15 µs each; with a look at all of them it was 500.
  expect((user + system) / keys).toBeLessThan(250);
});
