import assert from 'node:assert/strict';
import type { TaskStore } from '../../queue/task-store.ts';
import type { ConformanceCase } from '../conformance.ts';
import type { QueueHarness } from '../task-queue-conformance.ts';
import { complete, fail, refused, take } from './steps.ts';

export const listingCases: readonly ConformanceCase<QueueHarness>[] = [
  {
    name: 'listTasks pages in the order of submission, and an empty page never has a cursor',
    async run({ open }) {
      const queue = open();
      assert.deepEqual(await queue.listTasks(), { tasks: [] });
      const ids = Array.from({ length: 5 }, (_, i) => `t${i}`);
      await queue.enqueueMany(ids.map((id, i) => ({ payload: {}, id, priority: i + 1 })));
      for (const limit of [1, 2, 5, 9]) {
        const found: string[] = [];
        let cursor: string | undefined;
        do {
          const page = await queue.listTasks({ limit, ...(cursor !== undefined && { cursor }) });
          assert.ok(page.tasks.length > 0 || page.cursor === undefined);
          assert.ok(page.tasks.length <= limit);
          found.push(...page.tasks.map((task) => task.id));
          cursor = page.cursor;
        } while (cursor !== undefined);
        assert.deepEqual(found, ids);
      }
    },
  },
  {
    name: 'listTasks filters by status, agent type, creation and top-level metadata, joined',
    async run({ open, clock }) {
      const queue = open();
      await queue.enqueue({ payload: {}, id: 'old', metadata: { team: 'x' } });
      await clock.advance(10);
      await queue.enqueueMany([
        { payload: {}, id: 'a', agentType: 'w', metadata: { team: 'x', tags: ['p', { q: 1 }] } },
        { payload: {}, id: 'b', agentType: 'w', metadata: { team: 'y' } },
        { payload: {}, id: 'c', metadata: { team: 'x' } },
      ]);
      await complete(queue, 'c');
      const ids = async (query: Parameters<typeof queue.listTasks>[0]) =>
        (await queue.listTasks(query)).tasks.map((task) => task.id);
      assert.deepEqual(await ids({ metadata: { team: 'x' } }), ['old', 'a', 'c']);
      assert.deepEqual(await ids({ metadata: { tags: ['p', { q: 1 }] } }), ['a']);
      assert.deepEqual(await ids({ metadata: { team: 'x', none: 1 } }), []);
      assert.deepEqual(await ids({ status: 'completed' }), ['c']);
      assert.deepEqual(await ids({ status: ['pending', 'completed'], createdAfter: clock.now() }), [
        'a',
        'b',
        'c',
      ]);
      assert.deepEqual(await ids({ agentType: 'w', metadata: { team: 'y' } }), ['b']);
      assert.deepEqual(await ids({ metadata: { team: 'y' }, limit: 1 }), ['b']);
    },
  },
  {
    name: 'listTasks refuses limits, cursors and statuses that cannot be meant',
    async run({ open }) {
      const queue = open();
      for (const query of [{ limit: 0 }, { limit: 1_001 }, { cursor: 'x' }, { status: 'odd' as 'pending' }]) {
        await refused(queue.listTasks(query), 'INVALID_OPTION');
      }
    },
  },
  {
    name: 'stats count what waits, what runs and what has ended',
    async run({ open, clock }) {
      const queue = open();
      await queue.enqueueMany([
        { payload: {}, id: 'done' },
        { payload: {}, id: 'dead' },
        { payload: {}, id: 'held' },
        { payload: {}, id: 'ready' },
        { payload: {}, id: 'delayed', delayMs: 600_000 },
        { payload: {}, id: 'blocked', dependsOn: ['held'] },
      ]);
      await complete(queue, 'done');
      await fail(queue, 'dead');
      await take(queue, { ids: ['held'] });
      await clock.advance(15_000);
      const stats = await queue.stats();
      assert.deepEqual([stats.ready, stats.delayed, stats.blocked, stats.paused], [1, 1, 1, false]);
      assert.deepEqual(
        [stats.counts.pending, stats.counts.assigned, stats.counts.completed, stats.counts.failed],
        [3, 1, 1, 1],
      );
      assert.equal(stats.oldestWaitingMs, 15_000);
      await clock.advance(45_000);
      assert.deepEqual((await queue.stats()).throughput, { lastMinute: 2, lastHour: 2 });
      await clock.advance(60_000);
      assert.deepEqual((await queue.stats()).throughput, { lastMinute: 0, lastHour: 2 });
    },
  },
  {
    name: 'unknown tasks are null to read and TASK_NOT_FOUND to change',
    async run({ open }) {
      const queue = open();
      assert.equal(await queue.getTask('nobody'), null);
      assert.deepEqual(await queue.history('nobody'), []);
      await refused(queue.answer('nobody', 'q', 1), 'TASK_NOT_FOUND');
      await refused(queue.cancel('nobody'), 'TASK_NOT_FOUND');
    },
  },
  {
    name: 'listTasks finds rare metadata in few looks at the store, and goes on where its page was cut',
    async run({ wrapped }) {
      let looks = 0;
      const queue = wrapped((store) => counting(store, () => looks++));
      const rare = new Set([10, 500, 501, 990]);
      await queue.enqueueMany(
        Array.from({ length: 1_000 }, (_, i) => ({
          payload: {},
          id: `t${i}`,
          metadata: { rare: rare.has(i) },
        })),
      );
      const found: string[] = [];
      let cursor: string | undefined;
      do {
        const page = await queue.listTasks({ metadata: { rare: true }, limit: 1, cursor });
        found.push(...page.tasks.map((task) => task.id));
        cursor = page.cursor;
      } while (cursor !== undefined);
      assert.deepEqual(found, ['t10', 't500', 't501', 't990']);
      assert.ok(looks <= 5, `${looks} looks`);
    },
  },
  {
    name: 'a query with a field nobody knows is refused, not ignored',
    async run({ open }) {
      const queue = open();
      await refused(queue.listTasks({ priority: 5 } as object), 'INVALID_OPTION');
      await refused(queue.listTasks(null as unknown as object), 'INVALID_OPTION');
      await refused(queue.listTasks({ createdAfter: Number.NaN }), 'INVALID_OPTION');
    },
  },
];

/** The store, with each list() counted. */
function counting(store: TaskStore, onList: () => void): TaskStore {
  return new Proxy(store, {
    get(target, name) {
      if (name === 'list') onList();
      const member: unknown = Reflect.get(target, name, target);
      return typeof member === 'function' ? member.bind(target) : member;
    },
  });
}
