import assert from 'node:assert/strict';
import type { ConformanceCase } from '../conformance.ts';
import type { StoreHarness } from '../task-store-conformance.ts';
import {
  aRecord,
  claimIds,
  end,
  insert,
  insertIds,
  NO_EFFECTS,
  NOW,
  on,
  read,
  sorted,
  statuses,
} from './steps.ts';

const EDGE = { taskId: 'b', dependencyId: 'a', condition: 'good' };

/** `b` waits for `a` with the custom condition `good`. */
async function insertPair(store: StoreHarness['store']): Promise<void> {
  await insertIds(store, ['a']);
  await insert(store, [aRecord({ id: 'b', dependsOn: [on('a', 'custom', 'good')] })]);
}

export const judgeCases: readonly ConformanceCase<StoreHarness>[] = [
  {
    name: 'a custom edge waits for a verdict once its dependency has completed, not before',
    async run({ store }) {
      await insertPair(store);
      assert.deepEqual(await store.unjudged(10), []);
      const { effects } = await end(store, 'a', 'completed');
      assert.deepEqual(effects, { ...NO_EFFECTS, unjudged: true });
      assert.deepEqual(await store.unjudged(10), [EDGE]);
      assert.deepEqual((await read(store, 'b')).blockedBy, ['a']);
      assert.deepEqual(await claimIds(store), []);
    },
  },
  {
    name: 'a custom edge to a task that has completed waits for a verdict from the insert on',
    async run({ store }) {
      await insertIds(store, ['a']);
      await end(store, 'a', 'completed');
      const effects = await insert(store, [aRecord({ id: 'b', dependsOn: [on('a', 'custom', 'good')] })]);
      assert.deepEqual(effects, { ...NO_EFFECTS, unjudged: true });
      assert.deepEqual(await store.unjudged(10), [EDGE]);
    },
  },
  {
    name: 'any other ending than completed fails a custom edge at once',
    async run({ store }) {
      for (const status of ['failed', 'cancelled', 'skipped'] as const) {
        await insertIds(store, [status]);
        await insert(store, [aRecord({ id: `after-${status}`, dependsOn: [on(status, 'custom', 'good')] })]);
        const { effects } = await end(store, status, status);
        assert.deepEqual(effects, { ...NO_EFFECTS, skipped: [`after-${status}`] });
      }
      assert.deepEqual(await store.unjudged(10), []);
    },
  },
  {
    name: 'a verdict that holds releases the task',
    async run({ store }) {
      await insertPair(store);
      await end(store, 'a', 'completed');
      const effects = await store.judge([{ ...EDGE, holds: true, reason: 'condition good holds' }], NOW + 1);
      assert.deepEqual(effects, { ...NO_EFFECTS, released: ['b'] });
      assert.deepEqual(await store.unjudged(10), []);
      assert.deepEqual(await claimIds(store, { now: NOW + 1 }), ['b']);
    },
  },
  {
    name: 'a verdict that does not hold skips the task and all below it, and its reason is in the history',
    async run({ store }) {
      await insertPair(store);
      await insert(store, [aRecord({ id: 'c', dependsOn: [on('b')] })]);
      await end(store, 'a', 'completed');
      const effects = await store.judge(
        [{ ...EDGE, holds: false, reason: 'condition good does not hold' }],
        NOW + 1,
      );
      assert.deepEqual(
        { ...effects, skipped: sorted(effects.skipped) },
        { ...NO_EFFECTS, skipped: ['b', 'c'] },
      );
      const skip = (await store.history('b')).at(-1)!;
      assert.equal(skip.to, 'skipped');
      assert.equal(skip.at, NOW + 1);
      assert.match(skip.reason ?? '', /condition good does not hold/);
    },
  },
  {
    name: 'a second verdict on the same edge changes nothing, also when it differs',
    async run({ store }) {
      await insertPair(store);
      await end(store, 'a', 'completed');
      await store.judge([{ ...EDGE, holds: true, reason: 'yes' }], NOW);
      const before = await read(store, 'b');
      assert.deepEqual(await store.judge([{ ...EDGE, holds: false, reason: 'no' }], NOW), NO_EFFECTS);
      assert.deepEqual(await read(store, 'b'), before);
    },
  },
  {
    name: 'a verdict before the dependency has completed, or on an edge nobody has, changes nothing',
    async run({ store }) {
      await insertPair(store);
      const early = { ...EDGE, holds: true, reason: 'too early' };
      const stray = { taskId: 'a', dependencyId: 'b', condition: 'good', holds: false, reason: 'stray' };
      assert.deepEqual(await store.judge([early, stray], NOW), NO_EFFECTS);
      assert.deepEqual((await read(store, 'b')).blockedBy, ['a']);
      assert.deepEqual(await statuses(store, ['a', 'b']), { a: 'pending', b: 'pending' });
    },
  },
  {
    name: 'a task with custom and plain edges is released by the last of either kind',
    async run({ store }) {
      await insertIds(store, ['a', 'p']);
      await insert(store, [aRecord({ id: 'b', dependsOn: [on('a', 'custom', 'good'), on('p')] })]);
      await end(store, 'a', 'completed');
      assert.deepEqual(await store.judge([{ ...EDGE, holds: true, reason: 'yes' }], NOW), NO_EFFECTS);
      assert.deepEqual((await read(store, 'b')).blockedBy, ['p']);
      assert.deepEqual((await end(store, 'p', 'completed')).effects.released, ['b']);
    },
  },
  {
    name: 'edges of a task that ended meanwhile need no verdict',
    async run({ store }) {
      await insertPair(store);
      await end(store, 'a', 'completed');
      await end(store, 'b', 'cancelled');
      assert.deepEqual(await store.unjudged(10), []);
      const before = await read(store, 'b');
      assert.deepEqual(await store.judge([{ ...EDGE, holds: false, reason: 'late' }], NOW), NO_EFFECTS);
      assert.deepEqual(await read(store, 'b'), before);
    },
  },
  {
    name: 'unjudged gives at most its limit, and the rest after those were judged',
    async run({ store }) {
      await insertIds(store, ['a']);
      await insert(
        store,
        [1, 2, 3].map((i) => aRecord({ id: `t${i}`, dependsOn: [on('a', 'custom', 'good')] })),
      );
      await end(store, 'a', 'completed');
      const first = await store.unjudged(2);
      assert.equal(first.length, 2);
      const effects = await store.judge(
        first.map((edge) => ({ ...edge, holds: true, reason: 'yes' })),
        NOW,
      );
      assert.equal(effects.released.length, 2);
      const rest = await store.unjudged(2);
      assert.deepEqual(sorted([...first, ...rest].map((edge) => edge.taskId)), ['t1', 't2', 't3']);
    },
  },
];
