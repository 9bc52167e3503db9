import { v7 as newThreadId } from 'uuid';
import { InvalidOptionError, InvalidTaskError, JottyError, TimeoutError } from '../errors.ts';
import type { JsonObject, JsonValue } from '../json.ts';
import { requireOptions } from '../options.ts';
import { type Budget, checkBudgets } from '../queue/budget.ts';
import type { TaskQueue } from '../queue/task-queue.ts';
import { untilAborted } from './abort-race.ts';
import { type Agent, type AgentTask, isResumable } from './agent.ts';
import type { AgentHost } from './agent-host.ts';
import { type AttemptEnd, runAttempt } from './attempt.ts';
import { answerAll } from './budgets.ts';
import { RunControl } from './graph.ts';
import { isCallAlive, metered, placesOfRun } from './metering.ts';
import { RunAborted } from './outcome-of.ts';
import { deleteThread } from './purged-threads.ts';
import { eventsOf, type RunEvent } from './run-events.ts';
import type { ScorableTask } from './scoring.ts';
import type { Usage } from './usage.ts';
import { UsageMeter } from './usage-meter.ts';

export interface RunOptions {
  /** Pins the agent. */
  readonly agent?: string | undefined;
  /** Matched with the agents' capabilities. */
  readonly agentType?: string | undefined;
  /** Goes to the graph's channels of the same names. */
  readonly input?: object | undefined;
  readonly signal?: AbortSignal | undefined;
  /** The LangGraph thread. @default a new one, deleted when the run has completed or failed */
  readonly threadId?: string | undefined;
  /** By the id of the question, as `interrupts` of an earlier result gave it. */
  readonly answers?: Readonly<Record<string, JsonValue>> | undefined;
  /** With `stream`: what models say piece by piece is told too, where they can stream. @default false */
  readonly tokens?: boolean | undefined;
  /** ms, above 0; Infinity is without a bound. @default the agent's */
  readonly timeoutMs?: number | undefined;
  /**
   * What the run may spend, with those on the same thread until one completes. Where it is spent the run waits: run
   * again with the threadId, and the decision among the answers.
   */
  readonly budget?: Budget | readonly Budget[] | undefined;
}

export type RunResult = AttemptEnd & {
  /** What its calls of models came to; absent where it made none. */
  readonly usage?: Usage;
  readonly agent: string;
  /** Run again with it to answer its questions; to go on after the end, give the run a threadId of yours. */
  readonly threadId: string;
};

/** What a priority would be in a queue; the coordinator's scores ask for one. */
const DIRECT_PRIORITY = 5;

/** One run without a queue. It is not bounded by the agent's maxConcurrent, but counts towards its load. */
export class DirectRun {
  readonly #host: AgentHost;
  readonly #goal: string;
  readonly #options: RunOptions;
  readonly #closing: AbortSignal;
  readonly #queue: () => TaskQueue;
  readonly #controller = new AbortController();
  readonly #threadId: string;
  /** Whether the coordinator counts this run. */
  #isCounted = false;

  /** @throws InvalidOptionError, InvalidTaskError */
  constructor(
    host: AgentHost,
    goal: string,
    options: RunOptions,
    closing: AbortSignal,
    queue: () => TaskQueue,
  ) {
    const { timeoutMs, input, threadId, budget } = requireOptions(options, 'an object');
    if (budget !== undefined) checkBudgets(budget, (field = '') => field, 'budget');
    this.#queue = queue;
    if (timeoutMs !== undefined && !(timeoutMs > 0)) {
      throw new InvalidOptionError('timeoutMs', 'a number above 0, ms', timeoutMs);
    }
    if (input !== undefined && (typeof input !== 'object' || input === null || Array.isArray(input))) {
      throw new InvalidTaskError('input', 'expected an object with the keys of the input');
    }
    this.#host = host;
    this.#goal = goal;
    this.#options = options;
    this.#closing = closing;
    this.#threadId = threadId ?? newThreadId();
  }

  abort(): void {
    this.#controller.abort(new RunAborted('cancelled', 'nobody reads this run any more'));
  }

  /** Rejects with what the agent throws, or THREAD_BUSY while another run is on the thread. */
  async run(onEvent: ((event: RunEvent) => void) | undefined): Promise<RunResult> {
    const { threads } = this.#host;
    const threadId = this.#threadId;
    if (threads.has(threadId)) throw threadBusy(threadId, 'another run of this conductor is on it');
    threads.add(threadId);
    try {
      return await this.#runOnThread(onEvent);
    } finally {
      threads.delete(threadId);
    }
  }

  async #runOnThread(onEvent: ((event: RunEvent) => void) | undefined): Promise<RunResult> {
    const { signal, agentType, timeoutMs } = this.#options;
    const { clock } = this.#host;
    const task = { id: this.#threadId, priority: DIRECT_PRIORITY, agentType };
    const agent = this.#pick(task);
    const unlink = [signal, this.#closing].map((source) => this.#follow(source));
    const timer = this.#startTimer(timeoutMs ?? agent.timeoutMs ?? Infinity);
    const startedAt = clock.now();
    let wasSuccess: boolean | undefined;
    try {
      this.#controller.signal.throwIfAborted();
      const control = new RunControl();
      const meter = this.#meter(agent, control, onEvent);
      const isAborted = () => this.#controller.signal.aborted;
      const task = { ...this.#task(), priority: DIRECT_PRIORITY };
      const work = metered(meter, isAborted, () => this.#attempt(agent, task, onEvent, control, meter));
      const end = await untilAborted(work, this.#controller.signal);
      wasSuccess = end.status === 'completed' ? true : undefined;
      if (end.status === 'completed') {
        this.#host.effects.forget(this.#threadId);
        await Promise.all([this.#forgetThread(agent), this.#forgetBudget(agent)]);
      }
      const usage = meter.usage.modelCalls > 0 && { usage: meter.usage };
      return { ...end, agent: agent.name, threadId: this.#threadId, ...usage };
    } catch (error) {
      const { aborted, reason } = this.#controller.signal;
      wasSuccess = aborted && !(reason instanceof TimeoutError) ? undefined : false;
      if (this.#options.threadId === undefined) this.#host.effects.forget(this.#threadId);
      void this.#forgetThread(agent);
      if (this.#options.threadId === undefined) void this.#forgetBudget(agent).catch(() => {});
      throw error;
    } finally {
      for (const undo of unlink) undo();
      if (timer !== undefined) clock.clearTimeout(timer);
      this.#learn(agent, wasSuccess, Math.max(0, clock.now() - startedAt));
    }
  }

  #task(): Omit<AgentTask, 'priority'> {
    const { agentType } = this.#options;
    const type = agentType === undefined ? {} : { agentType };
    return { id: this.#threadId, ...type, payload: this.#payload(), metadata: {}, attempt: 1 };
  }

  /** undefined where the end says nothing about the agent: aborted, or at a question. */
  #learn(agent: Agent, wasSuccess: boolean | undefined, ms: number): void {
    if (!this.#isCounted) return;
    const { coordinator } = this.#host;
    if (wasSuccess === undefined) coordinator.release(agent.name);
    else coordinator.recordOutcome(agent.name, this.#options, wasSuccess, ms);
  }

  #meter(agent: Agent, control: RunControl, onEvent: ((event: RunEvent) => void) | undefined): UsageMeter {
    const { clock, prices } = this.#host;
    const { answers = {}, budget = [] } = this.#options;
    const queue = this.#queue();
    return new UsageMeter({
      ...placesOfRun(this.#threadId, agent, budget),
      accounts: this.#host.accounts(queue.registry),
      clock,
      prices,
      task: this.#threadId,
      fence: 0,
      agent: agent.name,
      answers: Object.entries(answers).map(([id, value]) => ({ id, value })),
      control,
      isAborted: () => this.#controller.signal.aborted,
      isAlive: (open) => isCallAlive(queue, clock, open),
      onCall: (usage) => onEvent?.({ type: 'usage', usage: { ...usage }, at: clock.now() }),
      onRaised: (scope) => void answerAll(queue, scope, 'raise').catch(() => {}),
    });
  }

  async #forgetBudget(agent: Agent): Promise<void> {
    const { budgets } = placesOfRun(this.#threadId, agent, this.#options.budget ?? []);
    const accounts = this.#host.accounts(this.#queue().registry);
    const own = budgets.filter(({ scope }) => !scope.startsWith('key:'));
    await Promise.all(own.map(({ scope }) => accounts.remove(scope)));
  }

  /** A thread nobody has named is never asked for again. */
  async #forgetThread(agent: Agent): Promise<void> {
    if (this.#options.threadId !== undefined || !isResumable(agent)) return;
    await deleteThread(this.#host.checkpointer, this.#threadId);
  }

  /** The coordinator's choice; where all are busy, the first that matches. */
  #pick(task: ScorableTask): Agent {
    const agent = this.#host.pinned(this.#options);
    if (agent !== undefined) this.#host.get(agent);
    const { coordinator, agents } = this.#host;
    const choice = coordinator.choose(agent === undefined ? task : { ...task, agent }, agents);
    this.#isCounted = choice !== null;
    const chosen = choice === null ? this.#host.matching(this.#options)[0] : agents.get(choice.agent);
    if (chosen === undefined) {
      const names = [...agents.keys()].join(', ');
      throw new InvalidTaskError('agentType', `no agent takes ${String(task.agentType)}; there are ${names}`);
    }
    return chosen;
  }

  #payload(): JsonObject {
    const { input } = this.#options;
    return input === undefined ? { goal: this.#goal } : { goal: this.#goal, input: input as JsonObject };
  }

  #attempt(
    agent: Agent,
    task: AgentTask,
    onEvent: ((event: RunEvent) => void) | undefined,
    control: RunControl,
    meter: UsageMeter,
  ): Promise<AttemptEnd> {
    const { answers = {} } = this.#options;
    const asked = Object.entries(answers).map(([id, value]) => ({ id, value }));
    const emit = (namespace: readonly string[], mode: string, chunk: unknown) => {
      for (const event of eventsOf(namespace, mode, chunk, this.#host.clock.now())) onEvent?.(event);
    };
    return runAttempt(
      {
        agent,
        task,
        answers: asked,
        control,
        callbacks: () => [meter],
        onStep: meter.onStep,
        fenced: false,
        startsAgain: true,
        goal: this.#goal,
        info: {
          threadId: task.id,
          agent: agent.name,
          attempt: 1,
          fence: 0,
          signal: this.#controller.signal,
          spend: () => {},
          failures: [],
          ...(agent.budget !== undefined && { isSpent: meter.isTeamSpent }),
          effects: this.#host.effects.ledger(this.#threadId, asked, this.#host.clock),
        },
        onChunk: onEvent === undefined ? undefined : emit,
        streamsUpdates: true,
        streamsTokens: onEvent !== undefined && this.#options.tokens === true,
        onCustom: undefined,
      },
      this.#host.checkpointer,
    );
  }

  /** LangGraph leaves a listener on the signal it gets, so it gets our own; the caller's loses ours at the end. */
  #follow(source: AbortSignal | undefined): () => void {
    if (source === undefined) return () => {};
    const abort = () => this.#controller.abort(source.reason);
    if (source.aborted) abort();
    else source.addEventListener('abort', abort, { once: true });
    return () => source.removeEventListener('abort', abort);
  }

  #startTimer(timeoutMs: number): unknown {
    if (timeoutMs === Infinity) return undefined;
    const expire = () => this.#controller.abort(new TimeoutError(`the run took longer than ${timeoutMs} ms`));
    return this.#host.clock.setTimeout(expire, timeoutMs);
  }
}

/** Two runs on one thread would each write over what the other has done. */
export function threadBusy(threadId: string, why: string): JottyError {
  return new JottyError(
    'THREAD_BUSY',
    `thread ${threadId} is in use: ${why}; wait for its end, or use another`,
  );
}

/** How a run has ended, for those who read along. */
export function endEvent({ threadId, ...end }: RunResult): RunEvent {
  return end.status === 'completed'
    ? { type: 'completed', result: end.result, threadId }
    : { type: 'waiting', interrupts: end.interrupts, threadId };
}
