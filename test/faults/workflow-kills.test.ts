import fc from 'fast-check';
import { expect } from 'vitest';
import { Conductor, Workflow, type WorkflowRun } from '../../src/index.ts';
import { INBOX_ENTRIES_MAX, type InboxEntry } from '../../src/orchestration/inbox.ts';
import type { StoredTaskQueue } from '../../src/queue/index.ts';
import { isEnded, type TaskEvent, type TaskStatus } from '../../src/queue/task.ts';
import { People } from '../orchestration/people.ts';
import {
  anyPlan,
  CONDITIONS,
  foretold,
  Oracle,
  type Plan,
  startOf,
  workflowOf,
} from '../orchestration/random-plans.ts';
import { expectQuiet } from './audit.ts';
import { onRedis } from './on-redis.ts';
import { eventually, moment } from './processes.ts';
import { scaled, TEST_TIMEOUT } from './scale.ts';
import { type Stage, test } from './stage.ts';
import type { LogLine } from './workers/protocol.ts';

const WORKERS = 2;
const WIDE = scaled(8, 40);
const LAYERS = scaled(5, 10);
const KILLS = scaled(4, 40);
const KILL_EVERY_MS = 400;
const DRAINED_WITHIN_MS = scaled(30_000, 300_000);

/** Three nodes each; the result is a path of three. Killed tasks come back soon, and as often as it takes. */
const STEPS = {
  goal: 'walk',
  agent: 'steps',
  input: { ms: 60 },
  maxCrashes: 1_000,
  retry: { initialInterval: 20, maxInterval: 100 },
} as const;
const WALKED = { 'result.path.length': { eq: 3 } };
const LOST = { 'result.path.length': { ne: 3 } };

function layered(): Workflow<string> {
  const workflow = new Workflow<string>('layered').add('join0', STEPS);
  for (let layer = 1; layer <= LAYERS; layer++) {
    const [before, join] = [`join${layer - 1}`, `join${layer}`];
    const wide = Array.from({ length: WIDE }, (_, i) => `t${layer}.${i}`);
    for (const ref of wide) workflow.add(ref, { ...STEPS, dependsOn: [{ ref: before, where: WALKED }] });
    workflow.add(`never${layer}`, { ...STEPS, dependsOn: [{ ref: before, where: LOST }] });
    const merged = [...wide, { ref: `never${layer}`, on: 'completion' as const }];
    workflow.add(join, { ...STEPS, dependsOn: merged });
  }
  return workflow;
}

test.for(['sqlite', 'redis'] as const)(
  'a workflow on %s is walked once, in its order, whoever is killed on the way',
  TEST_TIMEOUT,
  async (backend, { stage }) => {
    if (backend === 'redis') await onRedis(stage, backend);
    stage.queueOptions = { leaseMs: 600, sweepMs: 100 };
    const queue = stage.queue();
    const conductor = new Conductor({ agents: {}, queue });
    stage.atEnd(() => conductor.close());
    const workers = await Promise.all(Array.from({ length: WORKERS }, () => stage.launch('graph-worker')));
    const run = await conductor.submit(layered(), { id: 'w' });
    for (let kill = 0; kill < KILLS; kill++) {
      await moment(KILL_EVERY_MS);
      const victim = stage.random.below(WORKERS);
      workers[victim]!.kill('SIGKILL');
      workers[victim] = stage.spawn('graph-worker');
    }
    await eventually(
      async () => (await run.status()).status === 'completed',
      DRAINED_WITHIN_MS,
      () => 'the workflow did not end',
    );

    const { tasks } = await run.status();
    const log = stage.log();
    const first = (id: string) => log.findIndex((line) => line.id === id && line.phase === 'start');
    const last = (id: string) => log.findLastIndex((line) => line.id === id && line.phase === 'end');
    for (const { ref, dependsOn } of layered().tasks()) {
      const { id, status } = tasks[ref]!;
      expect(status, ref).toBe(ref.startsWith('never') ? 'skipped' : 'completed');
      const ends = (await queue.history(id)).filter(({ to }) => isEnded(to));
      expect(ends, ref).toHaveLength(1);
      if (status === 'skipped') expect(first(id), ref).toBe(-1);
      else for (const edge of dependsOn) expect(first(id), ref).toBeGreaterThan(last(`w:${edge.ref}`));
    }
    const results = Object.values(await run.results());
    expect(results).toHaveLength(1 + LAYERS * (WIDE + 1));
    for (const result of results) expect(result).toMatchObject({ path: ['a', 'b', 'c'] });
    for (const worker of workers) {
      await worker.until('ready');
      worker.kill('SIGTERM');
      expect(await worker.untilExit()).toEqual({ code: 0, signal: null });
    }
    expectQuiet(stage);
  },
);

const PLANS = scaled(15, 100);
const PLAN_KILLS_MAX = scaled(8, 200);
const TICK_MS = 150;
const KILL_EVERY_TICKS = 2;
/** How long approvals wait that nobody decides. */
const TIMEOUT_MS = 500;

test.for(['sqlite', 'redis'] as const)(
  'R10: random workflows on %s come out as an oracle says, whoever is killed and whatever is cancelled',
  TEST_TIMEOUT,
  async (backend, { stage }) => {
    if (backend === 'redis') await onRedis(stage, backend);
    stage.queueOptions = { leaseMs: 600, sweepMs: 100 };
    const queue = stage.queue({ ...stage.queueOptions, conditions: CONDITIONS });
    const conductor = new Conductor({ agents: {}, queue });
    stage.atEnd(() => conductor.close());
    const workers = await Promise.all(Array.from({ length: WORKERS }, () => stage.launch('graph-worker')));
    const plans = fc.sample(anyPlan, { numRuns: PLANS, seed: stage.random.seed });
    const trials = await Promise.all(
      plans.map(async (plan, i) => {
        const workflow = workflowOf(plan, {
          timeoutMs: TIMEOUT_MS,
          lives: 1,
          more: (lives) => plannedWork(stage, lives[0] ?? null),
        });
        return new Trial(plan, await conductor.submit(workflow, { id: `w${i}` }), queue);
      }),
    );

    for (let tick = 0, kills = 0; await isBusy(queue); tick++) {
      await moment(TICK_MS);
      await Promise.all(trials.map((trial) => trial.cancelAt(tick)));
      const { entries } = await conductor.inbox({ limit: INBOX_ENTRIES_MAX });
      await Promise.all(trials.map((trial) => trial.attend(entries)));
      if (tick % KILL_EVERY_TICKS !== 0 || kills === PLAN_KILLS_MAX) continue;
      kills += 1;
      const victim = stage.random.below(WORKERS);
      workers[victim]!.kill('SIGKILL');
      workers[victim] = await stage.launch('graph-worker');
    }

    const log = stage.log();
    for (const trial of trials) await trial.judge(log);
    for (const worker of workers) {
      worker.kill('SIGTERM');
      expect(await worker.untilExit()).toEqual({ code: 0, signal: null });
    }
    expectQuiet(stage);
  },
);

function plannedWork(stage: Stage, outcome: number | null) {
  const { maxCrashes, retry } = STEPS;
  return { agent: 'plan', input: { ms: stage.random.between(50, 300), outcome }, maxCrashes, retry };
}

async function isBusy(queue: StoredTaskQueue): Promise<boolean> {
  const { counts } = await queue.stats();
  return Object.entries(counts).some(([status, count]) => !isEnded(status as TaskStatus) && count > 0);
}

/** One workflow of the storm: what was asked of it, and what must have become of it. */
class Trial {
  readonly #plan: Plan;
  readonly #run: WorkflowRun;
  readonly #queue: StoredTaskQueue;
  /** Whom somebody asked to cancel, with the answer where it was asked of one. */
  readonly #asked = new Map<string, TaskStatus | null>();
  readonly #people: People;

  constructor(plan: Plan, run: WorkflowRun, queue: StoredTaskQueue) {
    this.#people = new People(plan, queue);
    this.#plan = plan;
    this.#run = run;
    this.#queue = queue;
  }

  async cancelAt(tick: number): Promise<void> {
    for (const { pick } of this.#plan.cancels.filter(({ at }) => at === tick)) {
      if (pick === null) {
        await this.#run.cancel('no more of it');
        for (const i of this.#plan.tasks.keys())
          if (!this.#asked.has(`t${i}`)) this.#asked.set(`t${i}`, null);
      } else {
        const ref = `t${pick % this.#plan.tasks.length}`;
        const { status } = await this.#queue.cancel(`${this.#run.id}:${ref}`, 'not this one');
        this.#asked.set(ref, status);
      }
    }
  }

  async attend(entries: readonly InboxEntry[]): Promise<void> {
    await this.#people.attend(entries.filter(({ workflow }) => workflow?.id === this.#run.id));
  }

  async judge(log: readonly LogLine[]): Promise<void> {
    const { tasks, status } = await this.#run.status();
    const statuses = Object.fromEntries(Object.entries(tasks).map(([ref, shown]) => [ref, shown.status]));
    const cancelled = new Set(Object.keys(statuses).filter((ref) => statuses[ref] === 'cancelled'));
    for (const ref of cancelled) expect([...this.#asked.keys()], 'who was cancelled').toContain(ref);
    for (const [ref, answer] of this.#asked) if (answer !== null) expect(statuses[ref], ref).toBe(answer);
    const oracle = new Oracle(this.#plan);
    oracle.run(cancelled);
    expect(statuses, this.#run.id).toEqual(oracle.status);
    expect(foretold(await this.#run.results())).toEqual(oracle.results);
    expect(status).toBe(oracle.outcome);
    await this.#judgeOrder(oracle, log);
  }

  /** By the histories, and by what the processes wrote as they went. */
  async #judgeOrder(oracle: Oracle, log: readonly LogLine[]): Promise<void> {
    const idOf = (ref: string) => `${this.#run.id}:${ref}`;
    const lineOf = (ref: string, phase: 'start' | 'end') =>
      log.findIndex((line) => line.id === idOf(ref) && line.phase === phase);
    const histories = new Map<string, TaskEvent[]>();
    for (const ref of Object.keys(oracle.status)) histories.set(ref, await this.#queue.history(idOf(ref)));
    for (const [ref, history] of histories) {
      expect(
        history.filter(({ to }) => isEnded(to)),
        ref,
      ).toHaveLength(1);
      const startedAt = startOf(history);
      if (!oracle.ran.has(ref)) expect([startedAt, lineOf(ref, 'start')], ref).toEqual([null, -1]);
      else if (startedAt === null) expect(oracle.status[ref], ref).toBe('cancelled');
      else {
        const i = Number(ref.slice(1));
        if (this.#plan.tasks[i]!.approval !== null) oracle.expectAsked(i, history, true);
        oracle.expectOrder(i, startedAt, (before) => histories.get(before)!.at(-1)!.at);
        const line = lineOf(ref, 'start');
        // A run may be killed, or cancelled, between its start in the store and its first line.
        if (line !== -1) oracle.expectOrder(i, line, (before) => lineOf(before, 'end'));
      }
    }
  }
}
