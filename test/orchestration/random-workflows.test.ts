import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setImmediate as turn } from 'node:timers/promises';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type AgentInput, Conductor, type TaskQueue, type WorkflowRun } from '../../src/index.ts';
import { MemoryTaskQueue } from '../../src/queue/backends/memory/memory-task-queue.ts';
import { RedisTaskQueue } from '../../src/queue/backends/redis/redis-task-queue.ts';
import { SQLiteTaskQueue } from '../../src/queue/backends/sqlite/sqlite-task-queue.ts';
import { isEnded } from '../../src/queue/task.ts';
import type { TaskQueueOptions } from '../../src/queue/task-queue.ts';
import { sharedRedis } from '../redis/shared-redis.ts';
import { JumpingClock } from './jumping-clock.ts';
import { People } from './people.ts';
import {
  anyPlan,
  type Cancel,
  CONDITIONS,
  foretold,
  LIVES,
  Oracle,
  type Plan,
  startOf,
  workflowOf,
} from './random-plans.ts';

/** `WORKFLOW_RUNS=200` runs so many on each backend, `WORKFLOW_SEED=…` runs the printed seed again. */
const RUNS = process.env.WORKFLOW_RUNS === undefined ? undefined : Number(process.env.WORKFLOW_RUNS);
const SEED =
  process.env.WORKFLOW_SEED === undefined ? Date.now() % 2 ** 31 : Number(process.env.WORKFLOW_SEED);

/** How long approvals wait that nobody decides. */
const TIMEOUT_MS = 20_000;
/** On a busy machine fewer plans are tried: each takes hundreds of round trips, each of which waits for its turn. */
const PLANS_MS = 25_000;
/** A plan that takes this long tells where it stands, before the time of the test is over. */
const PLAN_MS_MAX = 30_000;
/** So often is looked what waits for somebody, or for the time, before it is taken for stuck. */
const ROUNDS_MAX = 100;

/** A plan in the hands of an agent and of people that do what it says, while its cancels come at their steps. */
class Trial {
  readonly #queue: TaskQueue;
  readonly #clock: JumpingClock;
  readonly #people: People;
  #conductor: Conductor | undefined;
  readonly #plan: Plan;
  readonly #oracle: Oracle;
  readonly #runs: Record<string, number> = {};
  readonly #given: Record<string, unknown> = {};
  readonly #going: Promise<unknown>[] = [];
  /** Whom somebody asked to cancel. */
  readonly #asked = new Set<string>();
  #steps = 0;
  #isOver = false;
  #attending: Promise<number> = Promise.resolve(0);
  #run: WorkflowRun | undefined;

  constructor(queue: TaskQueue, clock: JumpingClock, plan: Plan) {
    this.#queue = queue;
    this.#clock = clock;
    this.#people = new People(plan, queue);
    this.#plan = plan;
    this.#oracle = new Oracle(plan);
  }

  async tryOut(id: string): Promise<void> {
    const agent = { invoke: (input: AgentInput) => this.#invoke(input) };
    await using conductor = new Conductor({ agents: { agent }, queue: this.#queue });
    this.#conductor = conductor;
    this.#run = await conductor.submit(workflowOf(this.#plan, { timeoutMs: TIMEOUT_MS }), { id });
    for (let life = 0; life < LIVES; life++) {
      this.#people.life = life;
      if (life > 0) await this.#run.retry();
      await this.#finish(conductor, this.#run);
      await this.#judge(this.#run);
    }
  }

  /** Rejects, with how it stands, where it takes too long. */
  async within(ms: number, id: string): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => void this.#stand().then((stand) => reject(new Error(stand)), reject), ms);
    });
    await Promise.race([this.tryOut(id), late]).finally(() => clearTimeout(timer));
  }

  async #stand(): Promise<string> {
    const { entries = [] } = (await this.#conductor?.inbox()) ?? {};
    return JSON.stringify({ steps: this.#steps, entries, run: await this.#run?.status() });
  }

  /** Where only people can go on they do, and where nobody does, time does. */
  async #finish(conductor: Conductor, run: WorkflowRun): Promise<void> {
    this.#isOver = false;
    for (let round = 0; round < ROUNDS_MAX; round++) {
      this.#step();
      await conductor.processQueue({ untilEmpty: true });
      await Promise.all(this.#going);
      const decided = await this.#attend();
      const { status } = await run.status();
      this.#isOver = status !== 'running' && status !== 'waiting';
      if (this.#isOver) return;
      if (decided === 0) await this.#letTimePass(conductor);
    }
    throw new Error(`it waits for ever: ${JSON.stringify(await run.status())}`);
  }

  async #letTimePass(conductor: Conductor): Promise<void> {
    const { entries } = await conductor.inbox();
    this.#clock.jump(TIMEOUT_MS + 1);
    const isAsking = async ({ taskId, since }: (typeof entries)[number]) => {
      const task = await this.#queue.getTask(taskId);
      return task?.status === 'waiting' && task.askedAt === since;
    };
    for (const entry of entries) while (await isAsking(entry)) await turn();
  }

  /** One after the other: what one of them changes, the next one knows. */
  #attend(): Promise<number> {
    const attending = this.#attending.then(async () => {
      const { entries } = await this.#conductor!.inbox();
      return this.#people.attend(entries.filter(({ workflow }) => workflow?.id === this.#run!.id));
    });
    // A run that was cancelled may take its steps after the plan has come to its end: nobody waits for those.
    this.#attending = attending.catch(() => 0);
    return attending;
  }

  async #invoke({ goal = '', results }: AgentInput): Promise<number> {
    const { steps, lives } = this.#plan.tasks[Number(goal.slice(1))]!;
    const life = this.#runs[goal] ?? 0;
    this.#runs[goal] = life + 1;
    this.#given[goal] = results && foretold(results as object);
    for (let step = 0; step < steps; step++) {
      this.#step();
      await turn();
    }
    const result = lives[life] ?? null;
    if (result === null) throw new Error('boom');
    return result;
  }

  /** Nobody waits for a cancel, or for people: what runs goes on beside them. */
  #step(): void {
    if (this.#isOver) return;
    const due = this.#plan.cancels.filter(({ at }) => at === this.#steps);
    this.#going.push(...due.map((cancel) => this.#cancel(cancel, this.#run!)));
    this.#steps += 1;
    if (this.#plan.tasks.some(({ approval }) => approval !== null)) this.#going.push(this.#attend());
  }

  async #cancel({ pick }: Cancel, run: WorkflowRun): Promise<void> {
    if (pick === null) {
      for (const i of this.#plan.tasks.keys()) this.#asked.add(`t${i}`);
      const { tasks } = await run.cancel('no more of it');
      for (const [ref, { status }] of Object.entries(tasks))
        expect(isEnded(status as 'pending'), ref).toBe(true);
      return;
    }
    const ref = `t${pick % this.#plan.tasks.length}`;
    this.#asked.add(ref);
    const { id } = (await run.status()).tasks[ref]!;
    const { status } = await this.#queue.cancel(id, 'not this one');
    expect(isEnded(status), ref).toBe(true);
    // The answer is the truth, and no later write changes it.
    expect((await this.#queue.getTask(id))?.status).toBe(status);
  }

  async #judge(run: WorkflowRun): Promise<void> {
    const { tasks, status } = await run.status();
    const oracle = this.#oracle;
    const statuses = Object.fromEntries(Object.entries(tasks).map(([ref, shown]) => [ref, shown.status]));
    const cancelled = new Set(Object.keys(statuses).filter((ref) => statuses[ref] === 'cancelled'));
    for (const ref of cancelled) expect(this.#asked, `${ref} was cancelled, and nobody asked`).toContain(ref);
    oracle.run(cancelled);
    expect(statuses).toEqual(oracle.status);
    expect(foretold(await run.results())).toEqual(oracle.results);
    expect(status).toBe(oracle.outcome);
    this.#judgeRuns(cancelled);
    await this.#judgeOrder(Object.fromEntries(Object.entries(tasks).map(([ref, { id }]) => [ref, id])));
  }

  #judgeRuns(cancelled: ReadonlySet<string>): void {
    const { runs, given } = this.#oracle;
    this.#plan.tasks.forEach(({ join }, i) => {
      const ref = `t${i}`;
      const [got, all] = [this.#given[ref], given[ref]];
      const ran = this.#runs[ref] ?? 0;
      if (cancelled.has(ref)) {
        expect(ran, `runs of ${ref}`).toBeLessThanOrEqual(runs[ref] ?? 0);
        if (ran < (runs[ref] ?? 0)) return;
      }
      expect(ran, `runs of ${ref}`).toBe(runs[ref] ?? 0);
      // One of several is enough: which of the others had ended by then is a matter of time.
      if (join === 'any' && all) expect(all).toMatchObject(got as object);
      else expect(got).toEqual(all);
    });
  }

  async #judgeOrder(ids: Readonly<Record<string, string>>): Promise<void> {
    const histories = await Promise.all(
      Object.entries(ids).map(async ([ref, id]) => [ref, await this.#queue.history(id)] as const),
    );
    const of = new Map(histories);
    for (const ref of this.#oracle.ran) {
      const i = Number(ref.slice(1));
      if (this.#plan.tasks[i]!.approval !== null) this.#oracle.expectAsked(i, of.get(ref)!);
      const startedAt = startOf(of.get(ref)!);
      if (startedAt === null) expect(this.#oracle.status[ref], ref).toBe('cancelled');
      else this.#oracle.expectOrder(i, startedAt, (before) => of.get(before)!.at(-1)!.at);
    }
  }
}

async function tryPlans(queue: TaskQueue, clock: JumpingClock, numRuns: number): Promise<void> {
  let count = 0;
  const end = RUNS === undefined ? performance.now() + PLANS_MS : Number.POSITIVE_INFINITY;
  const property = fc.asyncProperty(anyPlan, async (plan) => {
    if (performance.now() < end) await new Trial(queue, clock, plan).within(PLAN_MS_MAX, `w${++count}`);
  });
  // What is a matter of time does not come again while a plan is made smaller.
  await fc.assert(property, { numRuns: RUNS ?? numRuns, seed: SEED, endOnFailure: true });
}

const OPTIONS: TaskQueueOptions = { conditions: CONDITIONS };

describe(`random workflows come out as an oracle says, whoever is cancelled, and so do their retries (WORKFLOW_SEED=${SEED})`, () => {
  const redis = sharedRedis();

  test('memory', async () => {
    const clock = new JumpingClock();
    await using queue = new MemoryTaskQueue({ ...OPTIONS, clock });
    await tryPlans(queue, clock, 200);
  });

  test('SQLite', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'jotty-random-'));
    try {
      const clock = new JumpingClock();
      await using queue = new SQLiteTaskQueue({ path: join(folder, 'tasks.db'), ...OPTIONS, clock });
      await tryPlans(queue, clock, 40);
    } finally {
      await rm(folder, { recursive: true });
    }
  });

  test('Redis', async () => {
    const clock = new JumpingClock();
    await using queue = new RedisTaskQueue({
      url: redis.url,
      prefix: redis.prefix(),
      durability: { atLeast: 'none' },
      ...OPTIONS,
      clock,
    });
    await tryPlans(queue, clock, 40);
  });
});
