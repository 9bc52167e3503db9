import { wait } from '../clock.ts';
import { requireOptions } from '../options.ts';
import { MemoryTaskStore } from '../queue/backends/memory/memory-task-store.ts';
import { INTERVAL_MS_MAX } from '../queue/bounds.ts';
import type { Limit } from '../queue/limits.ts';
import { backoffMs, DEFAULT_RETRY } from '../queue/retry.ts';
import { StoredTaskQueue } from '../queue/stored-task-queue.ts';
import type { NewTask, Outcome, Task } from '../queue/task.ts';
import type { Assignment, TaskQueue, TaskQueueOptions } from '../queue/task-queue.ts';
import { AgentCoordinator, type Strategy } from './agent-coordinator.ts';
import { AgentHost } from './agent-host.ts';
import { LikelyRuns, peakOf, type RecordedTask, recordedTasks } from './recorded-runs.ts';
import {
  type RecordedChoice,
  type RecordedChoices,
  ReplayedCoordinator,
  TIE_MS,
} from './replayed-coordinator.ts';
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
   * Share of the tasks that went to the agent that history has. With all settings as they were, the recorded score
   * tables also say who was free for a choice: then this tells whether claims, order, limits and times come out as they
   * did, and little of the choosing itself.
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

/** Of such a policy `random` is what the back-off takes beyond 1 ms. */
const OWN_BACKOFF = { initialInterval: 2, backoffFactor: 1, maxInterval: 2, jitter: true };

/** A queue in which nobody dies, and back-offs are told from outside. */
class ReplayedQueue extends StoredTaskQueue {
  readonly #backoffMs: (task: Task) => number;
  readonly #next: { backoffMs: number };

  constructor(store: MemoryTaskStore, options: TaskQueueOptions, backoffMs: (task: Task) => number) {
    const next = { backoffMs: 1 };
    super(store, {
      ...options,
      leaseMs: INTERVAL_MS_MAX,
      sweepMs: INTERVAL_MS_MAX,
      retry: OWN_BACKOFF,
      random: () => next.backoffMs - 1,
    });
    this.#next = next;
    this.#backoffMs = backoffMs;
  }

  /** What follows is decided before this returns, as the record is in hand. */
  override settle(task: Task, outcome: Outcome, assignment?: Assignment): Promise<Task> {
    this.#next.backoffMs = this.#backoffMs(task);
    return super.settle(task, outcome, assignment);
  }
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
    const times = tasks.map(({ task }) => task.createdAt);
    this.#from = times.reduce((a, b) => Math.min(a, b), Infinity);
    this.#lastAt = times.reduce((a, b) => Math.max(a, b), 0);
    this.#clock = new VirtualClock(tasks.length === 0 ? 0 : this.#from);
  }

  async run(): Promise<SimulationReport> {
    const runs = [...this.#tasks.values()].flatMap((recorded) => recorded.runs);
    const workers = grouped(runs, ({ worker }) => worker);
    const peak = Math.max(1, ...[...workers.values()].map(peakOf));
    const { processes = Math.max(1, workers.size), maxConcurrent = peak } = this.#options;
    const store = new MemoryTaskStore();
    const managers: TaskQueueManager[] = [];
    for (let i = 0; i < processes; i++) managers.push(this.#process(store, `process-${i}`, maxConcurrent));
    const queue = this.#queues[0]!;
    for (const { key, max, rate } of this.#limits) await queue.setLimit(key, { max, rate });
    this.#submitAll(queue);
    for (const manager of managers) manager.start();
    await this.#clock.run(this.#lastAt + PATIENCE_MS, () => this.#ended.size === this.#tasks.size);
    const report = await this.#report(queue, processes * maxConcurrent);
    await this.#stop(managers);
    return report;
  }

  #process(store: MemoryTaskStore, owner: string, maxConcurrent: number): TaskQueueManager {
    const { agingMs } = this.#options;
    const queue = new ReplayedQueue(store, { owner, clock: this.#clock, agingMs }, (task) =>
      this.#backoffMs(task),
    );
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
    const { limits, maxConcurrent, processes, agingMs } = this.#options;
    const isAsItWas = [limits, maxConcurrent, processes, agingMs].every((given) => given === undefined);
    const recorded: RecordedChoices = (id, attempt) => this.#choiceFor(id, attempt, isAsItWas);
    return new ReplayedCoordinator(strategy, recorded, this.#clock, isAsItWas);
  }

  #choiceFor(id: string, attempt: number, isAsItWas: boolean): RecordedChoice | undefined {
    const { task, runs } = this.#tasks.get(id)!;
    const { assignedAgent, scores } = task;
    if (attempt === task.attempt)
      return assignedAgent === undefined || scores === undefined
        ? undefined
        : { agent: assignedAgent, scores };
    const agent = runs[attempt - 1]?.agent;
    return agent === undefined || !isAsItWas ? undefined : { agent, scores: [] };
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

  async #submit(queue: StoredTaskQueue, recorded: readonly RecordedTask[]): Promise<void> {
    await queue.enqueueMany(recorded.map(({ task }) => this.#submission(task)));
    for (const { task, runs, cancelledAt } of recorded) {
      if (cancelledAt === undefined || runs.length > 0) continue;
      this.#clock.setTimeout(() => void queue.cancel(task.id), cancelledAt - this.#clock.now());
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

  /** As long as it was, jitter included; else as the default has it, without. */
  #backoffMs({ id, attempt, retryCount }: Task): number {
    const { runs = [] } = this.#tasks.get(id) ?? {};
    const run = runs[attempt - 1];
    if (run?.againAt !== undefined) {
      // Who was taken as soon as a slot was free had stood in line by then; what was handed back since is due anew.
      const dueAt = Math.min(runs[attempt]?.dueAt ?? Infinity, run.againAt - 1);
      return Math.max(0, dueAt - (run.from + run.ms));
    }
    return backoffMs(retryCount + 1, { ...DEFAULT_RETRY, jitter: false }, () => 1);
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
    const early = isSame ? recorded.from - this.#clock.now() : 0;
    // A ms that history cannot tell is put right: else they would add up, until another comes first.
    await wait(this.#clock, Math.abs(early) <= TIE_MS ? Math.max(0, ms + early) : ms);
    const use = this.#uses.get(agent) ?? { runs: 0, ms: 0 };
    this.#uses.set(agent, { runs: use.runs + 1, ms: use.ms + ms });
    if (run?.isSuccess === false) throw new Error('it failed');
    return {};
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

function quantile(sorted: readonly number[], share: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? 0;
}

function grouped<T, K>(items: Iterable<T>, keyOf: (item: T) => K): Map<K, T[]> {
  const groups = new Map<K, T[]>();
  for (const item of items) {
    const key = keyOf(item);
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [item]);
    else group.push(item);
  }
  return groups;
}
