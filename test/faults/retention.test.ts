import { expect } from 'vitest';
import { expectQuiet, expectWhole, threadsIn } from './audit.ts';
import { eventually } from './processes.ts';
import { scaled, TEST_TIMEOUT } from './scale.ts';
import { type Stage, test } from './stage.ts';

const TASKS = scaled(20, 200);
const KILLS = scaled(3, 20);

test(
  'ended tasks are purged with their history and checkpoints, also when purging processes are killed; open ones stay',
  TEST_TIMEOUT,
  async ({ stage }) => {
    const ids = Array.from({ length: TASKS }, (_, n) => `done-${n}`);
    const queue = stage.queue();
    await queue.enqueueMany([
      ...ids.map((id) => ({ id, agent: 'steps', payload: { ms: 1 } })),
      { id: 'asking', agent: 'five', payload: {} },
      { id: 'later', agent: 'steps', payload: { ms: 1 }, delayMs: 3_600_000 },
    ]);
    const worker = await stage.launch('graph-worker');
    await Promise.all(ids.map((id) => queue.waitFor(id, { timeoutMs: 30_000 })));
    await eventually(
      async () => (await queue.getTask('asking'))?.status === 'waiting',
      10_000,
      () => 'nobody asked',
    );
    worker.kill('SIGTERM');
    await worker.untilExit();
    expect(threadsIn(stage.database).size).toBe(TASKS + 1);

    for (let kill = 0; kill < KILLS; kill++) await purge(stage).then((purger) => purger.kill('SIGKILL'));
    await purge(stage);
    await eventually(
      async () => (await queue.listTasks()).tasks.length === 2,
      10_000,
      () => 'ended tasks stayed',
    );

    for (const id of ids) expect(await queue.history(id), id).toEqual([]);
    expect([...threadsIn(stage.database)]).toEqual(['asking']);
    expect((await queue.getTask('asking'))?.interrupts).toHaveLength(1);
    expect((await queue.getTask('later'))?.status).toBe('pending');
    expect(
      await queue.enqueue({ id: ids[0]!, payload: { other: 'content' } }),
      'a purged id is new again',
    ).toBe(ids[0]);
    expectWhole(stage.database);
    expectQuiet(stage);
  },
);

/** A process that purges at once whatever has ended. */
function purge(stage: Stage) {
  return stage.launch('queue-worker', { queue: { retentionMs: 1, sweepMs: 20 } });
}
