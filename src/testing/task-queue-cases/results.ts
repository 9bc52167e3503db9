import assert from 'node:assert/strict';
import type { NewTask, Where } from '../../queue/task.ts';
import type { TaskQueue } from '../../queue/task-queue.ts';
import type { ConformanceCase } from '../conformance.ts';
import type { QueueHarness } from '../task-queue-conformance.ts';
import { complete, endings, fail, read, refused, statusOf, take, takenIds, takeStarted } from './steps.ts';

const COVERED: Where = { 'result.coverage': { gte: 80 } };
/** All that could break a store's lines and quotes. */
const ODD_TEXT = ' a  b\n"\'\\%S {} ü\u2028😀\ud800 ';

const RESULT = {
  n: 80,
  text: 'b',
  yes: true,
  no: null,
  odd: ODD_TEXT,
  list: [{ id: 7 }],
  deep: { a: { b: 1 } },
};

const HOLD: readonly Where[] = [
  { 'result.n': { eq: 80 } },
  { 'result.n': { gte: 80, lte: 80, gt: 79.5, lt: 81, ne: 81, in: [1, 80], exists: true } },
  { 'result.text': { gt: 'a', lt: 'c', in: ['b'] } },
  { 'result.yes': { eq: true }, 'result.no': { eq: null, exists: true } },
  { 'result.odd': { eq: ODD_TEXT } },
  { 'result.list.0.id': { eq: 7 }, 'result.list.1': { exists: false }, 'result.list.length': { eq: 1 } },
  { 'result.deep.a.b': { eq: 1 }, result: { exists: true } },
  { 'result.toString': { exists: false }, 'result.deep.__proto__': { exists: false } },
];

const FAIL: readonly Where[] = [
  { 'result.n': { gt: 80 } },
  { 'result.n': { eq: '80' } },
  { 'result.n': { gte: '7' } },
  { 'result.n': { gte: 80, lt: 80 } },
  { 'result.n': { lt: 80, gte: 80 } },
  { 'result.n': { eq: 81 }, 'result.text': { eq: 'b' } },
  { 'result.n': { eq: 80 }, 'result.text': { eq: 'a' } },
  { 'result.missing': { ne: 1 } },
  { 'result.missing': { lt: 1 } },
  { 'result.deep': { gte: 0 } },
  { 'result.no': { gte: 0 } },
  { 'result.n.x': { exists: true } },
  { 'result.odd': { ne: ODD_TEXT } },
  { 'result.odd': { in: ['a b', 'ü'] } },
];

/** One dependent of `a` for each condition, named by its place in the list. */
function dependents(name: string, conditions: readonly Where[]): NewTask[] {
  return conditions.map((where, i) => ({ payload: {}, id: `${name}${i}`, dependsOn: [{ id: 'a', where }] }));
}

async function reasonOf(queue: TaskQueue, id: string): Promise<string> {
  return (await queue.history(id)).at(-1)?.reason ?? '';
}

export const resultCases: readonly ConformanceCase<QueueHarness>[] = [
  {
    name: 'a where on a dependency decides by its result, and what does not fit is skipped with a reason',
    async run({ open }) {
      const queue = open();
      const batch = [...dependents('hold', HOLD), ...dependents('fail', FAIL)];
      await queue.enqueueMany([{ payload: {}, id: 'a' }, ...batch]);
      for (const { id, dependsOn } of batch) {
        const task = await read(queue, id!);
        assert.deepEqual([task.dependsOn, task.blockedBy], [dependsOn, ['a']]);
      }
      await complete(queue, 'a', RESULT);
      for (const { id } of batch) {
        const expected = id!.startsWith('hold') ? 'pending' : 'skipped';
        assert.equal(await statusOf(queue, id!), expected, id);
      }
      assert.match(await reasonOf(queue, 'fail0'), /dependency a.*result\.n is 80, expected gt 80/);
    },
  },
  {
    name: 'a where on a task that has ended is decided at the submission; one that did not complete never fits',
    async run({ open }) {
      const queue = open();
      await queue.enqueueMany([
        { payload: {}, id: 'good' },
        { payload: {}, id: 'dead' },
      ]);
      await complete(queue, 'good', { coverage: 91 });
      await fail(queue, 'dead');
      await queue.enqueue({ payload: {}, id: 'b', dependsOn: [{ id: 'good', where: COVERED }] });
      const other: Where = { 'result.coverage': { lt: 80 } };
      await queue.enqueue({ payload: {}, id: 'c', dependsOn: [{ id: 'good', where: other }] });
      await queue.enqueue({ payload: {}, id: 'd', dependsOn: [{ id: 'dead', where: COVERED }] });
      assert.deepEqual(await Promise.all(['b', 'c', 'd'].map((id) => statusOf(queue, id))), [
        'pending',
        'skipped',
        'skipped',
      ]);
    },
  },
  {
    name: 'several wheres on one dependency are each judged, and a join waits for all of them',
    async run({ open }) {
      const queue = open();
      const twice = [
        { id: 'a', where: COVERED },
        { id: 'a', where: { 'result.ok': { eq: true } } },
        { id: 'b', where: COVERED },
      ];
      await queue.enqueueMany([
        { payload: {}, id: 'a' },
        { payload: {}, id: 'b' },
        { payload: {}, id: 'join', dependsOn: twice },
      ]);
      await complete(queue, 'a', { coverage: 80, ok: true });
      assert.deepEqual((await read(queue, 'join')).blockedBy, ['b']);
      await complete(queue, 'b', { coverage: 80 });
      assert.deepEqual(await takenIds(queue), ['join']);
    },
  },
  {
    name: 'a where is judged by whichever process is there, also after one that ended before its verdict',
    needs: 'durable',
    async run({ open, wrapped, clock }) {
      const dying = wrapped((store) => {
        const mute = { unjudged: async () => [] };
        return new Proxy(store, {
          get(target, name) {
            const found: unknown = Reflect.get({ ...mute }, name) ?? Reflect.get(target, name);
            return typeof found === 'function' ? found.bind(target) : found;
          },
        });
      });
      await dying.enqueueMany([
        { payload: {}, id: 'a' },
        { payload: {}, id: 'yes', dependsOn: [{ id: 'a', where: COVERED }] },
        { payload: {}, id: 'no', dependsOn: [{ id: 'a', where: { 'result.coverage': { gt: 99 } } }] },
      ]);
      await complete(dying, 'a', { coverage: 81 });
      assert.equal(await statusOf(dying, 'no'), 'pending');
      await dying.close();
      const next = open({ sweepMs: 1_000 });
      await next.getTask('a');
      for (let step = 0; step < 5; step++) await clock.advance(1_000);
      assert.equal((await next.waitFor('no')).status, 'skipped');
      assert.deepEqual(await takenIds(next), ['yes']);
    },
  },
  {
    name: 'a bad where is refused with its place, and nothing is stored',
    async run({ open }) {
      const queue = open();
      const bad: readonly (readonly [where: unknown, path: string])[] = [
        [{ 'result.x': { foo: 1 } }, "where['result.x'].foo"],
        [{ 'result.x': { gte: null } }, "where['result.x'].gte"],
        [{ 'result.x': { in: 'abc' } }, "where['result.x'].in"],
        [{ 'result.x': { exists: 1 } }, "where['result.x'].exists"],
        [{ 'result.x': { eq: { a: 1 } } }, "where['result.x'].eq"],
        [{ 'result.x': {} }, "where['result.x']"],
        [{ 'result.x': 80 }, "where['result.x']"],
        [{ coverage: { gte: 80 } }, "where['coverage']"],
        [{ 'result..x': { gte: 80 } }, "where['result..x']"],
        [{}, 'where'],
        ['result.x', 'where'],
      ];
      for (const [where, path] of bad) {
        const batch = [
          { payload: {}, id: 'a' },
          { payload: {}, dependsOn: [{ id: 'a', where }] },
        ];
        const edge = await refused(queue.enqueueMany(batch as NewTask[]), 'INVALID_TASK');
        assert.equal(edge.path, `tasks[1].dependsOn[0].${path}`);
        const own = await refused(
          queue.enqueue({ payload: {}, validate: { where } } as unknown as NewTask),
          'INVALID_TASK',
        );
        assert.equal(own.path, `task.validate.${path}`);
      }
      const many = Object.fromEntries(Array.from({ length: 21 }, (_, i) => [`result.${i}`, { eq: i }]));
      const long: Where = { 'result.x': { eq: 'ü'.repeat(400) } };
      for (const where of [many, long])
        await refused(queue.enqueue({ payload: {}, validate: { where } }), 'TOO_LARGE');
      const both = { id: 'a', on: 'failure', where: COVERED } as never;
      const refusal = await refused(queue.enqueue({ payload: {}, dependsOn: [both] }), 'INVALID_TASK');
      assert.equal(refusal.path, 'task.dependsOn[0].on');
      const unheard = { custom: 'unheard' };
      const named = [
        { payload: {}, id: 'first' },
        { payload: {}, dependsOn: [{ id: 'first', on: unheard }] },
      ];
      const place = await refused(queue.enqueueMany(named), 'UNKNOWN_CONDITION');
      assert.equal(place.path, 'tasks[1].dependsOn[0].on.custom');
      const own = await refused(queue.enqueue({ payload: {}, validate: unheard }), 'UNKNOWN_CONDITION');
      assert.equal(own.path, 'task.validate.custom');
      assert.deepEqual((await queue.listTasks()).tasks, []);
    },
  },
  {
    name: 'a result that its task does not accept is a failure, retried until one fits or the retries are spent',
    async run({ open, clock }) {
      const queue = open();
      const validated = { payload: {}, maxRetries: 2, validate: { where: COVERED } };
      await queue.enqueueMany([
        { ...validated, id: 'late' },
        { payload: {}, id: 'after', dependsOn: ['late'] },
        { ...validated, id: 'never' },
        { payload: {}, id: 'sorry', dependsOn: [{ id: 'never', on: 'failure' }] },
      ]);
      for (const [id, coverages] of [
        ['late', [10, 79, 80]],
        ['never', [10, 20, 30]],
      ] as const) {
        for (const [attempt, coverage] of coverages.entries()) {
          const held = await takeStarted(queue, { ids: [id] });
          const task = await queue.settle(held, { status: 'completed', result: { coverage } });
          const isLast = attempt === 2;
          const expected = isLast ? (id === 'late' ? 'completed' : 'failed') : 'retrying';
          assert.equal(task.status, expected);
          if (task.status !== 'completed') {
            assert.equal(task.error?.code, 'RESULT_REJECTED');
            assert.match(task.error?.message ?? '', /result\.coverage is \d+, expected gte 80/);
            assert.equal(task.result, undefined);
          }
          await clock.advance(60_000);
        }
      }
      assert.deepEqual(await endings(queue, 'never'), ['failed']);
      assert.deepEqual(new Set(await takenIds(queue)), new Set(['after', 'sorry']));
    },
  },
  {
    name: 'the same rejected result again returns the recorded task; another outcome is refused',
    async run({ open }) {
      const queue = open();
      await queue.enqueue({ payload: {}, id: 'a', validate: { where: COVERED } });
      const held = await takeStarted(queue);
      const outcome = { status: 'completed', result: { coverage: 1 } } as const;
      const first = await queue.settle(held, outcome);
      assert.deepEqual(await queue.settle(held, outcome), first);
      await refused(queue.settle(held, { status: 'completed', result: { coverage: 90 } }), 'LEASE_LOST');
    },
  },
  {
    name: "a task's own custom condition judges its result; one that throws or is missing fails it with a reason",
    async run({ open }) {
      const seen: unknown[] = [];
      const queue = open({
        conditions: {
          fine: (result, task) => {
            seen.push([result, task.id]);
            return result === 'fine';
          },
          throwing: () => {
            throw new Error('broken condition');
          },
        },
      });
      const ids = ['good', 'bad', 'broken'];
      const validate = (i: number) => ({ custom: i === 2 ? 'throwing' : 'fine' });
      await queue.enqueueMany(
        ids.map((id, i) => ({ payload: {}, id, maxRetries: 0, validate: validate(i) })),
      );
      assert.equal((await complete(queue, 'good', 'fine')).status, 'completed');
      assert.match((await complete(queue, 'bad', 'odd')).error?.message ?? '', /fine.* does not hold/);
      assert.match((await complete(queue, 'broken')).error?.message ?? '', /broken condition/);
      assert.deepEqual(seen, [
        ['fine', 'good'],
        ['odd', 'bad'],
      ]);
    },
  },
  {
    name: 'a condition of the task that is missing where it is settled is a failure with a reason',
    needs: 'shared',
    async run({ open }) {
      const knows = open({ conditions: { fine: () => true } });
      await knows.enqueue({ payload: {}, id: 'a', validate: { custom: 'fine' } });
      const ignorant = open();
      const task = await complete(ignorant, 'a');
      assert.equal(task.status, 'retrying');
      assert.match(task.error?.message ?? '', /fine.*not registered/);
    },
  },
  {
    name: 'a result that an operator records is judged too, and a redriven task still knows what was rejected',
    async run({ open }) {
      const queue = open();
      await queue.enqueue({ payload: {}, id: 'a', maxRetries: 0, validate: { where: COVERED } });
      await take(queue, undefined, { start: true });
      const failed = await queue.updateStatus('a', 'completed', { result: { coverage: 2 } });
      assert.deepEqual([failed.status, failed.error?.code], ['failed', 'RESULT_REJECTED']);
      const redriven = await queue.retry('a');
      assert.deepEqual([redriven.status, redriven.error?.code], ['pending', 'RESULT_REJECTED']);
      const done = await complete(queue, 'a', { coverage: 80 });
      assert.deepEqual([done.status, done.error], ['completed', undefined]);
    },
  },
];
