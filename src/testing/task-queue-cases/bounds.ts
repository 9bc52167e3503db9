import assert from 'node:assert/strict';
import type { NewTask } from '../../queue/task.ts';
import type { ConformanceCase } from '../conformance.ts';
import type { QueueHarness } from '../task-queue-conformance.ts';
import { read, refused, takeStarted } from './steps.ts';

const KIB = 1024;
const MIB = KIB * KIB;

/** A JSON object of exactly `bytes` bytes: {"t":"…"}. */
function textOf(bytes: number): { t: string } {
  return { t: 'x'.repeat(bytes - 8) };
}

const cycle: Record<string, unknown> = {};
cycle.self = cycle;

/** What JSON would lose, and where it stands below the payload. */
const NOT_JSON: readonly (readonly [unknown, string])[] = [
  [{ a: [1, { n: Number.NaN }] }, '.a[1].n'],
  [{ inf: Number.POSITIVE_INFINITY }, '.inf'],
  [{ big: 1n }, '.big'],
  [{ f: () => 1 }, '.f'],
  [{ s: Symbol('s') }, '.s'],
  [{ d: new Date(0) }, '.d'],
  [{ m: new Map() }, '.m'],
  [{ list: [undefined] }, '.list[0]'],
  [{ a: Object.defineProperty({}, 'g', { enumerable: true, get: () => assert.fail() }) }, '.a.g'],
  [cycle, '.self'],
  [[], ''],
  ['text', ''],
  [null, ''],
];

const WRONG: readonly (readonly [object, string])[] = [
  [{ id: '' }, 'id'],
  [{ id: 'a b' }, 'id'],
  [{ id: 'x'.repeat(129) }, 'id'],
  [{ priority: 0 }, 'priority'],
  [{ priority: 11 }, 'priority'],
  [{ priority: 2.5 }, 'priority'],
  [{ priority: 'urgent' }, 'priority'],
  [{ agentType: 'a|b' }, 'agentType'],
  [{ agent: '' }, 'agent'],
  [{ delayMs: -1 }, 'delayMs'],
  [{ runAt: Number.NaN }, 'runAt'],
  [{ timeoutMs: 0 }, 'timeoutMs'],
  [{ maxRetries: -1 }, 'maxRetries'],
  [{ maxCrashes: 0 }, 'maxCrashes'],
  [{ retry: { backoffFactor: 0 } }, 'retry.backoffFactor'],
  [{ metadata: { n: 1n } }, 'metadata.n'],
  [{ dependsOn: [{ id: 'a', on: 'maybe' }] }, 'dependsOn[0].on'],
  [{ dependsOn: ['a b'] }, 'dependsOn[0]'],
  [{ status: 'completed' }, 'status'],
  [{ fence: 9 }, 'fence'],
  [{ version: 9 }, 'version'],
  [{ retryCount: 9 }, 'retryCount'],
  [{ surprise: 1 }, 'surprise'],
];

export const boundsCases: readonly ConformanceCase<QueueHarness>[] = [
  {
    name: 'what JSON would lose is refused with its path, and nothing of the batch is stored',
    async run({ open }) {
      const queue = open();
      for (const [payload, path] of NOT_JSON) {
        const batch = [{ payload: {}, id: 'fine' }, { payload } as NewTask];
        const refusal = await refused(queue.enqueueMany(batch), 'INVALID_TASK');
        assert.equal(refusal.path, `tasks[1].payload${path}`);
      }
      assert.deepEqual((await queue.listTasks()).tasks, []);
    },
  },
  {
    name: 'wrong fields, unknown fields and fields the engine owns are refused with their path',
    async run({ open }) {
      const queue = open();
      for (const [fields, path] of WRONG) {
        const refusal = await refused(queue.enqueue({ payload: {}, ...fields } as NewTask), 'INVALID_TASK');
        assert.equal(refusal.path, `task.${path}`);
      }
      assert.deepEqual((await queue.listTasks()).tasks, []);
    },
  },
  {
    name: 'priorities are 1 to 10 or critical, high, medium and low, 5 by default',
    async run({ open }) {
      const queue = open();
      const given = [undefined, 1, 10, 'critical', 'high', 'medium', 'low'] as const;
      const ids = await queue.enqueueMany(given.map((priority) => ({ payload: {}, priority })));
      const tasks = await Promise.all(ids.map((id) => read(queue, id)));
      assert.deepEqual(
        tasks.map((task) => task.priority),
        [5, 1, 10, 10, 8, 5, 2],
      );
    },
  },
  {
    name: 'a payload may have 1 MiB and metadata 64 KiB, not a byte more',
    async run({ open }) {
      const queue = open();
      await queue.enqueue({ payload: textOf(MIB), metadata: textOf(64 * KIB) });
      const payload = await refused(queue.enqueue({ payload: textOf(MIB + 1) }), 'TOO_LARGE');
      assert.deepEqual([payload.path, payload.limit], ['task.payload', MIB]);
      const metadata = await refused(
        queue.enqueue({ payload: {}, metadata: textOf(64 * KIB + 1) }),
        'TOO_LARGE',
      );
      assert.deepEqual([metadata.path, metadata.limit], ['task.metadata', 64 * KIB]);
      const wide = { t: '☃'.repeat(MIB / 3) };
      await refused(queue.enqueue({ payload: wide }), 'TOO_LARGE');
      assert.equal((await queue.stats()).counts.pending, 1);
    },
  },
  {
    name: 'a result may have 1 MiB; a larger one, or one that is no JSON, is refused and the task stays held',
    async run({ open }) {
      const queue = open();
      await queue.enqueue({ payload: {}, id: 'a' });
      const task = await takeStarted(queue);
      await refused(queue.settle(task, { status: 'completed', result: textOf(MIB + 1) }), 'TOO_LARGE');
      await refused(queue.settle(task, { status: 'completed', result: { n: 1n } }), 'INVALID_TASK');
      assert.equal((await read(queue, 'a')).status, 'in_progress');
      const done = await queue.settle(task, { status: 'completed', result: textOf(MIB) });
      assert.equal(done.status, 'completed');
    },
  },
  {
    name: 'error texts are cut to 8 KiB, never refused, whatever was thrown',
    async run({ open }) {
      const queue = open();
      const thrown = [
        new Error('☃'.repeat(20_000)),
        'a text',
        null,
        { odd: 1n },
        Object.assign(new Error('e'), { code: 'E1' }),
      ];
      for (const [i, error] of thrown.entries()) {
        await queue.enqueue({ payload: {}, id: `t${i}` });
        const failed = await queue.settle(await takeStarted(queue), {
          status: 'failed',
          error,
          retry: false,
        });
        assert.equal(failed.status, 'failed');
        const { message, stack = '' } = failed.error!;
        assert.ok(Buffer.byteLength(message) + Buffer.byteLength(stack) <= 8 * KIB);
      }
      assert.equal((await read(queue, 't4')).error?.code, 'E1');
      assert.equal((await read(queue, 't1')).error?.message, 'a text');
    },
  },
  {
    name: 'a task may have 1,000 dependencies and a batch 10,000 tasks, not one more',
    async run({ open }) {
      const queue = open();
      const ids = Array.from({ length: 1_001 }, (_, i) => `t${i}`);
      await queue.enqueueMany(ids.map((id) => ({ payload: {}, id })));
      await queue.enqueue({ payload: {}, id: 'many', dependsOn: ids.slice(1) });
      const refusal = await refused(queue.enqueue({ payload: {}, dependsOn: ids }), 'TOO_LARGE');
      assert.deepEqual([refusal.path, refusal.limit], ['task.dependsOn', 1_000]);
      const batch = Array.from({ length: 10_001 }, () => ({ payload: {} }));
      assert.equal((await refused(queue.enqueueMany(batch), 'TOO_LARGE')).limit, 10_000);
      assert.equal((await read(queue, 'many')).blockedBy.length, 1_000);
    },
  },
  {
    name: 'what an object only inherits is refused: it can be read, but is not in its JSON',
    async run({ open }) {
      const queue = open();
      class Inherits {
        get payload() {
          return { lost: true };
        }
      }
      class Priority {
        readonly payload = {};
        get priority() {
          return 9;
        }
      }
      const inheritsId = Object.create({ id: 'nobody' }) as { id: string };
      assert.equal((await refused(queue.enqueue(new Inherits()), 'INVALID_TASK')).path, 'task.payload');
      assert.equal((await refused(queue.enqueue(new Priority()), 'INVALID_TASK')).path, 'task.priority');
      const edge = await refused(queue.enqueue({ payload: {}, dependsOn: [inheritsId] }), 'INVALID_TASK');
      assert.equal(edge.path, 'task.dependsOn[0].id');
      class Own {
        readonly payload = { kept: true };
      }
      assert.deepEqual((await read(queue, await queue.enqueue(new Own()))).payload, { kept: true });
    },
  },
  {
    name: 'payload and metadata may have the type of an interface',
    async run({ open }) {
      interface Order {
        readonly city: string;
      }
      const order: Order = { city: 'Ulm' };
      const queue = open();
      const id = await queue.enqueue({ payload: order, metadata: order });
      const { payload, metadata } = await queue.updateStatus(id, 'cancelled', { metadata: order });
      assert.deepEqual([payload, metadata], [order, order]);
    },
  },
];
