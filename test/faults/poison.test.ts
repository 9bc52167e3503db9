import { expect } from 'vitest';
import type { NewTask } from '../../src/queue/index.ts';
import { audit } from './audit.ts';
import type { Child } from './processes.ts';
import { scaled, TEST_TIMEOUT } from './scale.ts';
import { type Stage, test } from './stage.ts';

const MAX_CRASHES = scaled(2, 5);
const GOOD = scaled(30, 300);
const WORKERS = 2;
/** Small enough that a runaway task fills it in a moment. */
const HEAP_MB = 48;
const POISONS = ['exit', 'segv', 'oom'] as const;

test(
  'R07: a poison task is a dead letter after exactly maxCrashes starts; the good tasks complete',
  TEST_TIMEOUT,
  async ({ stage }) => {
    stage.queueOptions = { leaseMs: 500, sweepMs: 100, retry: { initialInterval: 50, maxInterval: 200 } };
    const queue = stage.queue();
    await queue.enqueueMany([...POISONS.map(poison), ...Array.from({ length: GOOD }, (_, n) => good(n))]);
    const ended = [...POISONS, ...Array.from({ length: GOOD }, (_, n) => `good-${n}`)].map((id) =>
      queue.waitFor(id, { timeoutMs: 50_000 }),
    );
    const stop = keepWorking(stage);
    await Promise.all(ended);
    await stop();

    const { tasks, histories } = await audit(stage.database);
    for (const id of POISONS) {
      const task = tasks.get(id)!;
      expect(task, id).toMatchObject({
        status: 'failed',
        crashes: MAX_CRASHES,
        retryCount: 0,
        error: { code: 'WORKER_CRASHED' },
      });
      const starts = histories.get(id)!.filter((event) => event.to === 'in_progress');
      expect(starts, id).toHaveLength(MAX_CRASHES);
      // A start is stored before the work begins, and a neighbour's death may come in between.
      const runs = stage.log({ id, phase: 'start' });
      expect(runs.length, id).toBeGreaterThan(0);
      expect(runs.length, id).toBeLessThanOrEqual(MAX_CRASHES);
    }
    for (let n = 0; n < GOOD; n++) expect(tasks.get(`good-${n}`)?.status, `good-${n}`).toBe('completed');
  },
);

function poison(deed: (typeof POISONS)[number]): NewTask {
  return { id: deed, payload: { do: deed }, maxCrashes: MAX_CRASHES };
}

/** The good share a process with the poison; their budget is the default one. */
function good(n: number): NewTask {
  return { id: `good-${n}`, payload: { do: 'sleep', ms: 20 } };
}

/** As a supervisor would: whoever dies is replaced at once. */
function keepWorking(stage: Stage): () => Promise<void> {
  let stopping = false;
  const posts = Array.from({ length: WORKERS }, () => hold());
  return async () => {
    stopping = true;
    await Promise.all(posts.map((post) => post.retire()));
  };

  function hold() {
    let current: Child;
    const ended = occupy();
    return { retire };

    async function occupy(): Promise<void> {
      while (!stopping) {
        current = stage.spawn('queue-worker', {
          concurrency: 3,
          nodeArgs: [`--max-old-space-size=${HEAP_MB}`],
        });
        await current.exited;
      }
    }
    async function retire(): Promise<void> {
      current.kill('SIGKILL');
      await ended;
    }
  }
}
