import { describe, expect } from 'vitest';
import { audit, lineage } from './audit.ts';
import { TEST_TIMEOUT } from './scale.ts';
import { test } from './stage.ts';

const TASK_TIMEOUT_MS = 400;
const ALLOWANCE_MS = 1_000;

describe('R14: a node that pays no attention', () => {
  test(
    'is timed out within a second, gives its slot to the next task, and its late return changes nothing',
    TEST_TIMEOUT,
    async ({ stage }) => {
      const queue = stage.queue();
      const worker = await stage.launch('graph-worker', { concurrency: 1 });
      const common = { agent: 'deaf', timeoutMs: TASK_TIMEOUT_MS, maxRetries: 0 };
      await queue.enqueue({ id: 'late', ...common, payload: { ms: 1_800 } });
      await worker.until('waiting', { id: 'late' });
      await queue.enqueue({ id: 'next', agent: 'steps', payload: { ms: 0 } });

      const late = await queue.waitFor('late', { timeoutMs: 10_000 });
      expect(late).toMatchObject({ status: 'failed', error: { code: 'TIMEOUT' } });
      expect(late.completedAt! - late.startedAt!).toBeLessThanOrEqual(TASK_TIMEOUT_MS + ALLOWANCE_MS);
      const next = await queue.waitFor('next', { timeoutMs: 10_000 });
      expect(next.startedAt! - late.completedAt!, 'the slot was free').toBeLessThanOrEqual(ALLOWANCE_MS);
      expect(worker.said('late'), 'the next task did not wait for the late one').toEqual([]);

      const before = { history: await queue.history('late'), checkpoints: await lineage(queue, 'late') };
      await worker.until('late', { id: 'late' });
      // A whole task after the late return: whatever that would have led to has happened by now.
      await queue.enqueue({ id: 'last', agent: 'steps', payload: { ms: 0 } });
      await queue.waitFor('last', { timeoutMs: 10_000 });
      expect(await queue.getTask('late')).toEqual(late);
      expect({ history: await queue.history('late'), checkpoints: await lineage(queue, 'late') }).toEqual(
        before,
      );
      expect(stage.log({ id: 'late', node: 'b' })).toEqual([]);
      await audit(stage.database);
    },
  );

  test(
    'costs one attempt each time, and the process can still be stopped',
    TEST_TIMEOUT,
    async ({ stage }) => {
      stage.queueOptions = { retry: { initialInterval: 20 } };
      const queue = stage.queue();
      const worker = await stage.launch('graph-worker', { concurrency: 1, more: { drainMs: 500 } });
      await queue.enqueue({
        id: 'never',
        agent: 'deaf',
        timeoutMs: TASK_TIMEOUT_MS,
        maxRetries: 1,
        payload: { ms: 0 },
      });

      const never = await queue.waitFor('never', { timeoutMs: 10_000 });
      expect(never).toMatchObject({
        status: 'failed',
        retryCount: 1,
        crashes: 0,
        error: { code: 'TIMEOUT' },
      });
      expect(stage.log({ id: 'never', phase: 'start' })).toHaveLength(2);
      worker.kill('SIGTERM');
      expect(await worker.untilExit()).toEqual({ code: 0, signal: null });
      await audit(stage.database);
    },
  );
});
