import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type AgentInput, Conductor, type TaskQueue, Workflow } from '../../src/index.ts';
import { MemoryTaskQueue } from '../../src/queue/backends/memory/memory-task-queue.ts';
import { RedisTaskQueue } from '../../src/queue/backends/redis/redis-task-queue.ts';
import { SQLiteTaskQueue } from '../../src/queue/backends/sqlite/sqlite-task-queue.ts';
import type { TaskQueueOptions } from '../../src/queue/task-queue.ts';
import { sharedRedis } from '../redis/shared-redis.ts';

/** `WORKFLOW_SEED=…` runs the printed seed again. */
const SEED =
  process.env.WORKFLOW_SEED === undefined ? Date.now() % 2 ** 31 : Number(process.env.WORKFLOW_SEED);
const TASKS_MAX = 12;
const LIVES = 3;

type Word = 'success' | 'failure' | 'completion' | 'where' | 'custom';

const EDGES = {
  success: {},
  failure: { on: 'failure' },
  completion: { on: 'completion' },
  where: { where: { result: { gte: 1 } } },
  custom: { on: { custom: 'big' } },
} as const;

const task = fc.record({
  edges: fc.array(
    fc.record({
      pick: fc.nat({ max: 1_000 }),
      word: fc.constantFrom<Word>('success', 'success', 'failure', 'completion', 'where', 'custom'),
    }),
    { maxLength: 3 },
  ),
  join: fc.constantFrom<'all' | 'any'>('all', 'all', 'any'),
  /** What comes of each life; null is a failure. */
  lives: fc.array(fc.constantFrom(null, 0, 1, 2), { minLength: LIVES, maxLength: LIVES }),
});
type Plan = readonly (typeof task extends fc.Arbitrary<infer T> ? T : never)[];

/** What becomes of a plan, worked out from the words of the docs alone. */
class Oracle {
  readonly status: Record<string, string> = {};
  readonly results: Record<string, number> = {};
  readonly runs: Record<string, number> = {};
  readonly given: Record<string, Record<string, number>> = {};
  readonly #plan: Plan;

  constructor(plan: Plan) {
    this.#plan = plan;
  }

  /** The first time, and with each retry: what completed stays, the rest is decided by how things are now. */
  run(): void {
    this.#plan.forEach(({ edges, lives, join }, i) => {
      const ref = `t${i}`;
      if (this.status[ref] === 'completed') return;
      const dependencies = edges.map(({ pick, word }) => ({ ref: refOf(pick, i), word }));
      const held = dependencies.filter((edge) => this.#holds(edge)).length;
      const isHeld = join === 'all' ? held === dependencies.length : held > 0 || dependencies.length === 0;
      if (i > 0 && !isHeld) {
        this.status[ref] = 'skipped';
        return;
      }
      const life = this.runs[ref] ?? 0;
      this.runs[ref] = life + 1;
      const known = i === 0 ? [] : dependencies.filter((edge) => this.status[edge.ref] === 'completed');
      this.given[ref] = Object.fromEntries(known.map((edge) => [edge.ref, this.results[edge.ref]!]));
      const result = lives[life] ?? null;
      this.status[ref] = result === null ? 'failed' : 'completed';
      if (result !== null) this.results[ref] = result;
    });
  }

  #holds({ ref, word }: { readonly ref: string; readonly word: Word }): boolean {
    const status = this.status[ref];
    if (word === 'completion') return true;
    if (word === 'failure') return status === 'failed';
    if (status !== 'completed') return false;
    return word === 'success' || this.results[ref]! >= (word === 'where' ? 1 : 2);
  }
}

function refOf(pick: number, before: number): string {
  return `t${pick % Math.max(1, before)}`;
}

function workflowOf(plan: Plan): Workflow<string> {
  const workflow = new Workflow<string>('random');
  // Added in reverse, so that the order of the plan is not that of its dependencies.
  for (let i = plan.length - 1; i >= 0; i--) {
    const edges = i === 0 ? [] : plan[i]!.edges;
    const dependsOn = edges.map(({ pick, word }) => ({ ref: refOf(pick, i), ...EDGES[word] }));
    workflow.add(`t${i}`, { goal: `t${i}`, maxRetries: 0, dependsOn, join: plan[i]!.join });
  }
  return workflow;
}

async function tryOut(queue: TaskQueue, id: string, plan: Plan): Promise<void> {
  const runs: Record<string, number> = {};
  const given: Record<string, unknown> = {};
  const invoke = async ({ goal = '', results }: AgentInput) => {
    const life = runs[goal] ?? 0;
    runs[goal] = life + 1;
    given[goal] = results;
    const result = plan[Number(goal.slice(1))]!.lives[life] ?? null;
    if (result === null) throw new Error('boom');
    return result;
  };
  await using conductor = new Conductor({ agents: { worker: { invoke } }, queue });
  const run = await conductor.submit(workflowOf(plan), { id });
  const oracle = new Oracle(plan);
  for (let life = 0; life < LIVES; life++) {
    if (life > 0) await run.retry();
    oracle.run();
    await conductor.processQueue({ untilEmpty: true });
    const { tasks, status } = await run.wait();
    const statuses = Object.fromEntries(Object.entries(tasks).map(([ref, shown]) => [ref, shown.status]));
    expect(statuses).toEqual(oracle.status);
    expect(runs).toEqual(oracle.runs);
    plan.forEach(({ join }, i) => {
      const [got, all] = [given[`t${i}`], oracle.given[`t${i}`]];
      // One of several is enough: which of the others had ended by then is a matter of time.
      if (join === 'any' && all) expect(all).toMatchObject(got as object);
      else expect(got).toEqual(all);
    });
    expect(await run.results()).toEqual(oracle.results);
    expect(status).toBe(Object.values(oracle.status).includes('failed') ? 'failed' : 'completed');
  }
}

function property(queue: TaskQueue) {
  let count = 0;
  return fc.asyncProperty(fc.array(task, { minLength: 1, maxLength: TASKS_MAX, size: 'max' }), (plan) =>
    tryOut(queue, `w${++count}`, plan),
  );
}

const OPTIONS: TaskQueueOptions = { conditions: { big: (result) => (result as number) >= 2 } };

describe(`random workflows come out as an oracle says, and so do their retries (WORKFLOW_SEED=${SEED})`, () => {
  const redis = sharedRedis();

  test('memory', async () => {
    await using queue = new MemoryTaskQueue(OPTIONS);
    await fc.assert(property(queue), { numRuns: 150, seed: SEED });
  });

  test('SQLite', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'jotty-random-'));
    try {
      await using queue = new SQLiteTaskQueue({ path: join(folder, 'tasks.db'), ...OPTIONS });
      await fc.assert(property(queue), { numRuns: 30, seed: SEED });
    } finally {
      await rm(folder, { recursive: true });
    }
  });

  test('Redis', async () => {
    await using queue = new RedisTaskQueue({ url: redis.url, prefix: redis.prefix(), ...OPTIONS });
    await fc.assert(property(queue), { numRuns: 30, seed: SEED });
  });
});
