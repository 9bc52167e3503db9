import { v7 as newThreadId } from 'uuid';
import { InvalidTaskError, TimeoutError } from '../errors.ts';
import type { JsonObject, JsonValue } from '../json.ts';
import type { Agent, AgentTask } from './agent.ts';
import type { AgentHost } from './agent-host.ts';
import { type AttemptEnd, runAttempt, untilAborted } from './attempt.ts';
import { RunControl } from './graph.ts';
import { RunAborted } from './outcome-of.ts';
import { eventsOf, type RunEvent } from './run-events.ts';

export interface RunOptions {
  /** Pins the agent. */
  readonly agent?: string;
  /** Matched with the agents' capabilities. */
  readonly agentType?: string;
  readonly input?: JsonObject;
  readonly signal?: AbortSignal;
  /** The LangGraph thread. @default a new one */
  readonly threadId?: string;
  /** By the id of the question, as `interrupts` of an earlier result gave it. */
  readonly answers?: Readonly<Record<string, JsonValue>>;
  /** ms. @default the agent's */
  readonly timeoutMs?: number;
}

export type RunResult = AttemptEnd & {
  readonly agent: string;
  /** Run again with it to go on. */
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
  readonly #controller = new AbortController();
  /** Whether the coordinator counts this run. */
  #isCounted = false;

  constructor(host: AgentHost, goal: string, options: RunOptions, closing: AbortSignal) {
    this.#host = host;
    this.#goal = goal;
    this.#options = options;
    this.#closing = closing;
  }

  abort(): void {
    this.#controller.abort(new RunAborted('cancelled', 'nobody reads this run any more'));
  }

  async run(onEvent: ((event: RunEvent) => void) | undefined): Promise<RunResult> {
    const { signal, threadId = newThreadId(), agentType, timeoutMs } = this.#options;
    const task = {
      id: threadId,
      priority: DIRECT_PRIORITY,
      ...(agentType === undefined ? {} : { agentType }),
    };
    const agent = this.#pick(task);
    const unlink = [signal, this.#closing].map((source) => this.#follow(source));
    const timer = this.#startTimer(timeoutMs ?? agent.timeoutMs);
    const startedAt = this.#host.clock.now();
    let isSuccess = false;
    try {
      this.#controller.signal.throwIfAborted();
      const work = this.#attempt(
        agent,
        { ...task, payload: this.#payload(), metadata: {}, attempt: 1 },
        onEvent,
      );
      const end = await untilAborted(work, this.#controller.signal);
      isSuccess = true;
      return { ...end, agent: agent.name, threadId };
    } finally {
      for (const undo of unlink) undo();
      this.#host.clock.clearTimeout(timer);
      const ms = this.#host.clock.now() - startedAt;
      if (this.#isCounted) this.#host.coordinator.recordOutcome(agent.name, task, isSuccess, ms);
    }
  }

  /** The coordinator's choice; where all are busy, the first that matches. */
  #pick(task: { readonly id: string; readonly priority: number; readonly agentType?: string }): Agent {
    const { agent } = this.#options;
    if (agent !== undefined) this.#host.get(agent);
    const choice = this.#host.coordinator.choose(agent === undefined ? task : { ...task, agent });
    const chosen =
      choice === null ? this.#host.matching(this.#options)[0] : this.#host.agents.get(choice.agent);
    if (chosen === undefined) {
      const names = [...this.#host.agents.keys()].join(', ');
      throw new InvalidTaskError('agentType', `no agent takes ${String(task.agentType)}; there are ${names}`);
    }
    return chosen;
  }

  #payload(): JsonObject {
    const { input } = this.#options;
    return input === undefined ? { goal: this.#goal } : { goal: this.#goal, input };
  }

  #attempt(
    agent: Agent,
    task: AgentTask,
    onEvent: ((event: RunEvent) => void) | undefined,
  ): Promise<AttemptEnd> {
    const { answers = {} } = this.#options;
    const emit = (namespace: readonly string[], mode: string, chunk: unknown) => {
      for (const event of eventsOf(namespace, mode, chunk, this.#host.clock.now())) onEvent?.(event);
    };
    return runAttempt(
      {
        agent,
        task,
        answers: Object.entries(answers).map(([id, value]) => ({ id, value })),
        control: new RunControl(),
        fenced: false,
        startsAgain: true,
        goal: this.#goal,
        info: { threadId: task.id, agent: agent.name, attempt: 1, fence: 0, signal: this.#controller.signal },
        onChunk: onEvent === undefined ? undefined : emit,
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

  #startTimer(timeoutMs: number | undefined): unknown {
    if (timeoutMs === undefined) return undefined;
    const expire = () => this.#controller.abort(new TimeoutError(`the run took longer than ${timeoutMs} ms`));
    return this.#host.clock.setTimeout(expire, timeoutMs);
  }
}
