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

/**
 * With `everysec` Redis writes before it answers, unless the disk is still busy with the last second: then it puts
 * the write off for up to two seconds, counted in whole ones.
 */
const PUT_OFF_MS = { always: 0, everysec: 3_000 };

describe('R06: acknowledged before durable?', () => {
  test.for(CASES)(
    'kill -9 of a Redis with an append-only file loses nothing that was acknowledged, with everysec three seconds before (%s, appendfsync %s)',
    TEST_TIMEOUT,
    async ([backend, appendfsync], { stage }) => {
      const server = await onRedis(stage, backend, { appendonly: true, appendfsync });
      const enqueuer = await stage.launch('enqueuer', { more: { inFlight: 20, patient: true } });
      const batches = await stage.launch('enqueuer', {
        more: { prefix: 'b', inFlight: 2, batch: 10, perSecond: 2_000, patient: true },
      });
      const kills: number[] = [];
      for (let kill = 0; kill < KILLS; kill++) {
        const before = enqueuer.said('acknowledged').length;
        await eventually(
          () => enqueuer.said('acknowledged').length > before + 200,
          10_000,
          () => 'nothing is acknowledged',
        );
        await moment(PUT_OFF_MS[appendfsync] + stage.random.below(100));
        await server.kill9();
        kills.push(Date.now());
        await server.restart();
      }
      for (const process of [enqueuer, batches]) await process.destroy();

      const { tasks } = await auditQueue(stage.queue());
      const acknowledged = [enqueuer, batches].flatMap((process) =>
        process.said('acknowledged').map(({ ids, at }) => ({ ids: ids as string[], at: at as number })),
      );
      expect(acknowledged.flatMap(({ ids }) => ids).length).toBeGreaterThan(200 * KILLS);
      const isPutOff = (at: number) =>
        kills.some((kill) => kill - at < PUT_OFF_MS[appendfsync] && at <= kill);
      const kept = acknowledged.filter(({ at }) => !isPutOff(at)).flatMap(({ ids }) => ids);
      expect(kept.filter((id) => !tasks.has(id))).toEqual([]);
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
