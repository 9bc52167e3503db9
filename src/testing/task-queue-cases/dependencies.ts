import assert from 'node:assert/strict';
import type { NewTask } from '../../queue/task.ts';
import type { TaskQueue } from '../../queue/task-queue.ts';
import type { ConformanceCase } from '../conformance.ts';
import type { QueueHarness } from '../task-queue-conformance.ts';
import { complete, fail, read, refused, statusOf, takenIds } from './steps.ts';

/** One dependent of `id` for each condition. */
function dependents(id: string): NewTask[] {
  const words = ['success', 'failure', 'completion'] as const;
  return words.map((on) => ({ payload: {}, id: `${id}.${on}`, dependsOn: [{ id, on }] }));
}

async function waitingFor(queue: TaskQueue, name: string): Promise<void> {
  await queue.enqueueMany([
    { payload: {}, id: 'a' },
    { payload: {}, id: 'b', dependsOn: [{ id: 'a', on: { custom: name } }] },
    { payload: {}, id: 'c', dependsOn: ['b'] },
  ]);
}

export const dependencyCases: readonly ConformanceCase<QueueHarness>[] = [
  {
    name: 'success, failure and completion release or skip as they say, after every kind of end',
    async run({ open }) {
      const queue = open();
      const ways = {
        done: () => complete(queue, 'done'),
        dead: () => fail(queue, 'dead'),
        gone: () => queue.cancel('gone'),
      };
      const expected = {
        done: ['pending', 'skipped', 'pending'],
        dead: ['skipped', 'pending', 'pending'],
        gone: ['skipped', 'skipped', 'pending'],
      };
      for (const id of ['done', 'dead', 'gone'] as const) {
        await queue.enqueueMany([...dependents(id), { payload: {}, id }]);
        await ways[id]();
        const statuses = await Promise.all(dependents(id).map((task) => statusOf(queue, task.id!)));
        assert.deepEqual(statuses, expected[id], id);
      }
    },
  },
  {
    name: 'a failed attempt with retries left decides nothing for dependents',
    async run({ open }) {
      const queue = open();
      await queue.enqueueMany([{ payload: {}, id: 'a' }, ...dependents('a')]);
      const [held] = await queue.dequeueMany(1, { ids: ['a'] });
      await queue.settle(held!, { status: 'failed', error: new Error('x') });
      for (const { id } of dependents('a')) assert.deepEqual((await read(queue, id!)).blockedBy, ['a']);
    },
  },
  {
    name: 'a custom condition sees the result and the task, and decides',
    async run({ open }) {
      const seen: unknown[] = [];
      const queue = open({
        conditions: {
          good: (result, task) => {
            seen.push([result, task.id, task.status]);
            return (result as { score: number }).score > 5;
          },
        },
      });
      await waitingFor(queue, 'good');
      await complete(queue, 'a', { score: 9 });
      assert.deepEqual(seen, [[{ score: 9 }, 'a', 'completed']]);
      assert.deepEqual(await takenIds(queue), ['b']);
    },
  },
  {
    name: 'a custom condition that says no, something that is not true, or throws, skips with a reason',
    async run({ open }) {
      const conditions = {
        no: () => false,
        truthy: () => 1 as unknown as boolean,
        throwing: () => {
          throw new Error('broken condition');
        },
      };
      for (const name of ['no', 'truthy', 'throwing'] as const) {
        const queue = open({ conditions });
        const ids = [`a-${name}`, `b-${name}`];
        await queue.enqueueMany([
          { payload: {}, id: ids[0]! },
          { payload: {}, id: ids[1]!, dependsOn: [{ id: ids[0]!, on: { custom: name } }] },
        ]);
        await complete(queue, ids[0]!);
        const last = (await queue.history(ids[1]!)).at(-1)!;
        assert.equal(last.to, 'skipped');
        assert.match(last.reason!, name === 'throwing' ? /broken condition/ : new RegExp(name));
      }
    },
  },
  {
    name: 'a condition that nobody registered is refused at the submission, with the whole batch',
    async run({ open }) {
      const queue = open();
      await assert.rejects(
        waitingFor(queue, 'unheard'),
        (error: Error & { code?: string }) => typeof error.code === 'string',
      );
      assert.deepEqual((await queue.listTasks()).tasks, []);
      queue.registerCondition('unheard', () => true);
      await waitingFor(queue, 'unheard');
      await complete(queue, 'a');
      assert.deepEqual(await takenIds(queue), ['b']);
    },
  },
  {
    name: 'a condition missing in the process that must judge fails the edge with a reason',
    needs: 'shared',
    async run({ open }) {
      const knows = open({ conditions: { good: () => true } });
      const ignorant = open();
      await waitingFor(knows, 'good');
      await complete(ignorant, 'a');
      assert.equal(await statusOf(knows, 'b'), 'skipped');
      assert.equal(await statusOf(knows, 'c'), 'skipped');
      assert.match((await knows.history('b')).at(-1)!.reason!, /good/);
    },
  },
  {
    name: 'cycles within a batch are refused, a task on itself too, and nothing is stored',
    async run({ open }) {
      const queue = open();
      const batch = [
        { payload: {}, id: 'free' },
        { payload: {}, id: 'a', dependsOn: ['b'] },
        { payload: {}, id: 'b', dependsOn: ['c'] },
        { payload: {}, id: 'c', dependsOn: [{ id: 'a', on: 'completion' as const }] },
      ];
      const refusal = await refused(queue.enqueueMany(batch), 'DEPENDENCY_CYCLE');
      assert.deepEqual(new Set(refusal.cycle as string[]), new Set(['a', 'b', 'c']));
      assert.equal(refusal.path, 'tasks[1].dependsOn[0]');
      await refused(queue.enqueue({ payload: {}, id: 'me', dependsOn: ['me'] }), 'DEPENDENCY_CYCLE');
      assert.deepEqual((await queue.listTasks()).tasks, []);
    },
  },
  {
    name: 'unknown dependencies are refused with their path, and nothing is stored',
    async run({ open }) {
      const queue = open();
      const batch = [
        { payload: {}, id: 'a' },
        { payload: {}, id: 'b', dependsOn: ['a', 'nobody'] },
      ];
      const refusal = await refused(queue.enqueueMany(batch), 'UNKNOWN_DEPENDENCY');
      assert.deepEqual([refusal.path, refusal.dependencyId], ['tasks[1].dependsOn[1]', 'nobody']);
      assert.equal(await queue.getTask('a'), null);
      const alone = await refused(
        queue.enqueue({ payload: {}, dependsOn: ['nobody'] }),
        'UNKNOWN_DEPENDENCY',
      );
      assert.equal(alone.path, 'task.dependsOn[0]');
    },
  },
  {
    name: 'a redriven task settles its own life only: dependents that were skipped stay so',
    async run({ open }) {
      const queue = open();
      await queue.enqueueMany([{ payload: {}, id: 'a' }, ...dependents('a')]);
      await fail(queue, 'a');
      await queue.retry('a');
      await complete(queue, 'a');
      assert.deepEqual(await Promise.all(dependents('a').map((task) => statusOf(queue, task.id!))), [
        'skipped',
        'pending',
        'pending',
      ]);
    },
  },
  {
    name: 'a custom condition that returns neither true nor false skips, and the reason names what it returned',
    async run({ open }) {
      const conditions: Record<string, () => never> = {
        one: () => 1 as never,
        nothing: () => undefined as never,
        promise: () => Promise.reject(new Error('unheard')) as never,
      };
      const queue = open({ conditions });
      await queue.enqueue({ payload: {}, id: 'a' });
      for (const custom of Object.keys(conditions))
        await queue.enqueue({ payload: {}, id: custom, dependsOn: [{ id: 'a', on: { custom } }] });
      await complete(queue, 'a');
      for (const custom of Object.keys(conditions)) {
        assert.equal(await statusOf(queue, custom), 'skipped');
        assert.match(
          (await queue.history(custom)).at(-1)?.reason ?? '',
          /returned .*, expected true or false/,
        );
      }
    },
  },
];
