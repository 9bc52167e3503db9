import assert from 'node:assert/strict';
import type { ApprovalQuestion, Task } from '../../queue/task.ts';
import type { TaskQueue } from '../../queue/task-queue.ts';
import type { TaskStore } from '../../queue/task-store.ts';
import type { ConformanceCase } from '../conformance.ts';
import type { QueueHarness } from '../task-queue-conformance.ts';
import { complete, fail, read, refused, statusOf, takenIds, takeStarted } from './steps.ts';

const approval = { question: 'Deploy?' };

function questionOf(task: Task): ApprovalQuestion {
  const value = task.interrupts?.[0]?.value;
  assert.ok(value, `${task.id} asks`);
  return value as unknown as ApprovalQuestion;
}

async function asks(queue: TaskQueue, id: string): Promise<ApprovalQuestion> {
  const task = await read(queue, id);
  assert.equal(task.status, 'waiting');
  return questionOf(task);
}

async function reasons(queue: TaskQueue, id: string): Promise<(string | undefined)[]> {
  return (await queue.history(id)).map(({ reason }) => reason);
}

export const approvalCases: readonly ConformanceCase<QueueHarness>[] = [
  {
    name: 'an approval is asked as soon as nothing is in its way, and no worker ever gets it',
    async run({ open, clock }) {
      const queue = open();
      await queue.enqueue({ payload: { version: 7 }, id: 'a', approval, metadata: { team: 'x' } });
      const { question, shown, hash } = await asks(queue, 'a');
      assert.equal(question, 'Deploy?');
      assert.deepEqual(shown, { input: { version: 7 }, metadata: { team: 'x' }, results: {} });
      assert.match(hash, /^[\w-]{43}$/);
      const task = await read(queue, 'a');
      assert.deepEqual([task.agentType, task.lease, task.askedAt], [undefined, undefined, clock.now()]);
      assert.deepEqual(task.approval, approval);
      assert.deepEqual(await takenIds(queue), []);
      assert.deepEqual((await queue.stats()).unserved, []);
    },
  },
  {
    name: 'one that fell due while nobody looked is asked by whoever lists what waits',
    needs: 'durable',
    async run({ open, clock }) {
      const first = open();
      await first.enqueue({ payload: {}, id: 'a', approval, delayMs: 1_000 });
      await first.close();
      await clock.advance(5_000);
      const queue = open();
      const { tasks } = await queue.listTasks({ status: ['waiting', 'failed'] });
      assert.deepEqual(
        tasks.map(({ id }) => id),
        ['a'],
      );
    },
  },
  {
    name: 'approved it has completed, with who and why; what waits for it goes on',
    async run({ open, clock }) {
      const queue = open();
      await queue.enqueueMany([
        { payload: {}, id: 'a', approval },
        { payload: {}, id: 'next', dependsOn: [{ id: 'a', where: { 'result.by': { eq: 'ann' } } }] },
        { payload: {}, id: 'else', dependsOn: [{ id: 'a', on: 'failure' }] },
      ]);
      const { hash } = await asks(queue, 'a');
      const decision = { approved: true, by: 'ann', reason: 'looks good', hash };
      const decided = await queue.decide('a', decision);
      assert.equal(decided.status, 'completed');
      const { approved, by, reason } = decision;
      assert.deepEqual(decided.result, { approved, by, reason, at: clock.now() });
      assert.deepEqual([decided.interrupts, decided.askedAt], [undefined, undefined]);
      assert.equal((await reasons(queue, 'a')).at(-1), 'approved by ann: looks good');
      assert.deepEqual(await takenIds(queue), ['next']);
      assert.equal(await statusOf(queue, 'else'), 'skipped');
    },
  },
  {
    name: 'rejected it has failed with REJECTED; edges on failure go on, and a retry asks anew',
    async run({ open }) {
      const queue = open();
      await queue.enqueueMany([
        { payload: {}, id: 'a', approval },
        { payload: {}, id: 'next', dependsOn: ['a'] },
        { payload: {}, id: 'else', dependsOn: [{ id: 'a', on: 'failure' }] },
      ]);
      const decided = await queue.decide('a', { approved: false, by: 'bob' });
      assert.deepEqual([decided.status, decided.error?.code], ['failed', 'REJECTED']);
      assert.deepEqual(await takenIds(queue), ['else']);
      assert.equal(await statusOf(queue, 'next'), 'skipped');
      await queue.retry('a');
      assert.equal((await asks(queue, 'a')).question, 'Deploy?');
      assert.equal((await queue.decide('a', { approved: true, by: 'bob' })).status, 'completed');
    },
  },
  {
    name: 'the same decision again changes nothing, the other one is refused',
    async run({ open }) {
      const queue = open();
      await queue.enqueue({ payload: {}, id: 'a', approval });
      const first = await queue.decide('a', { approved: true, by: 'ann' });
      assert.deepEqual(await queue.decide('a', { approved: true, by: 'ann' }), first);
      await refused(queue.decide('a', { approved: false, by: 'bob' }), 'ALREADY_DECIDED');
      assert.deepEqual(await read(queue, 'a'), first);
    },
  },
  {
    name: 'it shows the results of its dependencies, and waits for them',
    async run({ open }) {
      const queue = open();
      await queue.enqueueMany([
        { payload: {}, id: 'tests' },
        { payload: {}, id: 'lint' },
        {
          payload: {},
          id: 'a',
          approval,
          dependsOn: ['tests', { id: 'lint', on: 'completion' }],
        },
      ]);
      await refused(queue.decide('a', { approved: true, by: 'ann' }), 'INVALID_TRANSITION');
      await complete(queue, 'tests', { coverage: 91 });
      await fail(queue, 'lint');
      assert.deepEqual((await asks(queue, 'a')).shown.results, { tests: { coverage: 91 } });
    },
  },
  {
    name: 'a decision on something else than what is there now is refused',
    async run({ open }) {
      const queue = open();
      await queue.enqueue({ payload: {}, id: 'a', approval });
      const { hash } = await asks(queue, 'a');
      await refused(queue.decide('a', { approved: true, by: 'ann', hash: 'other' }), 'STALE_APPROVAL');
      assert.equal((await asks(queue, 'a')).hash, hash);
      assert.equal((await queue.decide('a', { approved: true, by: 'ann', hash })).status, 'completed');
    },
  },
  {
    name: 'when the task has changed since, it is asked again and not decided',
    async run({ open, clock }) {
      const queue = open();
      await queue.enqueue({ payload: {}, id: 'a', approval, metadata: { target: 'staging' } });
      const before = await read(queue, 'a');
      await clock.advance(1_000);
      await queue.updateStatus('a', 'waiting', { metadata: { target: 'production' } });
      await refused(queue.decide('a', { approved: true, by: 'ann' }), 'STALE_APPROVAL');
      const after = await read(queue, 'a');
      assert.deepEqual(questionOf(after).shown.metadata, { target: 'production' });
      assert.notEqual(questionOf(after).hash, questionOf(before).hash);
      assert.notEqual(after.interrupts?.[0]?.id, before.interrupts?.[0]?.id);
      assert.equal(after.askedAt, clock.now());
      const { hash } = questionOf(before);
      await refused(queue.decide('a', { approved: true, by: 'ann', hash }), 'STALE_APPROVAL');
      assert.equal((await queue.decide('a', { approved: true, by: 'ann' })).status, 'completed');
      assert.ok((await reasons(queue, 'a')).some((reason) => reason?.startsWith('asked again')));
    },
  },
  {
    name: 'when a dependency has another result since, it is asked again',
    async run({ open }) {
      const queue = open();
      await queue.enqueueMany([
        { payload: {}, id: 'tests' },
        { payload: {}, id: 'a', approval, dependsOn: [{ id: 'tests', on: 'completion' }] },
      ]);
      await fail(queue, 'tests');
      const { hash, shown } = await asks(queue, 'a');
      assert.deepEqual(shown.results, {});
      await queue.retry('tests');
      await complete(queue, 'tests', 'fixed');
      await refused(queue.decide('a', { approved: true, by: 'ann', hash }), 'STALE_APPROVAL');
      assert.deepEqual((await asks(queue, 'a')).shown.results, { tests: 'fixed' });
      assert.equal((await queue.decide('a', { approved: true, by: 'ann' })).status, 'completed');
    },
  },
  {
    name: 'a dependency that was purged since has not changed what was shown',
    async run({ open, clock }) {
      const queue = open({ retentionMs: 10_000, sweepMs: 1_000 });
      await queue.enqueueMany([
        { payload: {}, id: 'tests' },
        { payload: {}, id: 'a', approval, dependsOn: ['tests'] },
      ]);
      await complete(queue, 'tests', 'fine');
      const { hash } = await asks(queue, 'a');
      await clock.advance(15_000);
      assert.equal(await queue.getTask('tests'), null);
      assert.equal((await queue.decide('a', { approved: true, by: 'ann', hash })).status, 'completed');
    },
  },
  {
    name: 'when nobody is in time, the default decides: reject, or approve',
    async run({ open, clock }) {
      const queue = open({ sweepMs: 3_600_000 });
      await queue.enqueueMany([
        { payload: {}, id: 'a', approval: { question: 'a?', timeoutMs: 1_000 } },
        { payload: {}, id: 'b', approval: { question: 'b?', timeoutMs: 1_000, onTimeout: 'approve' } },
      ]);
      const { timeoutAt, onTimeout } = await asks(queue, 'b');
      assert.deepEqual([timeoutAt, onTimeout], [clock.now() + 1_000, 'approve']);
      await clock.advance(999);
      assert.equal(await statusOf(queue, 'a'), 'waiting');
      await clock.advance(100);
      const [a, b] = [await read(queue, 'a'), await read(queue, 'b')];
      assert.deepEqual([a.status, a.error?.code], ['failed', 'REJECTED']);
      assert.deepEqual(
        [b.status, (b.result as { by?: string }).by, (b.result as { approved?: boolean }).approved],
        ['completed', 'timeout', true],
      );
      await refused(queue.decide('b', { approved: false, by: 'ann' }), 'ALREADY_DECIDED');
    },
  },
  {
    name: 'no clock approves what has changed since it was asked',
    async run({ open, clock }) {
      const queue = open({ sweepMs: 3_600_000 });
      const timed = { question: 'Deploy?', timeoutMs: 1_000, onTimeout: 'approve' } as const;
      await queue.enqueue({ payload: {}, id: 'a', approval: timed });
      await clock.advance(500);
      await queue.updateStatus('a', 'waiting', { metadata: { target: 'production' } });
      await clock.advance(600);
      assert.deepEqual((await asks(queue, 'a')).shown.metadata, { target: 'production' });
      await clock.advance(1_100);
      assert.equal(await statusOf(queue, 'a'), 'completed');
    },
  },
  {
    name: 'one that was claimed by a process that died is asked when its lease has ended',
    async run({ clock, wrapped }) {
      const dying = { isDead: true };
      const queue = wrapped((store) => withApply(store, dying), { leaseMs: 1_000, sweepMs: 1_000 });
      await queue.enqueue({ payload: {}, id: 'a', approval });
      assert.equal(await statusOf(queue, 'a'), 'assigned');
      dying.isDead = false;
      await clock.advance(3_000);
      const task = await read(queue, 'a');
      assert.deepEqual([task.status, task.crashes], ['waiting', 0]);
    },
  },
  {
    name: 'a delayed one is asked at its time, one of a paused queue when that goes on',
    async run({ open, clock }) {
      const queue = open({ sweepMs: 3_600_000 });
      await queue.enqueue({ payload: {}, id: 'delayed', approval, delayMs: 2_000 });
      await queue.pause();
      await queue.enqueue({ payload: {}, id: 'paused', approval });
      assert.equal(await statusOf(queue, 'paused'), 'pending');
      await queue.resume();
      await asks(queue, 'paused');
      assert.equal(await statusOf(queue, 'delayed'), 'pending');
      await clock.advance(2_100);
      await asks(queue, 'delayed');
    },
  },
  {
    name: 'any claim opens what nobody opened, and goes on to what a worker may have',
    async run({ wrapped }) {
      const queue = wrapped(withoutOpening);
      await queue.enqueueMany([
        ...Array.from({ length: 5 }, (_, i) => ({ payload: {}, id: `a${i}`, priority: 9, approval })),
        { payload: {}, id: 'work' },
      ]);
      assert.equal(await statusOf(queue, 'a0'), 'pending');
      assert.equal((await takeStarted(queue)).id, 'work');
      for (let i = 0; i < 5; i++) await asks(queue, `a${i}`);
    },
  },
  {
    name: 'only an approval is decided, and it is decided, not answered or completed',
    async run({ open }) {
      const queue = open();
      await queue.enqueueMany([
        { payload: {}, id: 'task' },
        { payload: {}, id: 'a', approval },
      ]);
      await refused(queue.decide('task', { approved: true, by: 'ann' }), 'INVALID_TRANSITION');
      await refused(queue.decide('nothing', { approved: true, by: 'ann' }), 'TASK_NOT_FOUND');
      await refused(queue.decide('a', { approved: 'yes', by: 'ann' } as never), 'INVALID_OPTION');
      await refused(queue.decide('a', { approved: true, by: '' }), 'INVALID_OPTION');
      const [question] = (await read(queue, 'a')).interrupts ?? [];
      await refused(queue.answer('a', question!.id, true), 'INVALID_TRANSITION');
      await refused(queue.updateStatus('a', 'completed'), 'INVALID_TRANSITION');
      await queue.cancel('a', 'not needed');
      await refused(queue.decide('a', { approved: true, by: 'ann' }), 'INVALID_TRANSITION');
    },
  },
  {
    name: 'an approval takes no place under a limit: neither under one of the queue, nor under one of its parent',
    async run({ open, clock }) {
      const queue = open({ limits: [{ key: 'all', max: 1 }] });
      const limits = [{ key: 'own', max: 1 }];
      await queue.enqueue({ payload: {}, id: 'parent', limits, fairKey: 'ann' });
      const parent = await takeStarted(queue);
      await queue.enqueue({ payload: {}, id: 'a', approval });
      const child = { payload: {}, id: 'b', approval };
      await queue.enqueueChildren(parent, [child, { payload: {}, id: 'c' }]);
      await clock.advance(100);
      const ids = ['a', 'b', 'c'];
      assert.deepEqual(await Promise.all(ids.map((id) => statusOf(queue, id))), [
        'waiting',
        'waiting',
        'pending',
      ]);
      assert.deepEqual(
        (await queue.limits()).map(({ key, used }) => [key, used]),
        [
          ['all', 1],
          ['own', 1],
        ],
      );
      await queue.pause({ key: 'all' });
      await queue.decide('b', { approved: true, by: 'ann' });
      assert.equal(await statusOf(queue, 'b'), 'completed');
    },
  },
  {
    name: 'what is no approval is refused at its place, and its type is nobody else’s',
    async run({ open }) {
      const queue = open();
      for (const [bad, path] of [
        [{ approval: 'sure?' }, 'approval'],
        [{ approval: {} }, 'approval.question'],
        [{ approval: { question: '' } }, 'approval.question'],
        [{ approval: { question: 'x'.repeat(4_001) } }, 'approval.question'],
        [{ approval: { ...approval, timeoutMs: 0 } }, 'approval.timeoutMs'],
        [{ approval: { ...approval, onTimeout: 'ask' } }, 'approval.onTimeout'],
        [{ approval: { ...approval, who: 'ann' } }, 'approval.who'],
        [{ approval, agentType: 'x' }, 'agentType'],
        [{ approval, agent: 'x' }, 'agent'],
        [{ approval, timeoutMs: 5 }, 'timeoutMs'],
        [{ approval, limits: [{ key: 'k', max: 1 }] }, 'limits'],
        [{ approval, fairKey: 'ann' }, 'fairKey'],
        [{ agentType: '@approval' }, 'agentType'],
      ] as const) {
        const error = await refused(queue.enqueueMany([{ payload: {}, ...bad } as never]), 'INVALID_TASK');
        assert.equal(error.path, `tasks[0].${path}`);
      }
    },
  },
  {
    name: 'what is too much to show is told by its size, and bound all the same',
    async run({ open }) {
      const queue = open();
      await queue.enqueueMany([
        { payload: {}, id: 'tests' },
        { payload: {}, id: 'a', approval, dependsOn: ['tests'] },
      ]);
      await complete(queue, 'tests', 'x'.repeat(300_000));
      const { shown, hash } = await asks(queue, 'a');
      const { omitted } = shown.results.tests as { omitted?: { bytes?: number } };
      assert.equal(omitted?.bytes, 300_002);
      assert.equal((await queue.decide('a', { approved: true, by: 'ann', hash })).status, 'completed');
    },
  },
];

/** A store to which a dead process writes nothing more. */
function withApply(store: TaskStore, dying: { readonly isDead: boolean }): TaskStore {
  return replacing(store, 'apply', (changes, now) => {
    if (dying.isDead) throw new Error('the process died');
    return store.apply(changes, now);
  });
}

/** A store in which nobody looks for approvals alone. */
function withoutOpening(store: TaskStore): TaskStore {
  return replacing(store, 'claim', async (claim) =>
    claim.filter?.agentTypes?.includes('@approval') ? [] : store.claim(claim),
  );
}

function replacing<K extends 'apply' | 'claim'>(store: TaskStore, method: K, by: TaskStore[K]): TaskStore {
  return new Proxy(store, {
    get(target, key) {
      if (key === method) return by;
      const value: unknown = Reflect.get(target, key, target);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
}
