import assert from 'node:assert/strict';
import type { NewTask } from '../../queue/task.ts';
import type { ConformanceCase } from '../conformance.ts';
import type { QueueHarness } from '../task-queue-conformance.ts';
import { read, refused, takenIds, takeStarted, tasks } from './steps.ts';

export const limitKeyCases: readonly ConformanceCase<QueueHarness>[] = [
  {
    name: "a template takes its key from the task; one of the queue's own counts where the task has its places",
    async run({ open }) {
      const queue = open({ limits: [{ key: 'tenant:{metadata.tenant}', max: 1 }] });
      await queue.enqueueMany([
        ...tasks('a', 2, { metadata: { tenant: 'acme' } }),
        ...tasks('b', 2, { metadata: { tenant: 'bolt' } }),
        ...tasks('free', 2),
        {
          payload: { model: 'x' },
          id: 'own',
          agentType: 'chat',
          limits: [{ key: 'm:{payload.model}:{agentType}', max: 0 }],
        },
      ]);
      assert.deepEqual(await takenIds(queue), ['a1', 'b1', 'free1', 'free2']);
      assert.deepEqual((await read(queue, 'own')).limits, [{ key: 'm:x:chat', weight: 1 }]);
      await queue.setLimit('m:x:chat', { max: 1 });
      assert.deepEqual(await takenIds(queue), ['own']);
    },
  },
  {
    name: "what fills a limit of the queue's to no key is refused with its place; a task without the place is not limited",
    async run({ open }) {
      const queue = open({
        limits: [
          { key: 'tenant:{metadata.tenant}', max: 1 },
          { key: '{agentType}:{metadata.user.id}', max: 1 },
        ],
      });
      const bad: readonly (readonly [task: Partial<NewTask>, place: string, got: string])[] = [
        ...['ada@example.com', 'a b', 'größe', 'a|b', 'a;b', 'a\nb', '{x}'].map(
          (tenant) => [{ metadata: { tenant } }, 'metadata.tenant', JSON.stringify(tenant)] as const,
        ),
        [{ metadata: { tenant: 'x'.repeat(122) } }, 'metadata.tenant', `"${'x'.repeat(64)}…"`],
        [{ metadata: { tenant: { id: 'acme' } } }, 'metadata.tenant', 'an object'],
        [{ metadata: { tenant: ['acme'] } }, 'metadata.tenant', 'a list of 1'],
        [{ agentType: 'chat', metadata: { user: { id: 'ü' } } }, 'metadata.user.id', '"ü"'],
        [
          { agentType: 'x'.repeat(100), metadata: { user: { id: 'y'.repeat(28) } } },
          'metadata.user.id',
          `"${'y'.repeat(28)}"`,
        ],
      ];
      for (const [task, place, got] of bad) {
        const alone = await refused(queue.enqueue({ payload: {}, ...task }), 'INVALID_TASK');
        assert.equal(alone.path, `task.${place}`);
        const limit =
          place === 'metadata.tenant' ? 'tenant:{metadata.tenant}' : '{agentType}:{metadata.user.id}';
        for (const said of [limit, got, '1–128 characters of A–Z a–z 0–9 _ . : -'])
          assert.ok(alone.message.includes(said), alone.message);
        const batch = [...tasks('good', 3), { payload: {}, ...task }];
        assert.equal((await refused(queue.enqueueMany(batch), 'INVALID_TASK')).path, `tasks[3].${place}`);
        assert.throws(() => queue.validate({ payload: {}, ...task }), { code: 'INVALID_TASK' });
      }
      assert.deepEqual([(await queue.listTasks()).tasks, await queue.limits()], [[], []]);
      await queue.enqueueMany([
        { payload: {}, id: 'none' },
        { payload: {}, id: 'null', metadata: { tenant: null, user: null } },
        { payload: {}, id: 'half', metadata: { user: { id: 'a b' } } },
        { payload: {}, id: 'number', metadata: { tenant: 7 } },
        { payload: {}, id: 'long', metadata: { tenant: 'x'.repeat(121) } },
      ]);
      for (const id of ['none', 'null', 'half']) assert.equal((await read(queue, id)).limits, undefined, id);
      const keys = (await queue.limits()).map(({ key }) => key);
      assert.deepEqual(keys.toSorted(), ['tenant:7', `tenant:${'x'.repeat(121)}`]);
    },
  },
  {
    name: "children whose values fill a limit of the queue's to no key are refused by their places, and none is adopted",
    async run({ open }) {
      const queue = open({ limits: [{ key: 'tenant:{metadata.tenant}', max: 1 }] });
      await queue.enqueue({ payload: {}, id: 'parent', metadata: { tenant: 'acme' } });
      const parent = await takeStarted(queue);
      const children = [{ payload: {} }, { payload: {}, metadata: { tenant: 'ada@example.com' } }];
      const refusal = await refused(queue.enqueueChildren(parent, children), 'INVALID_TASK');
      assert.equal(refusal.path, 'tasks[1].metadata.tenant');
      assert.equal((await queue.listTasks()).tasks.length, 1);
      assert.equal((await read(queue, 'parent')).children, undefined);
    },
  },
  {
    name: 'a limit that can never be met, or is none, is refused with its place, and nothing is stored',
    async run({ open }) {
      const queue = open();
      const bad: readonly [NewTask['limits'], string][] = [
        [[{ key: 'a b', max: 1 }], 'tasks[1].limits[0].key'],
        [[{ key: 'a|b', max: 1 }], 'tasks[1].limits[0].key'],
        [[{ key: '@type:x', max: 1 }], 'tasks[1].limits[0].key'],
        [[{ key: '{metadata.tenant}', max: 1 }], 'tasks[1].limits[0].key'],
        [[{ key: '{id}', max: 1 }], 'tasks[1].limits[0].key'],
        [[{ key: 'k', max: -1 }], 'tasks[1].limits[0].max'],
        [[{ key: 'k', max: 1.5 }], 'tasks[1].limits[0].max'],
        [[{ key: 'k', rate: { max: 5, perMs: 0 } }], 'tasks[1].limits[0].rate.perMs'],
        [[{ key: 'k', rate: { max: 5, perMs: 100 }, weight: 6 }], 'tasks[1].limits[0].weight'],
      ];
      for (const [limits, path] of bad) {
        const batch = [
          { payload: {}, id: 'good' },
          { payload: {}, limits },
        ];
        assert.equal((await refused(queue.enqueueMany(batch), 'INVALID_TASK')).path, path);
      }
      const nine = Array.from({ length: 9 }, (_, i) => ({ key: `k${i}`, max: 1 }));
      assert.equal(
        (await refused(queue.enqueue({ payload: {}, limits: nine }), 'TOO_LARGE')).path,
        'task.limits',
      );
      await refused(queue.enqueue({ payload: {}, fairWeight: 2 }), 'INVALID_TASK');
      await refused(queue.setLimit('a b', { max: 1 }), 'INVALID_OPTION');
      await refused(queue.setLimit('k', { max: -1 }), 'INVALID_OPTION');
      assert.equal((await queue.listTasks()).tasks.length, 0);
      assert.deepEqual(await queue.limits(), []);
    },
  },
  {
    name: 'a 429 whose `key` can be the key of no limit closes those of the task, and nothing else',
    async run({ open, clock }) {
      const queue = open();
      await queue.enqueueMany([
        ...tasks('a', 2, { limits: [{ key: 'model:x' }] }),
        { payload: {}, id: 'free', agentType: 'chat' },
      ]);
      for (const key of ['gpt 4', '@type:chat', 'a\nb', '', 'ü', 'x'.repeat(129)]) {
        const error = Object.assign(new Error('slow down'), { status: 429, key, retryAfterMs: 1_000 });
        const held = await takeStarted(queue, { ids: ['a1'] });
        assert.equal((await queue.settle(held, { status: 'failed', error })).status, 'pending', key);
        const states = (await queue.limits()).map((state) => [state.key, state.closedUntil]);
        assert.deepEqual(states, [['model:x', clock.now() + 1_000]], key);
        assert.deepEqual((await queue.explain('free')).blockers, [], key);
        await clock.advance(1_000);
      }
      assert.deepEqual(await takenIds(queue), ['a1', 'a2', 'free']);
    },
  },
];
