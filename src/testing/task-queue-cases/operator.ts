import assert from 'node:assert/strict';
import type { ConformanceCase } from '../conformance.ts';
import type { QueueHarness } from '../task-queue-conformance.ts';
import { complete, read, refused, statusOf, take, takenIds, takeStarted } from './steps.ts';

export const operatorCases: readonly ConformanceCase<QueueHarness>[] = [
  {
    name: 'a result is refused with a status that has no place for it, and nothing changes',
    async run({ open }) {
      const queue = open();
      await queue.enqueue({ payload: {}, id: 'a' });
      await take(queue);
      for (const status of ['in_progress', 'failed', 'waiting'] as const)
        await refused(queue.updateStatus('a', status, { result: { pages: 3 } }), 'INVALID_TASK');
      assert.equal(await statusOf(queue, 'a'), 'assigned');
    },
  },
  {
    name: 'cancel ends a task in every status at once, and leaves an ended one unchanged',
    async run({ open }) {
      const queue = open();
      for (const id of ['pending', 'assigned', 'running', 'retrying', 'waiting', 'done']) {
        await queue.enqueue({ payload: {}, id });
        if (id === 'pending') continue;
        const task = await take(queue, { ids: [id] });
        if (id === 'running') await queue.start(task);
        if (id === 'retrying') await queue.settle(task, { status: 'failed', error: new Error('x') });
        if (id === 'waiting')
          await queue.settle(task, { status: 'waiting', interrupts: [{ id: 'q', value: 1 }] });
        if (id === 'done') await queue.settle(task, { status: 'completed', result: 1 });
      }
      for (const id of ['pending', 'assigned', 'running', 'retrying', 'waiting']) {
        const cancelled = await queue.cancel(id);
        assert.deepEqual([cancelled.status, cancelled.lease], ['cancelled', undefined], id);
        assert.deepEqual(await queue.cancel(id), cancelled);
      }
      const done = await read(queue, 'done');
      assert.deepEqual(await queue.cancel('done'), done);
      await refused(queue.cancel('nobody'), 'TASK_NOT_FOUND');
      assert.deepEqual(await takenIds(queue), []);
    },
  },
  {
    name: 'moves that the transition table does not have are refused and change nothing',
    async run({ open }) {
      const queue = open();
      await queue.enqueue({ payload: {}, id: 'a' });
      await refused(queue.updateStatus('a', 'completed'), 'INVALID_TRANSITION');
      await refused(queue.updateStatus('a', 'in_progress'), 'INVALID_TRANSITION');
      await refused(queue.updateStatus('a', 'assigned'), 'INVALID_TRANSITION');
      await complete(queue, 'a');
      const done = await read(queue, 'a');
      for (const status of [
        'pending',
        'in_progress',
        'retrying',
        'failed',
        'cancelled',
        'waiting',
      ] as const) {
        await refused(queue.updateStatus('a', status), 'INVALID_TRANSITION');
      }
      assert.deepEqual(await read(queue, 'a'), done);
      await refused(queue.updateStatus('nobody', 'completed'), 'TASK_NOT_FOUND');
    },
  },
  {
    name: 'metadata merges one level deep and keeps its bound; progress is kept as given',
    async run({ open }) {
      const queue = open();
      await queue.enqueue({ payload: {}, id: 'a', metadata: { keep: 1, deep: { x: 1 } } });
      await take(queue);
      await queue.updateStatus('a', 'in_progress', { metadata: { deep: { y: 2 } }, progress: [1, 2] });
      const task = await read(queue, 'a');
      assert.deepEqual([task.metadata, task.progress], [{ keep: 1, deep: { y: 2 } }, [1, 2]]);
      const large = { metadata: { t: 'x'.repeat(64 * 1024) } };
      await refused(queue.updateStatus('a', 'completed', large), 'TOO_LARGE');
      assert.equal(await statusOf(queue, 'a'), 'in_progress');
      const done = await queue.updateStatus('a', 'completed', { metadata: { more: true }, result: 1 });
      assert.deepEqual(done.metadata, { keep: 1, deep: { y: 2 }, more: true });
    },
  },
  {
    name: 'assign records the agent and the score table with the task',
    async run({ open }) {
      const queue = open();
      await queue.enqueue({ payload: {}, id: 'a' });
      const task = await takeStarted(queue);
      const scores = [{ agent: 'ada', score: 75, parts: { capability: 50, priority: 25 } }];
      await queue.assign(task, { agent: 'ada', scores });
      await queue.settle(task, { status: 'completed', result: 1 });
      const done = await read(queue, 'a');
      assert.deepEqual([done.assignedAgent, done.scores], ['ada', scores]);
    },
  },
  {
    name: 'the turns of a choice go with its score table',
    async run({ open }) {
      const queue = open();
      await queue.enqueue({ payload: {}, id: 'a' });
      const task = await takeStarted(queue);
      const scores = [{ agent: 'ada', score: 75, parts: { capability: 50, priority: 25 } }];
      await queue.assign(task, { agent: 'ada', scores, turns: [1, 5] });
      assert.deepEqual((await read(queue, 'a')).turns, [1, 5]);
      await queue.settle(task, { status: 'completed', result: 1 }, { agent: 'ada', scores });
      assert.equal((await read(queue, 'a')).turns, undefined);
    },
  },
  {
    name: 'while paused nothing is claimed or started, in-flight work settles, and resume lets all go on',
    async run({ open }) {
      const queue = open();
      await queue.enqueueMany(['a', 'b', 'c'].map((id) => ({ payload: {}, id })));
      const started = await takeStarted(queue);
      const assigned = await take(queue);
      await queue.pause();
      assert.equal(await queue.dequeue(), null);
      assert.equal((await queue.stats()).paused, true);
      await refused(queue.start(assigned), 'QUEUE_PAUSED');
      await refused(queue.updateStatus('b', 'in_progress'), 'QUEUE_PAUSED');
      await queue.heartbeat(assigned);
      assert.equal((await queue.settle(started, { status: 'completed' })).status, 'completed');
      await queue.enqueue({ payload: {}, id: 'd' });
      await queue.resume();
      assert.equal((await queue.start(assigned)).status, 'in_progress');
      assert.deepEqual(await takenIds(queue), ['c', 'd']);
    },
  },
  {
    name: 'a retry that falls due while paused is there after resume',
    async run({ open, clock }) {
      const queue = open();
      await queue.enqueue({ payload: {}, id: 'a' });
      const task = await takeStarted(queue);
      await queue.pause();
      await queue.settle(task, { status: 'failed', error: new Error('x') });
      await clock.advance(60_000);
      assert.equal(await queue.dequeue(), null);
      await queue.resume();
      assert.deepEqual(await takenIds(queue), ['a']);
    },
  },
  {
    name: 'pause, cancel and ends reach other queues on the same storage',
    needs: 'shared',
    async run({ open, clock }) {
      const [here, there] = [open({ owner: 'here' }), open({ owner: 'there' })];
      await here.enqueueMany(['a', 'b'].map((id) => ({ payload: {}, id })));
      const held = await takeStarted(there);
      const lost = new Promise<string>((resolve) => {
        there.on('leaseLost', (event) => resolve(event.reason));
      });
      const ended = there.waitFor('a');
      await here.cancel('a');
      await clock.advance(1_100);
      assert.equal(await lost, 'cancelled');
      assert.equal((await ended).status, 'cancelled');
      await refused(there.settle(held, { status: 'completed' }), 'LEASE_LOST');
      await here.pause();
      assert.equal(await there.dequeue(), null);
    },
  },
  {
    name: 'updateStatus decides by the task as it stands, not as this queue remembers it',
    needs: 'shared',
    async run({ open }) {
      const [here, there] = [open({ owner: 'here' }), open({ owner: 'there' })];
      await here.enqueueMany(['failed', 'done'].map((id) => ({ payload: {}, id })));
      await takeStarted(there, { ids: ['failed'] });
      await takeStarted(there, { ids: ['done'] });
      await here.updateStatus('failed', 'failed', { reason: 'by hand' });
      await here.updateStatus('done', 'completed', { result: 1 });
      // Released it would keep its error and its end; redriven it begins a new life.
      const redriven = await there.updateStatus('failed', 'pending');
      assert.deepEqual(
        [redriven.status, redriven.error, redriven.completedAt],
        ['pending', undefined, undefined],
      );
      assert.equal((await here.history('failed')).at(-1)?.reason, 'redriven');
      await refused(there.updateStatus('done', 'pending'), 'INVALID_TRANSITION');
      assert.equal((await read(here, 'done')).result, 1);
    },
  },
  {
    name: 'what is no task, outcome or change is refused with a code, by a rejected promise',
    async run({ open }) {
      const queue = open();
      await queue.enqueue({ payload: {}, id: 'a' });
      const pending = await read(queue, 'a');
      await refused(queue.start(pending), 'LEASE_LOST');
      await refused(queue.start(null as never), 'INVALID_OPTION');
      await refused(queue.settle(null as never, { status: 'completed' }), 'INVALID_OPTION');
      const task = await takeStarted(queue);
      await refused(queue.settle(task, undefined as never), 'INVALID_OPTION');
      await refused(queue.settle(task, null as never), 'INVALID_OPTION');
      await refused(queue.settle(task, { status: 'waiting', interrupts: [null as never] }), 'INVALID_TASK');
      await refused(queue.updateStatus('a', 'completed', null as never), 'INVALID_OPTION');
      assert.equal(await statusOf(queue, 'a'), 'in_progress');
    },
  },
  {
    name: 'a wait takes a positive time; Infinity is none',
    async run({ open }) {
      const queue = open();
      await queue.enqueue({ payload: {}, id: 'a' });
      for (const timeoutMs of [0, -1, Number.NaN, '5' as unknown as number])
        await refused(queue.waitFor('a', { timeoutMs }), 'INVALID_OPTION');
      const ended = queue.waitFor('a', { timeoutMs: Number.POSITIVE_INFINITY });
      await complete(queue, 'a');
      assert.equal((await ended).status, 'completed');
    },
  },
];
