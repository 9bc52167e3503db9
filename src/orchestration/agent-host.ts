import type { Clock } from '../clock.ts';
import { InvalidOptionError, InvalidTaskError } from '../errors.ts';
import type { Registry } from '../queue/registry.ts';
import type { Task, TaskAnswer } from '../queue/task.ts';
import { RESULT_REJECTED } from '../queue/task-error.ts';
import type { TaskQueue } from '../queue/task-queue.ts';
import { Accounts } from './accounts.ts';
import { type Agent, type AgentSource, type AttemptInfo, agentFrom, matchesType } from './agent.ts';
import type { AgentCoordinator } from './agent-coordinator.ts';
import { type AttemptEnd, runAttempt } from './attempt.ts';
import { goOnIfRaised } from './budgets.ts';
import { EffectLedger, type EffectWriter } from './effect-ledger.ts';
import { agentsToAvoid, checkPolicy, type FailurePolicy, modelFor } from './failure-policy.ts';
import { FleetMember } from './fleet.ts';
import type { Checkpointer } from './graph.ts';
import type { HeldTask } from './held-task.ts';
import { KeepAlive } from './keep-alive.ts';
import { lazyFields } from './lazy-fields.ts';
import { OtherVersions } from './other-versions.ts';
import { PurgedThreads } from './purged-threads.ts';
import { setBody } from './run-body.ts';
import { eventsOf } from './run-events.ts';
import { type RecordOptions, RunLogs } from './run-logs.ts';
import { Scheduler } from './scheduler.ts';
import { namedThreadOf, type SharedThread } from './shared-thread.ts';
import { StopBell } from './stop-board.ts';
import { StoreErrors } from './store-errors.ts';
import { UnqueuedEffects } from './unqueued-effects.ts';
import { checkPrices, type Prices } from './usage.ts';
import type { UsageMeter } from './usage-meter.ts';
import type { GivenByWorkflow } from './workflow-membership.ts';

export interface AgentHostOptions {
  readonly agents: Readonly<Record<string, AgentSource>>;
  /** Runs goals that name neither an agent nor a type. */
  readonly defaultAgent?: string | undefined;
  readonly coordinator: AgentCoordinator;
  readonly clock: Clock;
  readonly checkpointer: () => Promise<Checkpointer>;
  /** Whether a queue's purge leaves the threads in the saver, since it is not the queue's own. */
  readonly deletesPurged: boolean;
  readonly failures?: FailurePolicy | undefined;
  readonly recorded?: RecordOptions | undefined;
  readonly prices?: Prices | undefined;
}

/** What a process does for its queue as long as some manager runs its tasks. */
interface Duties {
  readonly member: FleetMember;
  readonly scheduler: Scheduler;
  users: number;
}

const AGENT_NAME = /^[A-Za-z0-9_.:-]{1,128}$/;

/** What a run gets beside its task. */
export interface HeldContext {
  readonly children: NonNullable<AttemptInfo['children']>;
  readonly recordEffects: EffectWriter;
  readonly given?: GivenByWorkflow | undefined;
  readonly shared?: SharedThread | undefined;
  /** Of waits for children that are over. */
  readonly answers?: readonly TaskAnswer[] | undefined;
  readonly callbacks?: (() => [UsageMeter]) | undefined;
  readonly onStep?: (() => Promise<void>) | undefined;
  readonly isSpent?: (() => Promise<boolean>) | undefined;
}

/** The agents of one conductor and what they share: the coordinator, the saver, those who read along. */
export class AgentHost {
  readonly agents: ReadonlyMap<string, Agent>;
  readonly coordinator: AgentCoordinator;
  readonly events: RunLogs;
  readonly keepAlive = new KeepAlive();
  readonly clock: Clock;
  /** Of agents that say nothing else. */
  readonly failures: FailurePolicy;
  /** Which errors came from the saver or the queue, and not from an agent. */
  readonly storeErrors = new StoreErrors();
  readonly prices: Prices;
  readonly #accounts = new WeakMap<Registry, Accounts>();
  /** Rings when a cancelled run of this process has stopped. */
  readonly stopBell = new StopBell();
  /** The threads that direct runs are on now. */
  readonly threads = new Set<string>();
  readonly #defaultAgent: string | undefined;
  readonly effects = new UnqueuedEffects();
  /** Tasks that no graph here can go on with, since another version of it began them. */
  readonly otherVersions = new OtherVersions();
  readonly #purged: PurgedThreads | undefined;
  readonly #duties = new Map<TaskQueue, Duties>();
  readonly #makeCheckpointer: () => Promise<Checkpointer>;
  #checkpointer: Promise<Checkpointer> | undefined;

  constructor({
    agents,
    defaultAgent,
    coordinator,
    clock,
    checkpointer,
    deletesPurged,
    failures = {},
    recorded,
    prices = {},
  }: AgentHostOptions) {
    this.prices = checkPrices(prices);
    const named = Object.entries(agents);
    for (const [name] of named) {
      if (!AGENT_NAME.test(name))
        throw new InvalidOptionError('agents', `names like ${AGENT_NAME.source}`, name);
    }
    this.agents = new Map(named.map(([name, source]) => [name, agentFrom(name, source)]));
    this.#defaultAgent = defaultAgent;
    this.coordinator = coordinator;
    this.clock = clock;
    this.events = new RunLogs(clock, recorded);
    checkPolicy('conductor', failures);
    this.failures = failures;
    this.#makeCheckpointer = checkpointer;
    this.#purged = deletesPurged ? new PurgedThreads(this.checkpointer) : undefined;
    for (const { name, capabilities, maxConcurrent } of this.agents.values()) {
      coordinator.registerAgent(name, capabilities, { maxConcurrent });
    }
  }

  /** Made when first asked for, once; a failure is not kept. */
  readonly checkpointer = (): Promise<Checkpointer> => {
    this.#checkpointer ??= this.#makeCheckpointer().catch((error: unknown) => {
      this.#checkpointer = undefined;
      throw error;
    });
    return this.#checkpointer;
  };

  /** What was spent, as those know it who share this registry. */
  accounts(registry: Registry): Accounts {
    const known = this.#accounts.get(registry) ?? new Accounts(registry, this.clock);
    this.#accounts.set(registry, known);
    return known;
  }

  /** A budget that a task waits for may have been raised while that was being recorded. */
  goOnIfRaised(queue: TaskQueue, task: Task): Promise<void> {
    return goOnIfRaised(this.accounts(queue.registry), queue, task);
  }

  /** Deletes the threads of the tasks that this queue object purges from now on, where its saver is not the queue's. */
  followPurges(queue: TaskQueue): void {
    this.#purged?.follow(queue);
  }

  /**
   * Shows this process's agents to the others of the queue, and keeps its schedules, until each caller has called what is returned.
   */
  takeDuty(queue: TaskQueue, onError: (error: unknown) => void): () => Promise<void> {
    const duties = this.#duties.get(queue) ?? this.#newDuties(queue, onError);
    duties.users += 1;
    return async () => {
      duties.users -= 1;
      if (duties.users > 0) return;
      this.#duties.delete(queue);
      await Promise.all([duties.member.leave(), duties.scheduler.stop()]);
    };
  }

  /** A schedule of this queue has changed. */
  readonly lookAtSchedules = (queue: TaskQueue): void => {
    this.#duties.get(queue)?.scheduler.look();
  };

  async close(): Promise<void> {
    this.#purged?.stop();
    await Promise.all(
      [...this.agents.values()].map(({ isolated, release }) => isolated?.close() ?? release?.()),
    );
  }

  /** Whether an agent here could ever run the task. */
  readonly mayRun = (task: Pick<Task, 'id' | 'agent' | 'agentType'>): boolean => {
    if (this.otherVersions.has(task.id)) return false;
    if (task.agent !== undefined) return this.agents.has(task.agent);
    for (const agent of this.agents.values()) if (matchesType(agent, task.agentType)) return true;
    return false;
  };

  /** The agent a goal is pinned to: the one it names, or the one for goals that name neither agent nor type. */
  pinned(goal: {
    readonly agent?: string | undefined;
    readonly agentType?: string | undefined;
  }): string | undefined {
    return goal.agent ?? (goal.agentType === undefined ? this.#defaultAgent : undefined);
  }

  /** The agents that could run a goal. */
  matching(goal: { readonly agent?: string | undefined; readonly agentType?: string | undefined }): Agent[] {
    const all = [...this.agents.values()];
    if (goal.agent !== undefined) return all.filter((agent) => agent.name === goal.agent);
    return all.filter((agent) => matchesType(agent, goal.agentType));
  }

  get(name: string): Agent {
    const agent = this.agents.get(name);
    if (agent === undefined) {
      throw new InvalidTaskError(
        'agent',
        `there is no agent ${name} here; there are ${[...this.agents.keys()].join(', ')}`,
      );
    }
    return agent;
  }

  #newDuties(queue: TaskQueue, onError: (error: unknown) => void): Duties {
    const { coordinator, agents } = this;
    const member = new FleetMember({ queue, coordinator, agents: () => agents.values(), onError });
    const duties = { member, scheduler: new Scheduler(queue, onError), users: 0 };
    this.#duties.set(queue, duties);
    duties.member.join();
    duties.scheduler.look();
    return duties;
  }

  /** Runs a held task in its context, and records what it does. */
  runHeld(
    held: HeldTask,
    { given, children, recordEffects, shared, answers = [], callbacks, onStep, isSpent }: HeldContext,
  ): Promise<AttemptEnd> {
    const { task, agent, control, fence } = held;
    const { events, clock } = this;
    const wanted = events.wanted(task.id);
    const record = (namespace: readonly string[], mode: string, chunk: unknown) => {
      held.onAlive?.();
      if (mode === 'messages' && !wanted.tokens) return;
      for (const event of eventsOf(namespace, mode, chunk, clock.now())) held.log?.record(event);
    };
    const model = modelFor(task);
    const facts = {
      taskId: task.id,
      threadId: namedThreadOf(task) ?? task.id,
      agent: agent.name,
      attempt: task.attempt,
      fence,
      spend: held.spend,
      failures: task.failures ?? [],
      ...(model !== undefined && { model }),
      ...(isSpent !== undefined && { isSpent }),
      children,
      ...given,
    };
    const info = withSignalAndEffects(facts, { held, clock, recordEffects, ledger: undefined });
    setBody(info, held.body);
    return runAttempt(
      {
        agent,
        task: given === undefined ? task : { ...task, ...given },
        answers: [...(task.answers ?? []), ...answers],
        control,
        fenced: true,
        // A finished thread would hand in the rejected result again.
        replaces: agentsToAvoid(task),
        startsAgain: task.error?.code === RESULT_REJECTED,
        info,
        callbacks,
        onStep,
        shared,
        onChunk: record,
        // Where signs of life are watched for, each token of a model is one.
        streamsTokens: wanted.tokens || held.onAlive !== undefined,
        streamsUpdates: wanted.updates,
        onCustom: (chunk) => record([], 'custom', chunk),
      },
      this.checkpointer,
      this.storeErrors,
    );
  }
}

interface RunSource {
  readonly held: HeldTask;
  readonly clock: Clock;
  readonly recordEffects: EffectWriter;
  ledger: EffectLedger | undefined;
}

/** What few agents ask for. */
const withSignalAndEffects = lazyFields<RunSource, Pick<AttemptInfo, 'signal' | 'effects'>>({
  signal: ({ held }) => held.signal,
  effects: (source) => {
    source.ledger ??= ledgerOf(source);
    return source.ledger;
  },
});

function ledgerOf({ held: { task }, clock, recordEffects }: RunSource): EffectLedger {
  return new EffectLedger({
    recorded: task.effects ?? [],
    answers: task.answers ?? [],
    attempt: task.attempt,
    clock,
    write: recordEffects,
  });
}
