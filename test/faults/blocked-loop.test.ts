import { describe, expect } from 'vitest';
import { audit, expectQuiet, lineage } from './audit.ts';
import { eventually } from './processes.ts';
import { scaled, TEST_TIMEOUT } from './scale.ts';
import { test } from './stage.ts';

const BLOCK_MS = scaled(2_000, 10_000);
const LEASE = { leaseMs: 400, sweepMs: 100, retry: { initialInterval: 50 } };

describe('R08: an event loop blocked for longer than the lease', () => {
  test('its tasks finish elsewhere, and none is recorded twice', TEST_TIMEOUT, async ({ stage }) => {
    stage.queueOptions = LEASE;
    const queue = stage.queue();
    const blocked = await stage.launch('graph-worker');
    const other = await stage.launch('graph-worker', { more: { autostart: false } });
    await queue.enqueueMany(['s1', 's2', 's3'].map((id) => ({ id, agent: 'steps', payload: { ms: 200 } })));
    await Promise.all(['s1', 's2', 's3'].map((id) => blocked.until('transition', { id, to: 'in_progress' })));
    await queue.enqueue({ id: 'block', agent: 'blocker', payload: { ms: BLOCK_MS } });
    await blocked.until('blocking');
    other.send({ type: 'start' });

    const ended = await Promise.all(
      ['s1', 's2', 's3', 'block'].map((id) => queue.waitFor(id, { timeoutMs: 20_000 })),
    );
    expect(blocked.said('unblocked'), 'all ended while it was blocked').toEqual([]);
    await blocked.until('unblocked');
    await blocked.until('lease-lost', { id: 'block' });

    const { tasks } = await audit(stage.database);
    for (const before of ended) {
      expect(before.status, before.id).toBe('completed');
      expect(tasks.get(before.id), before.id).toEqual(before);
      expect(before.crashes, before.id).toBeGreaterThanOrEqual(1);
      await lineage(queue, before.id);
    }
    expect(tasks.get('block')?.result).toMatchObject({ path: ['a', 'b', 'c'] });
    expectQuiet(stage);
  });

  test(
    'with nobody else there it goes on by itself, and records one ending',
    TEST_TIMEOUT,
    async ({ stage }) => {
      stage.queueOptions = LEASE;
      const queue = stage.queue();
      const worker = await stage.launch('graph-worker');
      await queue.enqueue({ id: 'block', agent: 'blocker', payload: { ms: 1_200 } });

      const task = await queue.waitFor('block', { timeoutMs: 20_000 });
      expect(task).toMatchObject({ status: 'completed', result: { path: ['a', 'b', 'c'] } });
      worker.kill('SIGTERM');
      expect(await worker.untilExit()).toEqual({ code: 0, signal: null });
      await lineage(queue, 'block');
      const { tasks } = await audit(stage.database);
      expect(tasks.get('block')).toEqual(task);
      expectQuiet(stage);
    },
  );

  test(
    'its own late result is refused while another process has the task',
    TEST_TIMEOUT,
    async ({ stage }) => {
      stage.queueOptions = LEASE;
      const queue = stage.queue();
      const blocked = await stage.launch('queue-worker');
      const heir = await stage.launch('queue-worker', { more: { claiming: false } });
      await queue.enqueue({ id: 'block', payload: { do: 'block', ms: BLOCK_MS } });
      await eventually(
        () => stage.log({ id: 'block' }).length > 0,
        10_000,
        () => 'it did not start',
      );
      heir.send({ type: 'claim' });

      await blocked.until('refused', { id: 'block' });
      const task = await queue.waitFor('block', { timeoutMs: 20_000 });
      expect(task).toMatchObject({ status: 'completed', result: { pid: heir.pid }, crashes: 1 });
      expect(blocked.said('settled')).toEqual([]);
      await audit(stage.database);
      expectQuiet(stage);
    },
  );
});
