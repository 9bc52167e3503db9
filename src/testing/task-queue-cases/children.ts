import assert from 'node:assert/strict';
import type { ConformanceCase } from '../conformance.ts';
import type { QueueHarness } from '../task-queue-conformance.ts';
import { complete, fail, read, refused, statusOf, take, takenIds, takeStarted } from './steps.ts';

const WAIT = { id: 'q', value: 'children' };

export const childCases: readonly ConformanceCase<QueueHarness>[] = [
  {
    name: 'a task in hand has children, which take over what they do not say themselves',
    async run({ open }) {
      const queue = open();
      const limits = [{ key: 'tenant:acme', max: 3 }];
      await queue.enqueue({ payload: {}, id: 'p', priority: 9, limits, fairKey: 'acme' });
      const parent = await takeStarted(queue);
      const ids = await queue.enqueueChildren(parent, [
        { payload: {}, id: 'c1' },
        { payload: {}, id: 'c2', priority: 2, limits: [{ key: 'own', max: 1 }], dependsOn: ['c1'] },
      ]);
      assert.deepEqual(ids, ['c1', 'c2']);
      assert.deepEqual((await read(queue, 'p')).children, ['c1', 'c2']);
      const [first, second] = [await read(queue, 'c1'), await read(queue, 'c2')];
      assert.deepEqual([first.priority, first.fairKey, first.parent], [9, 'acme', { id: 'p', depth: 1 }]);
      assert.deepEqual(
        [second.priority, second.limits?.map(({ key }) => key), second.blockedBy],
        [2, ['own', 'tenant:acme'], ['c1']],
      );
      assert.deepEqual(await queue.enqueueChildren(parent, [{ payload: {}, id: 'c1' }]), ['c1']);
      assert.equal((await read(queue, 'p')).children?.length, 2);
    },
  },
  {
    name: 'only who holds the task enqueues children, and a refused batch leaves nothing',
    async run({ open }) {
      const queue = open();
      await queue.enqueue({ payload: {}, id: 'p' });
      const parent = await takeStarted(queue);
      const bad = [
        { payload: {}, id: 'good' },
        { payload: {}, priority: 99 },
      ];
      assert.equal(
        (await refused(queue.enqueueChildren(parent, bad), 'INVALID_TASK')).path,
        'tasks[1].priority',
      );
      assert.equal((await read(queue, 'p')).children, undefined);
      await queue.settle(parent, { status: 'released' });
      await refused(queue.enqueueChildren(parent, [{ payload: {}, id: 'late' }]), 'LEASE_LOST');
      assert.deepEqual(
        [await statusOf(queue, 'good'), await statusOf(queue, 'late')],
        [undefined, undefined],
      );
    },
  },
  {
    name: 'a task that waits for others holds nothing, and goes on when all of them have ended',
    async run({ open }) {
      const queue = open();
      await queue.enqueueMany(['p', 'a', 'b'].map((id) => ({ payload: {}, id, maxRetries: 0 })));
      const parent = await takeStarted(queue, { ids: ['p'] });
      const waiting = await queue.settle(parent, {
        status: 'waiting',
        interrupts: [WAIT],
        tasks: ['a', 'b', 'a'],
      });
      assert.deepEqual(
        [waiting.status, waiting.blockedBy, waiting.lease, waiting.interrupts],
        ['pending', ['a', 'b'], undefined, [WAIT]],
      );
      const again = await queue.settle(parent, { status: 'waiting', interrupts: [WAIT], tasks: ['a', 'b'] });
      assert.equal(again.version, waiting.version);
      assert.deepEqual(await takenIds(queue, { ids: ['p'] }), []);
      await complete(queue, 'a');
      await fail(queue, 'b');
      const next = await take(queue);
      assert.deepEqual([next.id, next.attempt, next.retryCount, next.crashes], ['p', 1, 0, 0]);
    },
  },
  {
    name: 'a task that waits for what has ended, or nothing, goes on at once',
    async run({ open }) {
      const queue = open();
      await queue.enqueueMany(['p', 'a'].map((id) => ({ payload: {}, id })));
      await complete(queue, 'a');
      for (const tasks of [['a'], [], ['nobody']]) {
        const parent = await takeStarted(queue, { ids: ['p'] });
        await queue.settle(parent, { status: 'waiting', interrupts: [WAIT], tasks });
      }
      assert.deepEqual(await takenIds(queue), ['p']);
    },
  },
  {
    name: 'cancelling a parent cancels its children, and again with each call',
    async run({ open }) {
      const queue = open();
      await queue.enqueue({ payload: {}, id: 'p' });
      const parent = await takeStarted(queue);
      await queue.enqueueChildren(
        parent,
        ['c1', 'c2', 'c3'].map((id) => ({ payload: {}, id })),
      );
      const child = await takeStarted(queue, { ids: ['c2'] });
      await queue.enqueueChildren(child, [{ payload: {}, id: 'grandchild' }]);
      await complete(queue, 'c1');
      await queue.settle(parent, { status: 'waiting', interrupts: [WAIT], tasks: ['c1', 'c2', 'c3'] });
      await queue.cancel('p');
      const ids = ['p', 'c1', 'c2', 'c3', 'grandchild'];
      const statuses = await Promise.all(ids.map((id) => statusOf(queue, id)));
      assert.deepEqual(statuses, ['cancelled', 'completed', 'cancelled', 'cancelled', 'cancelled']);
      assert.equal((await queue.cancel('p')).status, 'cancelled');
    },
  },
];
