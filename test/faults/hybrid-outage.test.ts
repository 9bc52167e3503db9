import { expect } from 'vitest';
import type { StoredTaskQueue, Task } from '../../src/queue/index.ts';
import { auditQueue } from './audit.ts';
import { onRedis } from './on-redis.ts';
import { eventually, moment } from './processes.ts';
import { scaled, TEST_TIMEOUT } from './scale.ts';
import { type Stage, test } from './stage.ts';
import { appendLog } from './workers/protocol.ts';

const { outageMs, leaseMs, tasks } = scaled(
  { outageMs: 2_000, leaseMs: 4_000, tasks: 400 },
  { outageMs: 30_000, leaseMs: 30_000, tasks: 4_000 },
);
const HELD_MAX = 100;
const SETTLED_WITHIN_MS = 5_000;

test(
  'R29: Redis is away while two nodes serve what they hold, and one of them is killed',
  TEST_TIMEOUT,
  async ({ stage }) => {
    const server = await onRedis(stage, 'hybrid', { appendonly: true, appendfsync: 'always' });
    const held = { prefetchTasksMin: HELD_MAX, prefetchTasksMax: HELD_MAX };
    const options = { leaseMs, sweepMs: 300, retry: { initialInterval: 50 }, ...held };
    stage.queueOptions = options;
    const queue = stage.queue();
    const ids = await queue.enqueueMany(
      Array.from({ length: tasks }, (_, n) => ({ id: `t${n}`, payload: { ms: 20 } })),
    );
    const victim = await stage.launch('queue-worker', { concurrency: 5 });
    const node = new Node(stage, queue);
    const served = node.serve();
    await eventually(
      () => node.settled > 20 && victim.said('settled').length > 5,
      10_000,
      () => 'the nodes do not work',
    );

    await server.kill9();
    const awayAt = Date.now();
    await moment(outageMs / 4);
    victim.kill('SIGKILL');
    await moment((outageMs * 3) / 4);
    const meanwhile = stage.log({ phase: 'start', pid: process.pid }).filter(({ at }) => at > awayAt + 100);
    expect(meanwhile.length, 'it goes on with what it holds').toBeGreaterThan(20);
    expect(meanwhile.length, 'and holds no more than it may').toBeLessThanOrEqual(HELD_MAX * 1.25 + 5);
    expect(node.refused).toEqual([]);
    await server.restart();
    await eventually(
      () => node.waiting === 0,
      SETTLED_WITHIN_MS,
      () => `${node.waiting} settlements are not written`,
    );

    await eventually(
      async () => (await queue.stats()).counts.completed === tasks,
      leaseMs * 3 + 10_000,
      () => 'tasks were left over',
    );
    node.stop();
    await served;
    expect(node.refused, 'nobody else ran what this node held').toEqual([]);
    for (const id of ids) {
      const starts = stage.log({ id, phase: 'start' });
      expect(new Set(starts.map(({ fence }) => fence)).size, id).toBe(starts.length);
      // Only what died with the other node was begun again.
      if (starts.length > 1) expect(starts[0]?.pid, id).toBe(victim.pid);
    }
    await auditQueue(queue);
  },
);

/** A node in this process: five tasks at a time, whose settlements it does not wait for. */
class Node {
  readonly #stage: Stage;
  readonly #queue: StoredTaskQueue;
  #isStopped = false;
  settled = 0;
  waiting = 0;
  readonly refused: unknown[] = [];

  constructor(stage: Stage, queue: StoredTaskQueue) {
    this.#stage = stage;
    this.#queue = queue;
  }

  stop(): void {
    this.#isStopped = true;
  }

  async serve(): Promise<void> {
    while (!this.#isStopped) {
      const claimed = await this.#queue.dequeueMany(5, {}, { start: true }).catch(() => []);
      await Promise.all(claimed.map((task) => this.#run(task)));
      if (claimed.length === 0) await moment(20);
    }
  }

  async #run(task: Task): Promise<void> {
    const fence = task.lease!.fence;
    appendLog(this.#stage.logPath, { id: task.id, node: 'run', phase: 'start', fence });
    await moment(20);
    appendLog(this.#stage.logPath, { id: task.id, node: 'run', phase: 'end', fence });
    this.waiting++;
    this.#queue
      .settle(task, { status: 'completed' })
      .then(() => {
        this.settled++;
      })
      .catch((error: unknown) => this.refused.push(error))
      .finally(() => {
        this.waiting--;
      });
  }
}
