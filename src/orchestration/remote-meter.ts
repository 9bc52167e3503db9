import { systemClock } from '../clock.ts';
import type { ModelHandler } from './light-callbacks.ts';
import { MeterSettings } from './meter-settings.ts';
import {
  boundOf,
  type CallBound,
  modelAsked,
  modelOf,
  outputTelling,
  ToldBound,
  tokensOf,
} from './model-call.ts';
import type { CallTokens } from './usage.ts';

/** What LangChain tells of calls of models, by its names. */
export interface MeterHandler extends ModelHandler {
  handleChatModelStart(
    llm: unknown,
    question: unknown,
    runId: string,
    parentRunId?: string,
    extra?: unknown,
    tags?: unknown,
    metadata?: unknown,
  ): Promise<void>;
  handleLLMNewToken(token: string, index: unknown, runId: string): void;
  handleLLMEnd(output: unknown, runId: string): Promise<void>;
  handleLLMError(error: unknown, runId: string): Promise<void>;
}

/** Calls that are about to be made, all in one `generate`: what a meter asks of them, without their questions. */
interface ToldCalls {
  /** Of the `generate`: one number for its calls. */
  readonly group: number;
  readonly parentRunId: string | undefined;
  readonly model: string | undefined;
  /** The agent of a team that makes them. */
  readonly agent: string | undefined;
  readonly bounds: readonly CallBound[];
}

interface ToldEnd {
  readonly tokens: CallTokens | null;
  readonly model: string | undefined;
}

/** Sends one of the calls below to the other side, and waits for its answer. */
export type MeterCall = (method: string, ...args: unknown[]) => Promise<unknown>;

/** A stream says so often that it is read, ms: who waits for its end gives it up after much longer. */
const TOKEN_MS = 1_000;
/** Groups that are remembered: their calls start right after they were admitted. */
const GROUPS_MAX = 1_000;

/**
 * The meter of an isolated run, on the agent's side: each call of a model waits for the conductor's meter before it
 * is made, and again when it has ended. Only what is counted crosses, not what is asked and answered.
 */
export class RemoteMeter extends MeterSettings implements MeterHandler {
  readonly #ask: MeterCall;
  readonly #onToken: (runId: string) => void;
  readonly #groups = new WeakMap<object, number>();
  readonly #tokensAt = new Map<string, number>();
  #lastGroup = 0;

  constructor(ask: MeterCall, onToken: (runId: string) => void) {
    super();
    this.#ask = ask;
    this.#onToken = onToken;
  }

  async admit(...[llm, questions, parentRunId, extra, metadata]: Parameters<ModelHandler['admit']>) {
    const asked = questions.map((question) => [question]);
    await this.#ask('admit', this.#told(llm, asked, parentRunId, extra, metadata));
  }

  async handleChatModelStart(
    ...[llm, question, runId, parentRunId, extra, , metadata]: Parameters<
      MeterHandler['handleChatModelStart']
    >
  ): Promise<void> {
    await this.#ask('start', runId, this.#told(llm, [question], parentRunId, extra, metadata));
  }

  handleLLMStart(...start: Parameters<MeterHandler['handleChatModelStart']>): Promise<void> {
    return this.handleChatModelStart(...start);
  }

  handleLLMNewToken(_token: string, _index: unknown, runId: string): void {
    const now = systemClock.now();
    if (now - (this.#tokensAt.get(runId) ?? 0) < TOKEN_MS) return;
    this.#tokensAt.set(runId, now);
    this.#onToken(runId);
  }

  async handleLLMEnd(output: unknown, runId: string): Promise<void> {
    const end: ToldEnd = { tokens: tokensOf(output), model: modelOf(output) };
    await this.#end(runId, 'end', end);
  }

  async handleLLMError(error: unknown, runId: string): Promise<void> {
    await this.#end(runId, 'error', String((error as Error | null)?.name));
  }

  /** Never rejects: the answer is there, and a call that fails for this would be made again. */
  async #end(runId: string, method: string, told: unknown): Promise<void> {
    this.#tokensAt.delete(runId);
    await this.#ask(method, runId, told).catch(() => {});
  }

  #told(
    llm: unknown,
    questions: readonly unknown[],
    parentRunId: string | undefined,
    extra: unknown,
    metadata: unknown,
  ): ToldCalls {
    const agent = (metadata as { jotty_agent?: unknown } | undefined)?.jotty_agent;
    return {
      group: this.#groupOf(extra),
      parentRunId,
      model: modelAsked(llm, extra, metadata),
      agent: typeof agent === 'string' ? agent : undefined,
      bounds: questions.map((question) => boundOf(llm, question, extra, metadata)),
    };
  }

  #groupOf(extra: unknown): number {
    const isObject = typeof extra === 'object' && extra !== null;
    const known = isObject ? this.#groups.get(extra) : undefined;
    if (known !== undefined) return known;
    this.#lastGroup += 1;
    if (isObject) this.#groups.set(extra, this.#lastGroup);
    return this.#lastGroup;
  }
}

/** The conductor's side of it: tells its meter what the other one says. */
export class RemoteCalls {
  readonly #meter: () => MeterHandler;
  readonly #groups = new Map<number, object>();
  readonly #open = new Set<string>();

  /** The meter is made when the first call is. */
  constructor(meter: () => MeterHandler) {
    this.#meter = meter;
  }

  /** Whether a call is under way that has not told its end. */
  get areOpen(): boolean {
    return this.#open.size > 0;
  }

  async admit({ group, parentRunId, model, agent, bounds }: ToldCalls): Promise<void> {
    const questions = bounds.map((bound) => new ToldBound(bound));
    await this.#meter().admit(llmOf(model), questions, parentRunId, this.#extra(group), metadataOf(agent));
  }

  async start(runId: string, { group, parentRunId, model, agent, bounds }: ToldCalls): Promise<void> {
    const bound = new ToldBound(bounds[0]!);
    const extra = this.#extra(group);
    const meter = this.#meter();
    await meter.handleChatModelStart(
      llmOf(model),
      bound,
      runId,
      parentRunId,
      extra,
      undefined,
      metadataOf(agent),
    );
    this.#open.add(runId);
  }

  token(runId: string): void {
    this.#meter().handleLLMNewToken('', undefined, runId);
  }

  async end(runId: string, { tokens, model }: ToldEnd): Promise<void> {
    this.#open.delete(runId);
    await this.#meter().handleLLMEnd(outputTelling(tokens, model), runId);
  }

  async error(runId: string, name: string): Promise<void> {
    this.#open.delete(runId);
    await this.#meter().handleLLMError({ name }, runId);
  }

  /** The calls of one `generate` are known by it. */
  #extra(group: number): object {
    const known = this.#groups.get(group) ?? {};
    this.#groups.set(group, known);
    if (this.#groups.size > GROUPS_MAX) this.#groups.delete(this.#groups.keys().next().value!);
    return known;
  }
}

function llmOf(model: string | undefined): object {
  return { kwargs: { model } };
}

function metadataOf(agent: string | undefined): object {
  return agent === undefined ? {} : { jotty_agent: agent };
}

/** The meter among LangChain's callbacks, which are a list of handlers or a manager of some. */
export function meterAmong(callbacks: unknown): MeterHandler | undefined {
  const handlers = Array.isArray(callbacks)
    ? callbacks
    : (callbacks as { readonly handlers?: unknown } | undefined)?.handlers;
  const found = Array.isArray(handlers) ? handlers.find(isMeter) : undefined;
  return found as MeterHandler | undefined;
}

function isMeter(handler: unknown): boolean {
  return (handler as { readonly name?: unknown } | null)?.name === 'jotty.usage';
}
