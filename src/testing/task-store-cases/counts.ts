import assert from 'node:assert/strict';
import { TASK_STATUSES } from '../../queue/task.ts';
import { THROUGHPUT_MINUTES_MAX } from '../../queue/task-store.ts';
import type { ConformanceCase } from '../conformance.ts';
import type { StoreHarness } from '../task-store-conformance.ts';
import { aChange, aRecord, change, claimOne, end, insert, insertIds, NOW, on, read } from './steps.ts';

const MINUTE_MS = 60_000;
const ZERO = Object.fromEntries(TASK_STATUSES.map((status) => [status, 0]));

export const countCases: readonly ConformanceCase<StoreHarness>[] = [
  {
    name: 'an empty store counts zero of every status',
    async run({ store }) {
      assert.deepEqual(await store.counts(NOW), {
        byStatus: ZERO,
        delayed: 0,
        blocked: 0,
        oldestReadyAt: null,
        readyKinds: [],
        endedPerMinute: [],
        paused: false,
      });
    },
  },
  {
    name: 'counts follow a task through its life',
    async run({ store }) {
      const expectOnly = async (counted: object) => {
        assert.deepEqual((await store.counts(NOW)).byStatus, { ...ZERO, ...counted });
      };
      await insertIds(store, ['a', 'b']);
      await expectOnly({ pending: 2 });
      const held = await claimOne(store);
      await expectOnly({ pending: 1, assigned: 1 });
      const { record } = await change(store, held, { status: 'in_progress' });
      await expectOnly({ pending: 1, in_progress: 1 });
      await change(store, record, { status: 'retrying', owner: null, leaseExpiresAt: null });
      await expectOnly({ pending: 1, retrying: 1 });
      await claimOne(store, { to: 'in_progress' });
      await expectOnly({ pending: 1, in_progress: 1 });
      await end(store, 'a', 'failed');
      await expectOnly({ pending: 1, failed: 1 });
      await change(store, await read(store, 'a'), { status: 'pending', completedAt: null });
      await expectOnly({ pending: 2 });
    },
  },
  {
    name: 'refused changes and refused inserts count nothing',
    async run({ store }) {
      await insertIds(store, ['a']);
      const stale = await read(store, 'a');
      await change(store, stale, { retryCount: 1 });
      await store.apply([aChange(stale, { status: 'failed', completedAt: NOW })], NOW);
      await store.insert([aRecord({ id: 'x' }), aRecord({ id: 'a' })], NOW);
      assert.deepEqual((await store.counts(NOW)).byStatus, { ...ZERO, pending: 1 });
    },
  },
  {
    name: 'delayed counts tasks whose runAt is to come, retries too, and only until then',
    async run({ store }) {
      await insert(store, [aRecord({ id: 'a', rank: 0 }), aRecord({ id: 'b', runAt: NOW + 10 })]);
      const held = await claimOne(store);
      await change(store, held, { status: 'retrying', runAt: NOW + 20, owner: null, leaseExpiresAt: null });
      assert.equal((await store.counts(NOW)).delayed, 2);
      assert.equal((await store.counts(NOW + 9)).delayed, 2);
      assert.equal((await store.counts(NOW + 10)).delayed, 1);
      assert.equal((await store.counts(NOW + 20)).delayed, 0);
    },
  },
  {
    name: 'delayed forgets tasks that ended or were put off while they waited',
    async run({ store }) {
      await insert(store, [aRecord({ id: 'a', runAt: NOW + 10 }), aRecord({ id: 'b', runAt: NOW + 10 })]);
      await end(store, 'a', 'cancelled');
      await change(store, await read(store, 'b'), { runAt: NOW + 30 });
      assert.equal((await store.counts(NOW)).delayed, 1);
      assert.equal((await store.counts(NOW + 15)).delayed, 1);
      assert.equal((await store.counts(NOW + 30)).delayed, 0);
    },
  },
  {
    name: 'blocked counts tasks with an undecided edge, however many edges each has',
    async run({ store }) {
      await insertIds(store, ['a', 'b']);
      await insert(store, [
        aRecord({ id: 'c', dependsOn: [on('a'), on('b')] }),
        aRecord({ id: 'd', dependsOn: [on('c')] }),
        aRecord({ id: 'e', dependsOn: [on('a', 'completion')] }),
      ]);
      assert.equal((await store.counts(NOW)).blocked, 3);
      await end(store, 'a', 'completed');
      assert.equal((await store.counts(NOW)).blocked, 2);
      await end(store, 'c', 'cancelled');
      assert.equal((await store.counts(NOW)).blocked, 0, 'c was cancelled, d skipped with it');
    },
  },
  {
    name: 'a task that is both blocked and delayed is counted once, as blocked, and then as delayed',
    async run({ store }) {
      await insertIds(store, ['a']);
      await insert(store, [aRecord({ id: 'b', runAt: NOW + 10, dependsOn: [on('a')] })]);
      const facets = async (now: number) => {
        const { blocked, delayed } = await store.counts(now);
        return { blocked, delayed };
      };
      assert.deepEqual(await facets(NOW), { blocked: 1, delayed: 0 });
      await end(store, 'a', 'completed');
      assert.deepEqual(await facets(NOW), { blocked: 0, delayed: 1 });
      assert.deepEqual(await facets(NOW + 10), { blocked: 0, delayed: 0 });
    },
  },
  {
    name: 'oldestReadyAt is the creation of the oldest task at the head of a lane, whatever the rank of the lane',
    async run({ store }) {
      await insert(store, [
        aRecord({ id: 'young', createdAt: NOW - 1, rank: 2, priority: 9 }),
        aRecord({ id: 'old', createdAt: NOW - 50, rank: 8 }),
        aRecord({ id: 'delayed', createdAt: NOW - 90, rank: 1, runAt: NOW + 5 }),
        aRecord({ id: 'blocked', createdAt: NOW - 99, dependsOn: [on('young')] }),
      ]);
      assert.equal((await store.counts(NOW)).oldestReadyAt, NOW - 50);
      await claimOne(store, {
        filter: { agentTypes: null, priorityMin: null, ids: ['old'], runnableBy: null },
      });
      assert.equal((await store.counts(NOW)).oldestReadyAt, NOW - 1);
      await claimOne(store);
      assert.equal((await store.counts(NOW)).oldestReadyAt, null);
      assert.equal((await store.counts(NOW + 5)).oldestReadyAt, NOW - 90);
    },
  },
  {
    name: 'readyKinds names what claimable tasks want, each once',
    async run({ store }) {
      const kinds = async (now = NOW) => new Set((await store.counts(now)).readyKinds);
      await insert(store, [
        aRecord({ id: 'a', agentType: 'x', priority: 3 }),
        aRecord({ id: 'b', agentType: 'x', priority: 9, rank: 1 }),
        aRecord({ id: 'c', agentType: 'y', agent: 'solo' }),
        aRecord({ id: 'd' }),
        aRecord({ id: 'blocked', agentType: 'z', dependsOn: [on('a')] }),
      ]);
      const [x, solo, none] = [
        { agentType: 'x', agent: null },
        { agentType: 'y', agent: 'solo' },
        { agentType: null, agent: null },
      ];
      assert.deepEqual(await kinds(), new Set([x, solo, none]));
      await claimOne(store);
      await end(store, 'd', 'cancelled');
      assert.deepEqual(await kinds(), new Set([x, solo]));
      await end(store, 'a', 'completed');
      assert.deepEqual(await kinds(), new Set([solo, { agentType: 'z', agent: null }]));
    },
  },
  {
    name: 'endings are counted per minute and status, oldest first, skips included',
    async run({ store }) {
      await insertIds(store, ['a', 'b', 'c', 'd']);
      await insert(store, [aRecord({ id: 'e', dependsOn: [on('d')] })]);
      await end(store, 'a', 'completed', NOW);
      await end(store, 'b', 'completed', NOW + MINUTE_MS - 1);
      await end(store, 'c', 'failed', NOW + MINUTE_MS);
      await end(store, 'd', 'failed', NOW + MINUTE_MS);
      const { endedPerMinute } = await store.counts(NOW + 2 * MINUTE_MS);
      const byMinute = new Map<number, Record<string, number>>();
      for (const { minute, status, count } of endedPerMinute) {
        byMinute.set(minute, { ...byMinute.get(minute), [status]: count });
      }
      assert.deepEqual([...byMinute.values()], [{ completed: 2 }, { failed: 2, skipped: 1 }]);
    },
  },
  {
    name: 'endings are remembered for a bounded time',
    async run({ store }) {
      const minutes = THROUGHPUT_MINUTES_MAX + 15;
      const ids = Array.from({ length: minutes }, (_, i) => `t${i}`);
      await insertIds(store, ids);
      for (let i = 0; i < minutes; i++) await end(store, ids[i]!, 'completed', NOW + i * MINUTE_MS);
      const { endedPerMinute } = await store.counts(NOW + minutes * MINUTE_MS);
      assert.ok(endedPerMinute.length <= THROUGHPUT_MINUTES_MAX);
      assert.ok(endedPerMinute.length >= THROUGHPUT_MINUTES_MAX - 1);
      const kept = endedPerMinute.map((entry) => entry.minute);
      assert.deepEqual(
        kept,
        [...kept].sort((x, y) => x - y),
      );
      const later = await store.counts(NOW + 10 * minutes * MINUTE_MS);
      assert.deepEqual(later.endedPerMinute, []);
    },
  },
];
