import { expect, test } from 'vitest';
import { MemoryTaskStore, StoredTaskQueue } from '../../src/queue/index.ts';
import type { TaskStore } from '../../src/queue/task-store.ts';
import { FakeClock } from '../../src/testing/index.ts';

const conditions = { good: () => true };
const BATCH = [
  { id: 'a', payload: {} },
  { id: 'b', payload: {}, dependsOn: [{ id: 'a', on: { custom: 'good' } }] },
];

test('a process that does not know a condition leaves it to the one that settles, also when it looks in between', async () => {
  const clock = new FakeClock();
  const store = new MemoryTaskStore();
  const ignorant = new StoredTaskQueue(store, { clock, sweepMs: 1_000 });
  await ignorant.stats();
  const sweepInBetween = { once: () => clock.advance(1_000) };
  const knows = new StoredTaskQueue(beforeJudging(store, sweepInBetween), { clock, conditions });
  await knows.enqueueMany(BATCH);
  await knows.settle((await knows.dequeue())!, { status: 'completed' });
  expect(await knows.getTask('b')).toMatchObject({ status: 'pending', blockedBy: [] });
  await knows.close();
});

test('where nobody who knows the condition is left, the edge fails when the one who settled is given up', async () => {
  const clock = new FakeClock();
  const store = new MemoryTaskStore();
  const ignorant = new StoredTaskQueue(store, { clock, leaseMs: 30_000, sweepMs: 1_000 });
  await ignorant.stats();
  const dies = { once: () => Promise.reject(new Error('died')) };
  const dead = new StoredTaskQueue(beforeJudging(store, dies), { clock, conditions, sweepMs: 1_000_000 });
  await dead.enqueueMany(BATCH);
  await expect(dead.settle((await dead.dequeue())!, { status: 'completed' })).rejects.toThrow('died');
  await clock.advance(29_000);
  expect(await ignorant.getTask('b')).toMatchObject({ status: 'pending', blockedBy: ['a'] });
  await clock.advance(2_000);
  expect(await ignorant.getTask('b')).toMatchObject({ status: 'skipped' });
  await dead.close();
});

/** A store in which something happens, once, between an ending and the look at what it leaves to judge. */
function beforeJudging(store: TaskStore, happen: { once: () => Promise<void> }): TaskStore {
  let isFirst = true;
  return new Proxy(store, {
    get(target, name) {
      const value = Reflect.get(target, name, target);
      if (typeof value !== 'function') return value;
      if (name !== 'unjudged') return value.bind(target);
      return async (limit: number) => {
        if (isFirst) {
          isFirst = false;
          await happen.once();
        }
        return target.unjudged(limit);
      };
    },
  });
}
