import { describe, expect } from 'vitest';
import { auditQueue } from './audit.ts';
import { onRedis, REDIS_BACKENDS } from './on-redis.ts';
import { eventually, moment } from './processes.ts';
import { scaled, TEST_TIMEOUT } from './scale.ts';
import { test } from './stage.ts';

const KILLS = scaled(2, 20);
const CASES = REDIS_BACKENDS.flatMap((backend) =>
  (['always', 'everysec'] as const).map((sync) => [backend, sync] as const),
);

describe('R06: acknowledged before durable?', () => {
  test.for(CASES)(
    'kill -9 of a Redis with an append-only file loses nothing that was acknowledged (%s, appendfsync %s)',
    TEST_TIMEOUT,
    async ([backend, appendfsync], { stage }) => {
      const server = await onRedis(stage, backend, { appendonly: true, appendfsync });
      const enqueuer = await stage.launch('enqueuer', { more: { inFlight: 20, patient: true } });
      const batches = await stage.launch('enqueuer', {
        more: { prefix: 'b', inFlight: 2, batch: 10, perSecond: 2_000, patient: true },
      });
      for (let kill = 0; kill < KILLS; kill++) {
        const before = enqueuer.said('acknowledged').length;
        await eventually(
          () => enqueuer.said('acknowledged').length > before + 200,
          10_000,
          () => 'nothing is acknowledged',
        );
        await moment(stage.random.below(100));
        await server.kill9();
        await server.restart();
      }
      for (const process of [enqueuer, batches]) await process.destroy();

      const { tasks } = await auditQueue(stage.queue());
      const acknowledged = [enqueuer, batches].flatMap((process) =>
        process.said('acknowledged').flatMap((message) => message.ids as string[]),
      );
      expect(acknowledged.length).toBeGreaterThan(200 * KILLS);
      expect(acknowledged.filter((id) => !tasks.has(id))).toEqual([]);
      for (const id of tasks.keys()) if (id.startsWith('b-')) expectWholeBatch(id, tasks);
    },
  );

  test.for(REDIS_BACKENDS)(
    'kill -9 of the process that was told (%s) loses nothing that it was told',
    TEST_TIMEOUT,
    async (backend, { stage }) => {
      await onRedis(stage, backend);
      const acknowledged: string[] = [];
      for (let kill = 0; kill < KILLS; kill++) {
        const enqueuer = await stage.launch('enqueuer', { more: { prefix: `k${kill}`, inFlight: 20 } });
        await eventually(
          () => enqueuer.said('acknowledged').length > 200,
          10_000,
          () => 'nothing is acknowledged',
        );
        await moment(stage.random.below(50));
        await enqueuer.destroy();
        acknowledged.push(...enqueuer.said('acknowledged').flatMap((message) => message.ids as string[]));
      }
      const { tasks } = await auditQueue(stage.queue());
      expect(acknowledged.filter((id) => !tasks.has(id))).toEqual([]);
    },
  );
});

/** All or none of one enqueueMany, acknowledged or not. */
function expectWholeBatch(id: string, tasks: ReadonlyMap<string, unknown>): void {
  const batch = id.split('.')[0];
  const missing = Array.from({ length: 10 }, (_, n) => `${batch}.${n}`).filter((other) => !tasks.has(other));
  expect(missing, id).toEqual([]);
}
