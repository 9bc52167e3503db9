import assert from 'node:assert/strict';
import { EFFECTS_BYTES_MAX } from '../../queue/bounds.ts';
import type { Effect } from '../../queue/effects.ts';
import type { ConformanceCase } from '../conformance.ts';
import type { QueueHarness } from '../task-queue-conformance.ts';
import { read, refused, takeStarted } from './steps.ts';

const STARTED: Effect = { key: 'pay', state: 'started', starts: 1, startedAt: 7, attempt: 1 };
const DONE: Effect = { ...STARTED, state: 'done', result: { id: 'p1', tags: [] } };

export const effectCases: readonly ConformanceCase<QueueHarness>[] = [
  {
    name: 'effects are kept by key with their task, over retries, a redrive and its end',
    async run({ open }) {
      const queue = open({ maxRetries: 0 });
      await queue.enqueue({ payload: {}, id: 'a' });
      const task = await takeStarted(queue);
      await queue.recordEffects(task, [STARTED, { ...STARTED, key: 'mail' }]);
      assert.deepEqual((await read(queue, 'a')).effects, [STARTED, { ...STARTED, key: 'mail' }]);
      await queue.heartbeat(task);
      await queue.recordEffects(task, [DONE]);
      await queue.settle(task, { status: 'failed', error: new Error('later') });
      await queue.retry('a');
      const again = await takeStarted(queue);
      assert.deepEqual(again.effects, [DONE, { ...STARTED, key: 'mail' }]);
      await queue.settle(again, { status: 'completed', result: 1 });
      assert.deepEqual((await read(queue, 'a')).effects?.[0], DONE);
    },
  },
  {
    name: 'who lost the lease records nothing',
    async run({ open, clock }) {
      const queue = open({ leaseMs: 1_000, sweepMs: 100, retry: { initialInterval: 1 } });
      await queue.enqueue({ payload: {}, id: 'a' });
      const zombie = await takeStarted(queue);
      await clock.advance(1_200);
      await refused(queue.recordEffects(zombie, [STARTED]), 'LEASE_LOST');
      const holder = await takeStarted(queue);
      assert.equal(holder.effects, undefined);
      await queue.recordEffects(holder, [STARTED]);
      await refused(queue.recordEffects(zombie, [DONE]), 'LEASE_LOST');
      assert.deepEqual((await read(queue, 'a')).effects, [STARTED]);
    },
  },
  {
    name: 'effects beyond their bounds are refused, and nothing of that call is kept',
    async run({ open }) {
      const queue = open();
      await queue.enqueue({ payload: {}, id: 'a' });
      const task = await takeStarted(queue);
      const large = { ...DONE, result: 'x'.repeat(EFFECTS_BYTES_MAX) };
      await refused(queue.recordEffects(task, [{ ...STARTED, key: 'other' }, large]), 'TOO_LARGE');
      await refused(queue.recordEffects(task, [{ ...STARTED, key: '' }]), 'INVALID_OPTION');
      assert.equal((await read(queue, 'a')).effects, undefined);
    },
  },
  {
    name: 'a purged id is new again: it has no effects',
    async run({ open, clock }) {
      const queue = open({ retentionMs: 60_000, sweepMs: 5_000 });
      await queue.enqueue({ payload: {}, id: 'a' });
      const task = await takeStarted(queue);
      await queue.recordEffects(task, [DONE]);
      await queue.settle(task, { status: 'completed', result: 1 });
      await clock.advance(70_000);
      assert.equal(await queue.getTask('a'), null);
      await queue.enqueue({ payload: { anew: true }, id: 'a' });
      assert.equal((await takeStarted(queue)).effects, undefined);
    },
  },
];
