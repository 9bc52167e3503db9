import assert from 'node:assert/strict';
import { LOG_BYTES_MAX, LOG_ENTRIES_MAX, type LogPage, type TaskLog } from '../../queue/task-log.ts';
import type { TaskRecord, TaskStore } from '../../queue/task-store.ts';
import type { ConformanceCase } from '../conformance.ts';
import type { StoreHarness } from '../task-store-conformance.ts';
import { aChange, change, claimOne, insertIds, NOW, read } from './steps.ts';

const OVER = { owner: null, leaseExpiresAt: null, completedAt: NOW } as const;

function aPage(...lines: readonly string[]): LogPage {
  return { count: lines.length, text: lines.join('\n') };
}

async function append(
  store: TaskStore,
  { id, fence }: Pick<TaskRecord, 'id' | 'fence'>,
  ...pages: readonly LogPage[]
): Promise<boolean> {
  const [isAdded] = await store.appendLogs([{ id, fence, pages }]);
  return isAdded!;
}

function whole(store: TaskStore, id: string): Promise<TaskLog> {
  return store.log(id, 0, 10_000);
}

async function started(store: TaskStore): Promise<TaskRecord> {
  return claimOne(store, { to: 'in_progress' });
}

export const logCases: readonly ConformanceCase<StoreHarness>[] = [
  {
    name: 'a task has an empty log, and so has one that nobody knows',
    async run({ store }) {
      await insertIds(store, ['a']);
      for (const id of ['a', 'nobody'])
        assert.deepEqual(await whole(store, id), { total: 0, starts: [], pages: [] });
    },
  },
  {
    name: 'entries are numbered from 1 in the order they came, with the transition they came after',
    async run({ store }) {
      await insertIds(store, ['a']);
      const held = await started(store);
      assert.equal(await append(store, held, aPage('one', 'two')), true);
      assert.equal(await append(store, held, aPage('three "☃"\\'), aPage('')), true);
      assert.deepEqual(await whole(store, 'a'), {
        total: 4,
        starts: [{ seq: 2, first: 1 }],
        pages: [
          { first: 1, count: 2, text: 'one\ntwo' },
          { first: 3, count: 1, text: 'three "☃"\\' },
          { first: 4, count: 1, text: '' },
        ],
      });
    },
  },
  {
    name: 'what comes with a change comes before its event',
    async run({ store }) {
      await insertIds(store, ['a']);
      const held = await started(store);
      const back = {
        ...aChange(held, { ...OVER, completedAt: null, status: 'retrying' }),
        log: [aPage('x')],
      };
      const [applied] = await store.apply([back], NOW);
      assert.equal(applied!.record.status, 'retrying');
      const again = await started(store);
      await append(store, again, aPage('y'));
      const end = { ...aChange(again, { ...OVER, status: 'completed', result: '"☃"' }), log: [aPage('z')] };
      await store.apply([end], NOW);
      const { total, starts, pages } = await whole(store, 'a');
      assert.equal(total, 3);
      assert.deepEqual(starts, [
        { seq: 2, first: 1 },
        { seq: 4, first: 2 },
      ]);
      assert.equal(pages.map(({ text }) => text).join(), 'x,y,z');
      assert.equal((await read(store, 'a')).result, '"☃"');
      assert.equal((await store.history('a')).at(-1)!.seq, 5);
    },
  },
  {
    name: 'what comes with the end of a task that was claimed a moment before is kept',
    async run({ store }) {
      const ids = ['a', 'b', 'c', 'd'];
      await insertIds(store, ids);
      // What a claim is held ahead for comes after the first ones.
      await change(store, await started(store), { ...OVER, status: 'completed' });
      const held = [await started(store), await started(store), await started(store)];
      const ends = held.map((record) => ({
        ...aChange(record, { ...OVER, status: 'completed' }),
        log: [aPage(record.id, record.id)],
      }));
      await Promise.all(ends.map((end) => store.apply([end], NOW)));
      for (const { id } of held)
        assert.deepEqual(await whole(store, id), {
          total: 2,
          starts: [{ seq: 2, first: 1 }],
          pages: [{ first: 1, count: 2, text: `${id}\n${id}` }],
        });
    },
  },
  {
    name: 'a change that is refused adds nothing',
    async run({ store }) {
      await insertIds(store, ['a']);
      const held = await started(store);
      await change(store, held, { details: '{}' });
      const stale = { ...aChange(held, { ...OVER, status: 'completed' }), log: [aPage('x')] };
      assert.deepEqual(await store.apply([stale], NOW), [null]);
      assert.equal((await whole(store, 'a')).total, 0);
    },
  },
  {
    name: 'only who holds the lease adds entries: not an earlier holder, nor anybody to a task that waits or has ended',
    async run({ store }) {
      await insertIds(store, ['a']);
      assert.equal(await append(store, { id: 'a', fence: 0 }, aPage('x')), false);
      assert.equal(await append(store, { id: 'nobody', fence: 1 }, aPage('x')), false);
      const first = await started(store);
      await change(store, first, { ...OVER, completedAt: null, status: 'retrying' });
      assert.equal(await append(store, first, aPage('x')), false);
      const second = await started(store);
      assert.equal(await append(store, first, aPage('x')), false);
      assert.equal(await append(store, second, aPage('x')), true);
      await change(store, second, { ...OVER, status: 'completed' });
      assert.equal(await append(store, second, aPage('x')), false);
      assert.equal((await whole(store, 'a')).total, 1);
    },
  },
  {
    name: 'appends in one call are each for themselves',
    async run({ store }) {
      await insertIds(store, ['a', 'b']);
      const [a, b] = [await started(store), await started(store)];
      const added = await store.appendLogs([
        { id: 'a', fence: a.fence, pages: [aPage('of a')] },
        { id: 'b', fence: b.fence + 1, pages: [aPage('of nobody')] },
        { id: 'a', fence: a.fence, pages: [aPage('of a too')] },
        { id: 'b', fence: b.fence, pages: [aPage('of b')] },
      ]);
      assert.deepEqual(added, [true, false, true, true]);
      assert.deepEqual(await store.appendLogs([]), []);
      assert.equal((await whole(store, 'a')).total, 2);
      assert.equal((await whole(store, 'b')).pages[0]!.text, 'of b');
    },
  },
  {
    name: 'a log is read from any entry on, page by page',
    async run({ store }) {
      await insertIds(store, ['a']);
      const held = await started(store);
      for (let i = 0; i < 20; i++) await append(store, held, aPage(`${i}`, `${i}`, `${i}`));
      const { total, starts, pages } = await store.log('a', 31, 2);
      assert.equal(total, 60);
      assert.deepEqual(starts, [{ seq: 2, first: 1 }]);
      assert.deepEqual(
        pages.map(({ first }) => first),
        [31, 34],
      );
      assert.equal((await store.log('a', 33, 1)).pages[0]!.first, 34);
      assert.equal((await store.log('a', 59, 9)).pages[0]!.first, 58);
      assert.deepEqual((await store.log('a', 60, 9)).pages, []);
      assert.deepEqual((await store.log('a', 99, 9)).pages, []);
    },
  },
  {
    name: 'lost entries keep their numbers',
    async run({ store }) {
      await insertIds(store, ['a']);
      const held = await started(store);
      await append(store, held, aPage('x'), { count: 7, text: '' }, aPage('y'));
      const { total, pages } = await whole(store, 'a');
      assert.equal(total, 9);
      assert.deepEqual(pages.slice(1), [
        { first: 2, count: 7, text: '' },
        { first: 9, count: 1, text: 'y' },
      ]);
    },
  },
  {
    name: 'a log keeps its newest entries, numbered as they were, and when each run of them began',
    async run({ store }) {
      await insertIds(store, ['a']);
      const first = await started(store);
      await append(store, first, aPage('old'));
      await change(store, first, { ...OVER, completedAt: null, status: 'retrying' });
      const held = await started(store);
      const lines = Array.from({ length: LOG_ENTRIES_MAX / 10 }, (_, i) => `${i}`);
      for (let i = 0; i < 12; i++) await append(store, held, aPage(...lines));
      const { total, starts, pages } = await whole(store, 'a');
      assert.equal(total, 1 + 1.2 * LOG_ENTRIES_MAX);
      assert.deepEqual(starts, [
        { seq: 2, first: 1 },
        { seq: 4, first: 2 },
      ]);
      assert.equal(pages.length, 10);
      assert.equal(pages[0]!.first, 2 + 2 * lines.length);
      const late = await store.log('a', 0, 1);
      assert.equal(late.pages[0]!.first, pages[0]!.first);
      assert.equal((await store.log('a', total - 1, 1)).pages[0]!.first, total - lines.length + 1);
    },
  },
  {
    name: 'a log is bounded in bytes too, and the newest page always stays',
    async run({ store }) {
      await insertIds(store, ['a']);
      const held = await started(store);
      const third = 'é'.repeat(LOG_BYTES_MAX / 6);
      for (let i = 0; i < 4; i++) await append(store, held, aPage(third));
      const kept = async () => (await whole(store, 'a')).pages.map(({ first }) => first);
      assert.deepEqual(await kept(), [2, 3, 4]);
      await append(store, held, aPage('0123456789'));
      assert.deepEqual(await kept(), [3, 4, 5]);
      await append(store, held, aPage('y'.repeat(LOG_BYTES_MAX + 1)));
      assert.deepEqual(await kept(), [6]);
      await append(store, held, aPage('z'));
      assert.deepEqual(await kept(), [7]);
    },
  },
  {
    name: 'a log leaves the task as it is',
    async run({ store }) {
      await insertIds(store, ['a']);
      const held = await started(store);
      await append(store, held, aPage('x'));
      assert.deepEqual(await read(store, 'a'), held);
      await change(store, held, { ...OVER, status: 'completed' });
    },
  },
  {
    name: 'a purged task leaves no log to the next of its id',
    async run({ store }) {
      await insertIds(store, ['a', 'b']);
      const held = await started(store);
      await append(store, held, aPage('x'));
      const kept = await started(store);
      await append(store, kept, aPage('of b'));
      await change(store, held, { ...OVER, status: 'completed' });
      assert.deepEqual((await store.purge(NOW + 1, 10)).tasks, ['a']);
      assert.equal((await whole(store, 'a')).total, 0);
      await insertIds(store, ['a']);
      assert.equal((await whole(store, 'a')).total, 0);
      await append(store, await started(store), aPage('new'));
      const { total, pages } = await whole(store, 'a');
      assert.deepEqual([total, pages.length, pages[0]!.text], [1, 1, 'new']);
      assert.equal((await whole(store, 'b')).total, 1);
    },
  },
  {
    name: 'what one process adds every other reads, and hears of',
    needs: 'shared',
    async run({ store, second }) {
      await insertIds(store, ['a']);
      const held = await started(store);
      const other = await second!();
      const told = new Promise<void>((resolve) => {
        const unwatch = other.watch(() => {
          unwatch();
          resolve();
        });
      });
      await append(store, held, aPage('x'));
      await told;
      assert.equal((await whole(other, 'a')).total, 1);
      assert.equal(await append(other, held, aPage('y')), true);
      assert.equal((await whole(store, 'a')).total, 2);
    },
  },
  {
    name: 'a log is there after a restart',
    needs: 'durable',
    async run({ store, reopen }) {
      await insertIds(store, ['a']);
      const held = await started(store);
      await append(store, held, aPage('x'));
      await store.apply([{ ...aChange(held, { ...OVER, status: 'completed' }), log: [aPage('y')] }], NOW);
      const { total, pages } = await whole(await reopen!(), 'a');
      assert.deepEqual([total, pages.map(({ text }) => text)], [2, ['x', 'y']]);
    },
  },
];
