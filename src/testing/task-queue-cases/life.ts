import assert from 'node:assert/strict';
import type { ConformanceCase } from '../conformance.ts';
import type { QueueHarness } from '../task-queue-conformance.ts';
import { complete, endings, read, refused, statusOf, take, takeStarted } from './steps.ts';

export const lifeCases: readonly ConformanceCase<QueueHarness>[] = [
  {
    name: 'the plain loop works: dequeue, updateStatus in_progress, updateStatus completed with a result',
    async run({ open, clock }) {
      const queue = open();
      const id = await queue.enqueue({ payload: { goal: 'survey' } });
      const task = await take(queue);
      assert.equal(task.id, id);
      assert.equal(task.status, 'assigned');
      const started = await queue.updateStatus(id, 'in_progress');
      assert.equal(started.startedAt, clock.now());
      const done = await queue.updateStatus(id, 'completed', { result: { pages: 3 } });
      assert.equal(done.status, 'completed');
      assert.deepEqual((await read(queue, id)).result, { pages: 3 });
      assert.equal(await queue.dequeue(), null);
      assert.deepEqual(
        (await queue.history(id)).map((event) => event.to),
        ['pending', 'assigned', 'in_progress', 'completed'],
      );
    },
  },
  {
    name: 'a failed attempt with retries left ends in retrying and is dequeued again when its time has come',
    async run({ open, clock }) {
      const queue = open({ retry: { jitter: false } });
      const id = await queue.enqueue({ payload: {} });
      await take(queue);
      await queue.updateStatus(id, 'in_progress');
      const failed = await queue.updateStatus(id, 'retrying', { error: new Error('rate limit') });
      assert.equal(failed.status, 'retrying');
      assert.equal(failed.retryCount, 1);
      assert.equal(failed.runAt, clock.now() + 500);
      assert.equal(failed.error?.message, 'rate limit');
      await clock.advance(499);
      assert.equal(await queue.dequeue(), null);
      await clock.advance(1);
      const again = await take(queue);
      assert.equal(again.id, id);
      assert.equal(again.attempt, 2);
    },
  },
  {
    name: 'a settled task shows its result as it is stored, whatever the worker does with its own afterwards',
    async run({ open }) {
      const queue = open();
      await queue.enqueue({ payload: {} });
      const result = { pages: [1, 2], nought: -0, none: undefined };
      const settling = queue.settle(await take(queue), { status: 'completed', result });
      result.pages.push(3);
      const done = await settling;
      result.pages.push(4);
      assert.deepEqual(done.result, { pages: [1, 2], nought: 0 });
      assert.deepEqual((await read(queue, done.id)).result, done.result);
    },
  },
  {
    name: 'settle of an assigned task implies its start',
    async run({ open, clock }) {
      const queue = open();
      await queue.enqueue({ payload: {}, id: 'a' });
      const done = await queue.settle(await take(queue), { status: 'completed', result: null });
      assert.equal(done.status, 'completed');
      assert.equal(done.startedAt, clock.now());
      assert.equal(done.lease, undefined);
    },
  },
  {
    name: 'a result sent again is the same as JSON, whatever the order of its keys',
    async run({ open }) {
      const queue = open();
      await queue.enqueue({ payload: {}, id: 'a' });
      const task = await takeStarted(queue);
      const done = await queue.settle(task, { status: 'completed', result: { a: 1, b: [{ c: 2, d: 3 }] } });
      const again = { status: 'completed', result: { b: [{ d: 3, c: 2 }], a: 1 } } as const;
      assert.deepEqual(await queue.settle(task, again), done);
      await refused(queue.settle(task, { ...again, result: { b: [], a: 1 } }), 'LEASE_LOST');
    },
  },
  {
    name: 'the same outcome again returns the recorded task, another is refused',
    async run({ open }) {
      const queue = open();
      await queue.enqueue({ payload: {}, id: 'a' });
      const task = await takeStarted(queue);
      const first = await queue.settle(task, { status: 'completed', result: [1, { a: 2 }] });
      assert.deepEqual(await queue.settle(task, { status: 'completed', result: [1, { a: 2 }] }), first);
      await refused(queue.settle(task, { status: 'completed', result: [2] }), 'LEASE_LOST');
      await refused(queue.settle(task, { status: 'failed', error: new Error('no') }), 'LEASE_LOST');
      assert.deepEqual(await read(queue, 'a'), first);
      assert.deepEqual(await endings(queue, 'a'), ['completed']);
    },
  },
  {
    name: 'of cancel and complete at the same moment exactly one wins, and both answers agree with it',
    async run({ open }) {
      const queue = open();
      for (let round = 0; round < 10; round++) {
        const id = `t${round}`;
        await queue.enqueue({ payload: {}, id });
        const task = await takeStarted(queue);
        const moves = [
          () => queue.cancel(id).then((cancelled) => cancelled.status),
          () =>
            queue.settle(task, { status: 'completed', result: 1 }).then(
              (done) => done.status,
              () => 'refused',
            ),
        ];
        if (round % 2) moves.reverse();
        const answers = await Promise.all(moves.map((move) => move()));
        const status = await statusOf(queue, id);
        assert.ok(
          answers.every((answer) => answer === status || answer === 'refused'),
          `${answers} but ${status}`,
        );
        assert.deepEqual(await endings(queue, id), [status]);
      }
    },
  },
  {
    name: 'released work is claimable at once, without a charge, or at the time given',
    async run({ open, clock }) {
      const queue = open();
      await queue.enqueue({ payload: {}, id: 'a' });
      await queue.settle(await takeStarted(queue), { status: 'released', reason: 'shutting down' });
      const again = await takeStarted(queue);
      assert.deepEqual([again.retryCount, again.crashes, again.attempt], [0, 0, 1]);
      await queue.settle(again, { status: 'released', runAt: clock.now() + 100 });
      assert.equal(await queue.dequeue(), null);
      await clock.advance(100);
      await take(queue);
    },
  },
  {
    name: 'history has rising numbers and exactly one ending event for each life',
    async run({ open }) {
      const queue = open({ maxRetries: 0 });
      await queue.enqueue({ payload: {}, id: 'a' });
      await queue.settle(await takeStarted(queue), { status: 'failed', error: new Error('x') });
      await queue.retry('a');
      await complete(queue, 'a');
      assert.deepEqual(await endings(queue, 'a'), ['failed', 'completed']);
      const events = await queue.history('a');
      assert.deepEqual(
        events.map((event) => event.seq),
        events.map((_, i) => i + 1),
      );
      assert.equal(events.find((event) => event.from === 'failed')?.reason, 'redriven');
      assert.equal(events.at(-1)?.worker, queue.owner);
    },
  },
  {
    name: 'waitFor resolves for what has ended, and for what ends later',
    async run({ open }) {
      const queue = open();
      await queue.enqueueMany([
        { payload: {}, id: 'a' },
        { payload: {}, id: 'b' },
      ]);
      await complete(queue, 'a', 5);
      assert.equal((await queue.waitFor('a')).result, 5);
      const later = queue.waitFor('b');
      await complete(queue, 'b', 6);
      assert.equal((await later).result, 6);
    },
  },
  {
    name: 'waitFor resolves for what is cancelled and for what is skipped with it',
    async run({ open }) {
      const queue = open();
      await queue.enqueueMany([
        { payload: {}, id: 'a' },
        { payload: {}, id: 'b', dependsOn: ['a'] },
      ]);
      const waits = [queue.waitFor('a'), queue.waitFor('b')];
      await queue.cancel('a');
      assert.deepEqual(
        (await Promise.all(waits)).map((task) => task.status),
        ['cancelled', 'skipped'],
      );
    },
  },
  {
    name: 'waitFor ends with its timeout, its signal, or TASK_NOT_FOUND',
    async run({ open, clock }) {
      const queue = open();
      await queue.enqueue({ payload: {}, id: 'a' });
      const timed = refused(queue.waitFor('a', { timeoutMs: 50 }), 'TIMEOUT');
      await clock.advance(50);
      await timed;
      const abort = new AbortController();
      const aborted = assert.rejects(queue.waitFor('a', { signal: abort.signal }), /enough/);
      abort.abort(new Error('enough'));
      await aborted;
      await assert.rejects(queue.waitFor('a', { signal: AbortSignal.abort(new Error('before')) }), /before/);
      await refused(queue.waitFor('nobody'), 'TASK_NOT_FOUND');
    },
  },
  {
    name: 'events tell of transitions, ends, pause and resume, until the listener is taken back',
    async run({ open }) {
      const queue = open();
      const heard: string[] = [];
      const off = [
        queue.on('transition', (event) => heard.push(`${event.from}>${event.to}#${event.seq}`)),
        queue.on('completed', (task) => heard.push(`completed ${task.id}`)),
        queue.on('paused', () => heard.push('paused')),
        queue.on('resumed', () => heard.push('resumed')),
      ];
      await queue.enqueue({ payload: {}, id: 'a' });
      await complete(queue, 'a');
      await queue.pause();
      await queue.resume();
      assert.deepEqual(heard, [
        'null>pending#1',
        'pending>in_progress#2',
        'in_progress>completed#3',
        'completed a',
        'paused',
        'resumed',
      ]);
      for (const stop of off) stop();
      await queue.enqueue({ payload: {}, id: 'b' });
      assert.equal(heard.length, 6);
    },
  },
  {
    name: 'a listener that throws harms nobody, and an error without a listener is harmless',
    async run({ open }) {
      const queue = open();
      queue.on('transition', () => {
        throw new Error('bad listener');
      });
      let after = 0;
      queue.on('transition', () => after++);
      await queue.enqueue({ payload: {}, id: 'a' });
      const errors: string[] = [];
      queue.on('error', (error) => errors.push(error.message));
      await complete(queue, 'a');
      assert.equal(after, 3);
      assert.ok(errors.length > 0 && errors.every((message) => message === 'bad listener'));
    },
  },
  {
    name: 'close is idempotent and everything after it is refused with CLOSED',
    async run({ open, clock }) {
      const queue = open();
      await queue.enqueue({ payload: {}, id: 'a' });
      const task = await take(queue);
      const waiting = refused(queue.waitFor('a'), 'CLOSED');
      await Promise.all([queue.close(), queue.close()]);
      await queue.close();
      await waiting;
      assert.equal(clock.timers, 0);
      const calls = [
        () => queue.enqueue({ payload: {} }),
        () => queue.dequeue(),
        () => queue.heartbeat(task),
        () => queue.settle(task, { status: 'completed' }),
        () => queue.start(task),
        () => queue.updateStatus('a', 'completed'),
        () => queue.cancel('a'),
        () => queue.retry('a'),
        () => queue.getTask('a'),
        () => queue.listTasks(),
        () => queue.history('a'),
        () => queue.stats(),
        () => queue.pause(),
        () => queue.resume(),
        () => queue.waitFor('a'),
      ];
      for (const call of calls) await refused(call(), 'CLOSED');
    },
  },
];
