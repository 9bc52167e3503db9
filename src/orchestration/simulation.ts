import { wait } from '../clock.ts';
import { requireOptions } from '../options.ts';
import { MemoryTaskStore } from '../queue/backends/memory/memory-task-store.ts';
import { INTERVAL_MS_MAX } from '../queue/bounds.ts';
import type { Limit } from '../queue/limits.ts';
import { StoredTaskQueue } from '../queue/stored-task-queue.ts';
import type { NewTask, Task } from '../queue/task.ts';
import type { TaskQueue } from '../queue/task-queue.ts';
import { AgentCoordinator, type Strategy } from './agent-coordinator.ts';
import { AgentHost } from './agent-host.ts';
import { ClaimPace } from './claim-pace.ts';
import { RecordedDues } from './recorded-dues.ts';
import { RecordedMoments, type RunMoments } from './recorded-moments.ts';
import {
  batchesOf,
  grouped,
  LikelyRuns,
  type RecordedRun,
  type RecordedTask,
  recordedTasks,
} from './recorded-runs.ts';
import {
  type RecordedChoice,
  type RecordedChoices,
  ReplayedCoordinator,
  TIE_MS,
} from './replayed-coordinator.ts';
import { ReplayedQueue } from './replayed-queue.ts';
import { TaskQueueManager } from './task-queue-manager.ts';
import { VirtualClock } from './virtual-clock.ts';

/** Tasks that a simulation looks at. */
const SIMULATED_TASKS_MAX = 20_000;
/** What has not ended this long after the last submission never will: an agent is missing, or a limit is 0. */
const PATIENCE_MS = 30 * 24 * 3_600_000;

export interface SimulatedAgent {
  readonly capabilities?: readonly string[] | undefined;
  /** @default Infinity */
  readonly maxConcurrent?: number | undefined;
}

/** What to change against how it was; what is left out stays as it is today. */
export interface SimulateOptions {
  readonly strategy?: Strategy | undefined;
  /** Of keys that the tasks named: other keys are held by nothing. @default as they stand */
  readonly limits?: readonly Pick<Limit, 'key' | 'max' | 'rate'>[] | undefined;
  /** Who is there, in each process; one without a history works as others do on the type. @default this conductor's */
  readonly agents?: Readonly<Record<string, SimulatedAgent>> | undefined;
  /** Tasks at a time in each process. @default the most that the history shows */
  readonly maxConcurrent?: number | undefined;
  /** @default as many as the history shows */
  readonly processes?: number | undefined;
  /** As the queue's. @default 60_000 */
  readonly agingMs?: number | undefined;
  /** Only tasks created from then on, ms since the epoch. @default all, up to SIMULATED_TASKS_MAX */
  readonly since?: number | undefined;
  /** A wait longer than this, ms, is a miss. @default 60_000 */
  readonly missMs?: number | undefined;
}

export interface SimulationReport {
  readonly tasks: number;
  /** From when a task could have run, to its last start, ms. */
  readonly wait: {
    readonly meanMs: number;
    readonly p50Ms: number;
    readonly p95Ms: number;
    readonly maxMs: number;
  };
  /** Tasks that waited longer than `missMs`, or had not ended when nothing went on any more. */
  readonly misses: number;
  readonly completed: number;
  readonly failed: number;
  /** Share of the slots' time that was used, from the first submission to the last end; and by agent the runs at a time. */
  readonly utilisation: number;
  readonly agents: Readonly<Record<string, { readonly runs: number; readonly running: number }>>;
  /** Who ran each task last. */
  readonly assignments: ReadonlyMap<string, string>;
  /**
   * Share of the tasks that went to the agent that history has. With all settings and agents as they were, each process
   * claims as many tasks as it had by each moment, and whoever was chosen is chosen again if it is free: then this tells
   * whether claims, order, limits and times come out as they did, and little of the choosing itself. What was changed in
   * the code of an agent since, as its `maxConcurrent`, is no setting: give it as `agents` to see what it does.
   */
  readonly reproduced: number;
}

/** What a simulation needs of its conductor. */
export interface Simulated {
  readonly queue: TaskQueue;
  readonly agents: Readonly<Record<string, SimulatedAgent>>;
  readonly strategy: Strategy;
}

/**
 * Submits the recorded tasks again, at their times, to a queue in memory on a virtual clock, and lets the real
 * claims, limits and coordinators work them off. A run that history has takes as long as it did, and ends as it
 * did; with today's strategy and agents a choice from the same candidates is made by the draws that are stored with it.
 * A run on another agent goes as some run of that agent on the type did. Who was at work before the history
 * begins is not known. Back-offs that history does not have are without jitter; conditions on results are taken as `success`; questions to people
 * are answered at once; and tasks that have not ended yet are left out.
 */
export async function simulate(today: Simulated, options: SimulateOptions): Promise<SimulationReport> {
  const { queue } = today;
  requireOptions(options, 'an object');
  const tasks = await recordedTasks(queue, options.since ?? 0, SIMULATED_TASKS_MAX);
  const keys = [...new Set(tasks.flatMap(({ task }) => task.limits?.map(({ key }) => key) ?? []))];
  const limits = options.limits ?? (keys.length === 0 ? [] : await queue.limits(keys));
  return new Simulation(tasks, limits, today, options).run();
}

interface Use {
  runs: number;
  ms: number;
}

class Simulation {
  readonly #tasks: ReadonlyMap<string, RecordedTask>;
  readonly #likely: LikelyRuns;
  readonly #limits: readonly Pick<Limit, 'key' | 'max' | 'rate'>[];
  readonly #options: SimulateOptions;
  readonly #today: Simulated;
  readonly #clock: VirtualClock;
  readonly #from: number;
  readonly #lastAt: number;
  readonly #queues: StoredTaskQueue[] = [];
  readonly #ended = new Set<string>();
  readonly #uses = new Map<string, Use>();
  readonly #moments: RecordedMoments;
  /** Nothing has changed. */
  readonly #isAsItWas: boolean;
  /** And it was done by the agents of today, and the order of all they did is known. */
  readonly #isPaced: boolean;

  constructor(
    tasks: readonly RecordedTask[],
    limits: readonly Pick<Limit, 'key' | 'max' | 'rate'>[],
    today: Simulated,
    options: SimulateOptions,
  ) {
    this.#tasks = new Map(tasks.map((recorded) => [recorded.task.id, recorded]));
    this.#likely = new LikelyRuns(tasks);
    this.#limits = limits;
    this.#today = today;
    this.#options = options;
    this.#moments = new RecordedMoments(tasks);
    this.#isAsItWas = isAsItWas(today, options);
    this.#isPaced = this.#isAsItWas && hasTurns(tasks) && isSameFleet(tasks, today.agents);
    const times = tasks.map(({ task }) => task.createdAt);
    this.#from = times.reduce((a, b) => Math.min(a, b), Infinity);
    this.#lastAt = times.reduce((a, b) => Math.max(a, b), 0);
    this.#clock = new VirtualClock(tasks.length === 0 ? 0 : this.#from);
  }

  async run(): Promise<SimulationReport> {
    const { claims, peak } = this.#moments;
    const { processes = Math.max(1, claims.length), maxConcurrent = peak } = this.#options;
    const store = new MemoryTaskStore();
    const managers: TaskQueueManager[] = [];
    for (let i = 0; i < processes; i++) managers.push(this.#process(store, i, maxConcurrent));
    const queue = this.#queues[0]!;
    for (const { key, max, rate } of this.#limits) await queue.setLimit(key, { max, rate });
    if (this.#isPaced) this.#submitAsItWas(store);
    else this.#submitAll(queue);
    for (const manager of managers) manager.start();
    await this.#clock.run(this.#lastAt + PATIENCE_MS, () => this.#ended.size === this.#tasks.size);
    const report = await this.#report(queue, processes * maxConcurrent);
    await this.#stop(managers);
    return report;
  }

  #process(store: MemoryTaskStore, process: number, maxConcurrent: number): TaskQueueManager {
    const { agingMs } = this.#options;
    const { claims } = this.#moments;
    const end = Math.max(0, ...claims.map((moments) => moments.at(-1)!));
    const pace = this.#isPaced ? new ClaimPace(this.#clock, claims[process] ?? [], end) : undefined;
    const options = { owner: `process-${process}`, clock: this.#clock, agingMs };
    const queue = new ReplayedQueue(store, options, {
      due: new RecordedDues(this.#tasks, this.#clock, this.#isPaced),
      pace,
    });
    this.#queues.push(queue);
    queue.on('transition', ({ taskId, to }) => {
      if (to === 'completed' || to === 'failed' || to === 'cancelled' || to === 'skipped')
        this.#ended.add(taskId);
    });
    const agents = Object.entries(this.#options.agents ?? this.#today.agents);
    const host = new AgentHost({
      agents: Object.fromEntries(
        agents.map(([name, { capabilities, maxConcurrent }]) => [
          name,
          {
            graph: { invoke: (_: unknown, config: unknown) => this.#work(name, config) },
            capabilities,
            maxConcurrent,
          },
        ]),
      ),
      coordinator: this.#coordinator(),
      clock: this.#clock,
      checkpointer: () => Promise.reject(new Error('a simulation keeps no checkpoints')),
      deletesPurged: false,
    });
    return new TaskQueueManager({ host, queue }, queue, { maxConcurrent, pollMs: INTERVAL_MS_MAX });
  }

  #coordinator(): AgentCoordinator {
    const { strategy = this.#today.strategy, agents } = this.#options;
    const isToday = strategy === this.#today.strategy && agents === undefined;
    if (!isToday) return new AgentCoordinator({ strategy });
    const recorded: RecordedChoices = (id, attempt) => this.#choiceFor(id, attempt);
    return new ReplayedCoordinator(strategy, recorded, this.#clock, this.#isAsItWas);
  }

  #choiceFor(id: string, attempt: number): RecordedChoice | undefined {
    const { task, runs } = this.#tasks.get(id)!;
    const { assignedAgent, scores } = task;
    if (attempt === task.attempt)
      return assignedAgent === undefined || scores === undefined
        ? undefined
        : { agent: assignedAgent, scores };
    const agent = runs[attempt - 1]?.agent;
    return agent === undefined || !this.#isAsItWas ? undefined : { agent, scores: [] };
  }

  /** Tasks of the same moment are submitted together, in their order. */
  #submitAll(queue: StoredTaskQueue): void {
    const moments = grouped(this.#tasks.values(), ({ task }) => task.createdAt);
    for (const [at, recorded] of moments) {
      const submit = () => void this.#submit(queue, recorded);
      // After the runs that end at that moment: who is free for it is then seen, and who was is in the table.
      this.#clock.setTimeout(submit, at - this.#from + 0.5);
    }
  }

  /** Each at its own moment, with the time that it had. */
  #submitAsItWas(store: MemoryTaskStore): void {
    const batches = batchesOf([...this.#tasks.values()]);
    let createdAt = 0;
    const clock = {
      now: () => createdAt,
      setTimeout: (callback: () => void, ms: number) => this.#clock.setTimeout(callback, ms),
      clearTimeout: (handle: unknown) => this.#clock.clearTimeout(handle),
    };
    const queue = new StoredTaskQueue(store, {
      clock,
      sweepMs: INTERVAL_MS_MAX,
      agingMs: this.#options.agingMs,
    });
    this.#queues.push(queue);
    const next = (i: number) => {
      const batch = batches[i];
      if (batch === undefined) return;
      const submit = () => {
        createdAt = batch[0]!.task.createdAt;
        void this.#submit(queue, batch);
        next(i + 1);
      };
      this.#clock.setTimeout(submit, this.#moments.submissionOf(batch[0]!.task.id) - this.#clock.now());
    };
    next(0);
  }

  async #submit(queue: StoredTaskQueue, recorded: readonly RecordedTask[]): Promise<void> {
    await queue.enqueueMany(recorded.map(({ task }) => this.#submission(task)));
    for (const { task, runs, cancelledAt } of recorded) {
      if (cancelledAt === undefined || runs.length > 0) continue;
      this.#clock.setTimeout(() => void this.#queues[0]!.cancel(task.id), cancelledAt - this.#clock.now());
    }
  }

  #submission(task: Task): NewTask {
    const { id, priority, agentType, agent, fairKey, maxRetries, limits, createdAt } = task;
    const { runs } = this.#tasks.get(id)!;
    const known = task.dependsOn.filter((dependency) => this.#tasks.has(dependency.id));
    const runAt = runs.length <= 1 ? task.runAt : (runs[0]!.dueAt ?? createdAt);
    return {
      id,
      payload: {},
      priority,
      agentType,
      agent,
      fairKey,
      maxRetries,
      limits: limits?.map(({ key, weight }) => ({ key, weight })),
      dependsOn: known.map(({ id: dependency, on }) => ({
        id: dependency,
        on: typeof on === 'string' ? on : 'success',
      })),
      join: task.join,
      ...(runAt > createdAt && { runAt }),
    };
  }

  /** A run, in virtual time. */
  async #work(agent: string, config: unknown): Promise<unknown> {
    const { jotty } = (config as { configurable: { jotty: { taskId: string; attempt: number } } })
      .configurable;
    const { task, runs } = this.#tasks.get(jotty.taskId)!;
    const recorded = runs[jotty.attempt - 1];
    const isSame = recorded !== undefined && (recorded.agent === undefined || recorded.agent === agent);
    const run = isSame ? recorded : this.#likely.of(agent, task.agentType, task.id, jotty.attempt);
    const ms = run?.ms ?? 0;
    const { from, to } = isSame ? this.#timesOf(recorded) : { from: Infinity, to: 0 };
    const now = this.#clock.now();
    // A ms that history cannot tell is put right: else they would add up, until another comes first.
    await wait(this.#clock, Math.abs(from - now) <= TIE_MS ? Math.max(0, to - now) : ms);
    const use = this.#uses.get(agent) ?? { runs: 0, ms: 0 };
    this.#uses.set(agent, { runs: use.runs + 1, ms: use.ms + ms });
    if (run?.isSuccess === false) throw new Error('it failed');
    return {};
  }

  #timesOf(run: RecordedRun): RunMoments {
    return this.#isPaced ? this.#moments.of(run) : { from: run.from, to: run.from + run.ms };
  }

  async #report(queue: StoredTaskQueue, slots: number): Promise<SimulationReport> {
    const waits: number[] = [];
    const assignments = new Map<string, string>();
    const counts = { completed: 0, failed: 0 };
    let compared = 0;
    let same = 0;
    for (const { task: recorded } of this.#tasks.values()) {
      const task = await queue.getTask(recorded.id);
      if (task?.status === 'completed' || task?.status === 'failed') counts[task.status] += 1;
      if (task?.startedAt !== undefined) waits.push(Math.max(0, task.startedAt - task.runAt));
      if (task?.assignedAgent !== undefined) assignments.set(recorded.id, task.assignedAgent);
      if (recorded.assignedAgent === undefined) continue;
      compared += 1;
      if (task?.assignedAgent === recorded.assignedAgent) same += 1;
    }
    waits.sort((a, b) => a - b);
    const spanMs = Math.max(1, this.#clock.now() - this.#from);
    const usedMs = [...this.#uses.values()].reduce((sum, { ms }) => sum + ms, 0);
    const { missMs = 60_000 } = this.#options;
    return {
      tasks: this.#tasks.size,
      wait: {
        meanMs: waits.reduce((sum, ms) => sum + ms, 0) / Math.max(1, waits.length),
        p50Ms: quantile(waits, 0.5),
        p95Ms: quantile(waits, 0.95),
        maxMs: waits.at(-1) ?? 0,
      },
      misses: waits.filter((ms) => ms > missMs).length + this.#tasks.size - this.#ended.size,
      ...counts,
      utilisation: usedMs / (spanMs * slots),
      agents: Object.fromEntries(
        [...this.#uses].map(([agent, { runs, ms }]) => [agent, { runs, running: ms / spanMs }]),
      ),
      assignments,
      reproduced: compared === 0 ? 1 : same / compared,
    };
  }

  /** Ends what waits for a timer of the virtual clock. */
  async #stop(managers: readonly TaskQueueManager[]): Promise<void> {
    let isOver = false;
    const stopped = Promise.all(managers.map((manager) => manager.stop({ drainMs: 0 })))
      .then(() => Promise.all(this.#queues.map((queue) => queue.close())))
      .finally(() => {
        isOver = true;
      });
    await this.#clock.run(Infinity, () => isOver);
    await stopped;
  }
}

/** Neither the strategy nor anything else is other than it is today. */
function isAsItWas(today: Simulated, options: SimulateOptions): boolean {
  const { strategy = today.strategy, agents, limits, maxConcurrent, processes, agingMs } = options;
  const changes = [agents, limits, maxConcurrent, processes, agingMs];
  return strategy === today.strategy && changes.every((given) => given === undefined);
}

/** Histories of earlier versions have none. */
function hasTurns(tasks: readonly RecordedTask[]): boolean {
  const chosen = tasks.filter(({ task }) => task.scores !== undefined);
  return chosen.length > 0 && chosen.every(({ task }) => task.turns !== undefined);
}

/** Whether today's agents are those that history knows. */
function isSameFleet(tasks: readonly RecordedTask[], agents: Simulated['agents']): boolean {
  const known = new Set(tasks.flatMap(({ task }) => task.scores?.map(({ agent }) => agent) ?? []));
  const names = Object.keys(agents);
  return names.length === known.size && names.every((name) => known.has(name));
}

function quantile(sorted: readonly number[], share: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? 0;
}
