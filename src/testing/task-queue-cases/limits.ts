import assert from 'node:assert/strict';
import type { NewTask } from '../../queue/task.ts';
import type { TaskQueue } from '../../queue/task-queue.ts';
import type { ConformanceCase } from '../conformance.ts';
import type { QueueHarness } from '../task-queue-conformance.ts';
import { complete, read, refused, statusOf, take, takenIds, takeStarted, tasks } from './steps.ts';

const ACME = [{ key: 'tenant:acme', max: 2 }];

async function usedOf(queue: TaskQueue, key: string): Promise<number | undefined> {
  return (await queue.limits([key]))[0]?.used;
}

export const limitCases: readonly ConformanceCase<QueueHarness>[] = [
  {
    name: 'no more tasks of a key run than its limit, others run on',
    async run({ open }) {
      const queue = open();
      await queue.enqueueMany([...tasks('a', 4, { limits: ACME }), { payload: {}, id: 'free' }]);
      assert.deepEqual(await takenIds(queue), ['a1', 'a2', 'free']);
      const [a1] = await Promise.all(['a1'].map((id) => read(queue, id)));
      assert.deepEqual(a1?.limits, [{ key: 'tenant:acme', weight: 1 }]);
      await queue.settle(a1!, { status: 'completed' });
      assert.deepEqual(await takenIds(queue), ['a3']);
      assert.equal(await usedOf(queue, 'tenant:acme'), 2);
    },
  },
  {
    name: 'a place is free again after a crash, once the lease is over',
    async run({ open, clock }) {
      const queue = open({ leaseMs: 1_000, sweepMs: 100, retry: { initialInterval: 0, jitter: false } });
      await queue.enqueueMany(tasks('a', 2, { limits: [{ key: 'k', max: 1 }] }));
      await takeStarted(queue);
      assert.deepEqual(await takenIds(queue), []);
      await clock.advance(1_200);
      assert.equal(await usedOf(queue, 'k'), 0);
      assert.equal((await takenIds(queue)).length, 1);
      assert.equal(await usedOf(queue, 'k'), 1);
    },
  },
  {
    name: 'starts of a key stay under its rate, and go on by themselves',
    async run({ open, clock }) {
      const queue = open();
      const off = queue.on('available', () => woken++);
      let woken = 0;
      const limits = [{ key: 'model:x', rate: { max: 2, perMs: 1_000 } }];
      await queue.enqueueMany(tasks('a', 5, { limits }));
      assert.deepEqual(await takenIds(queue), ['a1', 'a2']);
      assert.deepEqual(await takenIds(queue), []);
      const before = woken;
      await clock.advance(1_100);
      assert.ok(woken > before, 'whoever listens is woken when the key opens');
      assert.deepEqual(await takenIds(queue), ['a3', 'a4']);
      const [state] = await queue.limits(['model:x']);
      assert.deepEqual([state?.used, state?.spent, state?.rate], [4, 2, { max: 2, perMs: 1_000 }]);
      off();
    },
  },
  {
    name: 'what an attempt spent takes the place of what was reserved',
    async run({ open }) {
      const queue = open();
      const limits = [{ key: 'tokens', rate: { max: 100, perMs: 60_000 }, weight: 60 }];
      await queue.enqueueMany(tasks('a', 3, { limits }));
      const first = await takeStarted(queue);
      assert.deepEqual(await takenIds(queue), []);
      await queue.settle(first, { status: 'completed', spent: { tokens: 10, other: 5 } });
      assert.deepEqual(await takenIds(queue), ['a2']);
      const second = await read(queue, 'a2');
      await refused(queue.settle(second, { status: 'completed', spent: { tokens: -1 } }), 'INVALID_OPTION');
    },
  },
  {
    name: 'what time has let through is found also when the key was written before anybody looked',
    async run({ open, clock }) {
      const queue = open();
      const weighing = (id: string, more: Partial<NewTask>): NewTask => ({
        ...{ id, payload: {}, ...more },
        limits: [{ key: 'tokens', rate: { max: 10, perMs: 1_000 }, weight: 10 }],
      });
      await queue.enqueueMany([weighing('first', { priority: 10 }), weighing('second', { agentType: 'x' })]);
      await queue.enqueueMany([weighing('third', { agentType: 'y' }), weighing('gone', { agentType: 'z' })]);
      assert.deepEqual(await takenIds(queue), ['first']);
      assert.deepEqual(await takenIds(queue), []);
      await clock.advance(1_100);
      await queue.cancel('gone');
      assert.deepEqual((await queue.explain('second')).blockers, []);
      assert.deepEqual(await takenIds(queue), ['second']);
      await clock.advance(1_100);
      await queue.enqueue(weighing('more', { agentType: 'z' }));
      assert.deepEqual(await takenIds(queue), ['third']);
    },
  },
  {
    name: 'nobody goes before another of his lane that weighs too much, and is told so',
    async run({ open, clock }) {
      const queue = open();
      const weighing = (id: string, weight: number, more: Partial<NewTask> = {}): NewTask => ({
        ...{ id, payload: {}, agentType: 'x', ...more },
        limits: [{ key: 'tokens', rate: { max: 10, perMs: 2_000 }, weight }],
      });
      await queue.enqueue(weighing('first', 8));
      assert.deepEqual(await takenIds(queue), ['first']);
      await queue.enqueueMany([weighing('heavy', 5), weighing('light', 1)]);
      await queue.enqueueMany([
        weighing('later', 1, { delayMs: 1_000 }),
        weighing('own', 1, { priority: 1 }),
      ]);
      const codes = async (id: string) => (await queue.explain(id)).blockers.map(({ code }) => code);
      assert.deepEqual(await codes('heavy'), ['KEY_RATE']);
      const [behind] = (await queue.explain('light')).blockers;
      assert.deepEqual([behind?.code, behind?.taskId, behind?.key], ['KEY_RATE', 'heavy', 'tokens']);
      assert.deepEqual(await codes('own'), []);
      assert.deepEqual(await takenIds(queue), ['own']);
      assert.deepEqual(await codes('light'), ['KEY_RATE']);
      await clock.advance(behind!.until! - clock.now());
      assert.deepEqual([await codes('heavy'), await codes('light')], [[], []]);
      assert.deepEqual(await takenIds(queue), ['heavy', 'light', 'later']);
    },
  },
  {
    name: 'too many calls cost no attempt: the key is closed for as long as was said, in order, and others run on',
    async run({ open, clock }) {
      const queue = open();
      await queue.enqueueMany([
        ...tasks('a', 3, { limits: [{ key: 'model:x' }] }),
        { payload: {}, id: 'free', priority: 1 },
      ]);
      const first = await takeStarted(queue);
      const error = Object.assign(new Error('slow down'), { name: 'RateLimitError', retryAfterMs: 2_000 });
      const back = await queue.settle(first, { status: 'failed', error });
      assert.deepEqual([back.status, back.retryCount, back.crashes], ['pending', 0, 0]);
      assert.deepEqual(await takenIds(queue), ['free']);
      await clock.advance(1_999);
      assert.deepEqual(await takenIds(queue), []);
      assert.deepEqual(
        (await queue.explain('a1')).blockers.map(({ code }) => code),
        ['KEY_CLOSED'],
      );
      await clock.advance(1);
      assert.deepEqual(await takenIds(queue), ['a1', 'a2', 'a3']);
      assert.match((await queue.history('a1')).at(-2)?.reason ?? '', /^RATE_LIMITED: slow down/);
    },
  },
  {
    name: 'an answer 429 is understood by its shape, with the time its headers tell; without a key the task waits alone',
    async run({ open, clock }) {
      const queue = open();
      await queue.enqueueMany(tasks('a', 2));
      const refusals = [
        Object.assign(new Error('429'), { status: 429, headers: { 'retry-after': '3' } }),
        Object.assign(new Error('429'), {
          status: 429,
          headers: {
            date: 'Sun, 06 Nov 1994 08:49:37 GMT',
            'retry-after': 'Sun, 06 Nov 1994 08:49:40 GMT',
          },
        }),
        Object.assign(new Error('wrapped'), {
          cause: Object.assign(new Error('429'), {
            response: { status: 429, headers: new Headers({ 'retry-after-ms': '3000' }) },
          }),
        }),
      ];
      for (const error of refusals) {
        const back = await queue.settle(await takeStarted(queue, { ids: ['a1'] }), {
          status: 'failed',
          error,
        });
        assert.deepEqual([back.status, back.retryCount, back.runAt - clock.now()], ['pending', 0, 3_000]);
        await clock.advance(3_000);
      }
      const final = { status: 'failed', error: refusals[0], retry: false } as const;
      assert.equal((await queue.settle(await takeStarted(queue), final)).status, 'failed');
    },
  },
  {
    name: 'a backlog begins with a task that waited for its time, also when all others are purged',
    async run({ open, clock }) {
      const queue = open({ retentionMs: 100, sweepMs: 500 });
      await queue.enqueue({ id: 'fair', payload: {}, fairKey: 'f', delayMs: 500 });
      assert.deepEqual(await takenIds(queue), []);
      await clock.advance(500);
      const [fair] = await queue.dequeueMany(5);
      assert.equal(fair?.id, 'fair');
      await queue.enqueueMany([
        { id: 'other', payload: {}, fairKey: 'g' },
        { id: 'late', payload: {}, fairKey: 'f', delayMs: 5_000 },
      ]);
      const [other] = await queue.dequeueMany(5);
      for (const task of [fair!, other!]) await queue.settle(task, { status: 'completed' });
      await clock.advance(4_000);
      assert.equal(await queue.getTask('other'), null);
      await queue.enqueue({ id: 'plain', payload: {} });
      await clock.advance(1_000);
      assert.deepEqual((await takenIds(queue)).toSorted(), ['late', 'plain']);
    },
  },
  {
    name: 'backlogs of fair keys take turns, by weight',
    async run({ open }) {
      const queue = open();
      await queue.enqueueMany([
        ...tasks('big', 30, { fairKey: 'big' }),
        ...tasks('small', 1, { fairKey: 'small' }),
      ]);
      assert.ok((await takenIds(queue, { ids: ['small1'] })).length === 1);
      await queue.enqueueMany(tasks('late', 4, { fairKey: 'late', fairWeight: 3 }));
      const next = await queue.dequeueMany(5);
      assert.equal(
        next.filter(({ id }) => id.startsWith('late')).length >= 3,
        true,
        next.map(({ id }) => id).join(),
      );
      assert.equal((await read(queue, 'big1')).fairKey, 'big');
    },
  },
  {
    name: 'an agent, a type or a key is paused by itself, also for tasks that are claimed and not started',
    async run({ open }) {
      const queue = open();
      await queue.enqueueMany([
        { payload: {}, id: 'typed', agentType: 'x' },
        { payload: {}, id: 'pinned', agent: 'bob' },
        { payload: {}, id: 'keyed', limits: [{ key: 'k' }] },
        { payload: {}, id: 'free' },
      ]);
      const held = await take(queue, { ids: ['typed'] });
      for (const target of [{ agentType: 'x' }, { agent: 'bob' }, { key: 'k' }]) await queue.pause(target);
      await refused(queue.start(held), 'QUEUE_PAUSED');
      await refused(queue.updateStatus('typed', 'in_progress'), 'QUEUE_PAUSED');
      await queue.settle(held, { status: 'released' });
      assert.deepEqual(await takenIds(queue), ['free']);
      for (const [id, code] of [
        ['typed', 'TYPE_PAUSED'],
        ['pinned', 'AGENT_PAUSED'],
        ['keyed', 'KEY_PAUSED'],
      ] as const) {
        assert.deepEqual(
          (await queue.explain(id)).blockers.map((blocker) => blocker.code),
          [code],
        );
      }
      assert.equal((await queue.limits(['k']))[0]?.paused, true);
      for (const target of [{ agentType: 'x' }, { agent: 'bob' }, { key: 'k' }]) await queue.resume(target);
      assert.deepEqual((await takenIds(queue)).sort(), ['keyed', 'pinned', 'typed']);
      await refused(queue.pause({ agent: 'a', key: 'b' } as never), 'INVALID_OPTION');
      await refused(queue.pause({ queue: 'a' } as never), 'INVALID_OPTION');
    },
  },
  {
    name: 'explain names everything that keeps a task back, and nothing exactly when it can be claimed',
    async run({ open, clock }) {
      const queue = open();
      await queue.enqueueMany([
        { payload: {}, id: 'first' },
        { payload: {}, id: 'after', dependsOn: ['first'] },
        { payload: {}, id: 'late', delayMs: 1_000 },
        ...tasks('k', 2, { limits: [{ key: 'k', max: 1 }], delayMs: 0 }),
      ]);
      const codes = async (id: string) => (await queue.explain(id)).blockers.map(({ code }) => code);
      assert.deepEqual(await codes('first'), []);
      assert.deepEqual(await codes('after'), ['DEPENDENCY']);
      assert.deepEqual(await codes('late'), ['RUN_AT']);
      assert.equal((await queue.explain('late')).blockers[0]?.until, clock.now() + 1_000);
      await take(queue, { ids: ['k1'] });
      assert.deepEqual(await codes('k1'), ['RUNNING']);
      assert.deepEqual(await codes('k2'), ['KEY_FULL']);
      await queue.pause();
      assert.deepEqual(await codes('k2'), ['QUEUE_PAUSED', 'KEY_FULL']);
      assert.deepEqual(await codes('late'), ['RUN_AT', 'QUEUE_PAUSED']);
      await queue.resume();
      await complete(queue, 'first');
      assert.deepEqual(await codes('first'), ['ENDED']);
      assert.deepEqual(await codes('after'), []);
      const asking = await take(queue, { ids: ['after'] });
      await queue.settle(asking, { status: 'waiting', interrupts: [{ id: 'q', value: '?' }] });
      assert.deepEqual(await codes('after'), ['WAITS_FOR_PERSON']);
      await refused(queue.explain('nobody'), 'TASK_NOT_FOUND');
      for (const { id } of (await queue.listTasks()).tasks) {
        const isFree = (await codes(id)).length === 0;
        assert.equal((await takenIds(queue, { ids: [id] })).length === 1, isFree, id);
      }
      assert.equal(await statusOf(queue, 'late'), 'pending');
    },
  },
  {
    name: 'explain tells when time frees a task, how old an approval is, and about when a task starts',
    async run({ open, clock }) {
      const queue = open({ sweepMs: 3_600_000 });
      const rated = { limits: [{ key: 'r', rate: { max: 1, perMs: 60_000 } }] };
      const approval = { question: 'Deploy?', timeoutMs: 12 * 3_600_000 };
      await queue.enqueueMany([
        { payload: {}, id: 'timed', approval },
        { payload: {}, id: 'asking', approval: { question: 'Deploy?' } },
        { payload: {}, id: 'fast', priority: 10, ...rated },
        { payload: {}, id: 'slow', ...rated },
        { payload: {}, id: 'ready' },
      ]);
      const only = async (id: string) => {
        const { blockers, expectedStartAt } = await queue.explain(id);
        assert.equal(blockers.length, 1, id);
        return { ...blockers[0]!, expectedStartAt };
      };
      assert.equal((await queue.explain('ready')).expectedStartAt, undefined);
      await complete(queue, 'fast');
      const slow = await only('slow');
      assert.equal(slow.code, 'KEY_RATE');
      assert.ok(slow.until! >= clock.now() + 60_000 && slow.expectedStartAt! >= slow.until!);
      const { expectedStartAt = 0 } = await queue.explain('ready');
      assert.ok(expectedStartAt > clock.now() && expectedStartAt < clock.now() + 10 * 60_000);
      await clock.advance(3 * 3_600_000);
      const [asking, timed] = [await only('asking'), await only('timed')];
      assert.deepEqual([asking.code, timed.code], ['WAITS_FOR_PERSON', 'WAITS_FOR_PERSON']);
      assert.match(asking.message, /approval, 3 h old; approve or reject it$/);
      assert.deepEqual([asking.until, timed.until], [undefined, clock.now() + 9 * 3_600_000]);
    },
  },
];
