import { v7 as newCallId } from 'uuid';
import { wait } from '../clock.ts';
import { StoreUnavailableError } from '../errors.ts';
import type { TaskInterrupt } from '../queue/task.ts';
import { type Account, type Cost, type OpenCall, settled, withUsage } from './account.ts';
import { UnpricedModelError } from './budget-question.ts';
import { MeterSettings } from './meter-settings.ts';
import { boundOf, modelAsked, modelOf, tokensOf } from './model-call.ts';
import { type OpenCalls, RunBudgets, type RunBudgetsOptions } from './run-budgets.ts';
import {
  addUsage,
  costOf,
  NO_USAGE,
  type Price,
  type Prices,
  priceOf,
  type Usage,
  usageOf,
} from './usage.ts';

/** About half a minute in all. */
const RECORD_TRIES_MAX = 12;
const RECORD_WAIT_MS = 100;
const RECORD_WAIT_MS_MAX = 5_000;
/** A stream that is silent for so long, while another call waits for its end, is given up for lost. */
const STALL_MS = 15_000;
/** So is a call that takes longer. */
const CALL_MS_MAX = 15 * 60_000;
/** What a model is called that tells no name. */
const NAMELESS = 'unknown';

/** One call of a model, as events tell it. */
export interface CallUsage extends Usage {
  readonly model: string;
  readonly agent: string;
}

export interface MeterOptions extends RunBudgetsOptions {
  readonly prices: Prices;
  readonly agent: string;
  /** Accounts that its calls count in; those of tasks above count them as their children's. */
  readonly scopes: readonly { readonly scope: string; readonly isBelow: boolean }[];
  readonly onCall: (usage: CallUsage) => void;
}

interface Call {
  readonly model: string | undefined;
  readonly agent: string | undefined;
  open?: OpenCalls;
  /** In the accounts. */
  id?: string;
  /** Of a call that streams: when its latest token came. */
  tokenAt?: number;
  /** It was counted as one whose end nobody sees. */
  isLost?: boolean;
}

/**
 * Counts what a run's calls of models come to, and keeps them within its budgets: a callback handler of LangChain's,
 * given with the run's config, so that nodes, subgraphs and tools have it too.
 *
 * A call counts when it has ended, durably before the node goes on with its answer. What is resumed calls no model
 * for nodes that had finished, so nothing counts twice; a node that runs again after a crash really calls again. No
 * fence keeps a late holder out: its call was made and is paid for, whoever has the task now. A call whose process
 * dies under way is not in the usage; budgets count it, as the most it can have come to, or by its question alone where
 * nothing bounds its answer.
 */
export class UsageMeter extends MeterSettings {
  readonly #options: MeterOptions;
  readonly #budgets: RunBudgets;
  readonly #calls = new Map<string, Call>();
  /** Calls that a model makes in the course of its own: they are part of that one. */
  readonly #nested = new Set<string>();
  /** By what LangChain tells of a `generate`. */
  readonly #admitted = new WeakMap<object, Call[]>();
  readonly #together = new WeakMap<object, Set<string>>();
  readonly #unstarted = new Set<Call>();
  #usage: Usage = NO_USAGE;
  #unpriced: string | undefined;

  constructor(options: MeterOptions) {
    super();
    this.#options = options;
    this.#budgets = new RunBudgets(options);
  }

  /** What the calls of this run have come to so far. */
  get usage(): Usage {
    return this.#usage;
  }

  /** What is asked where a budget was found spent; undefined where none was. */
  get question(): TaskInterrupt | undefined {
    return this.#budgets.question;
  }

  /** Hears of each superstep; undefined where nobody counts them. */
  get onStep(): (() => Promise<void>) | undefined {
    return this.#budgets.boundsSteps ? () => this.#budgets.step() : undefined;
  }

  /** @throws BudgetStoppedError, BudgetSpentError */
  async begin(): Promise<void> {
    if (this.#options.budgets.length > 0) await this.#budgets.begin();
  }

  /** Whether what the agents of a team may spend together is spent. */
  readonly isTeamSpent = (): Promise<boolean> => this.#budgets.isTeamSpent();

  /** The run is over: calls whose end it did not see are given up for lost. */
  async end(): Promise<void> {
    await this.#budgets.end();
    const open = [...this.#calls.values(), ...this.#unstarted].filter(({ isLost }) => !isLost);
    await Promise.all(open.map((call) => this.#lose(call)));
  }

  async handleChatModelStart(
    llm: unknown,
    messages: unknown,
    runId: string,
    parentRunId?: string,
    extra?: unknown,
    _tags?: unknown,
    metadata?: unknown,
  ): Promise<void> {
    await this.#start(llm, messages, runId, parentRunId, extra, metadata);
  }

  handleLLMStart(...start: Parameters<UsageMeter['handleChatModelStart']>): Promise<void> {
    return this.handleChatModelStart(...start);
  }

  handleLLMNewToken(_token: string, _index: unknown, runId: string): void {
    const call = this.#calls.get(runId);
    if (call !== undefined) call.tokenAt = this.#options.clock.now();
  }

  async handleLLMEnd(output: unknown, runId: string): Promise<void> {
    const call = this.#taken(runId);
    if (call === undefined) return;
    const tokens = tokensOf(output);
    const told = modelOf(output);
    const price = this.#priceOf([call.model, told]);
    const cost = tokens === null ? undefined : costOf(tokens, price);
    if (cost === undefined) this.#unpriced = call.model ?? told ?? NAMELESS;
    const usage = usageOf(tokens, cost);
    const came = tokens === null ? undefined : { tokens: tokens.total, cost: cost ?? 0 };
    await this.#record(call, call.model ?? told ?? NAMELESS, usage, came);
  }

  /** A call that failed is counted as one that came to nothing; one that was given up has been paid for. */
  async handleLLMError(error: unknown, runId: string): Promise<void> {
    const call = this.#taken(runId);
    if (call === undefined) return;
    const isGivenUp = this.#options.isAborted() || /abort/i.test(String((error as Error | null)?.name));
    const usage = { ...NO_USAGE, modelCalls: 1, failedCalls: 1, unknownCalls: isGivenUp ? 1 : 0 };
    const came = isGivenUp ? undefined : { tokens: 0, cost: 0 };
    await this.#record(call, call.model ?? NAMELESS, usage, came);
  }

  #taken(runId: string): Call | undefined {
    if (this.#nested.delete(runId)) return undefined;
    const call = this.#calls.get(runId);
    this.#calls.delete(runId);
    return call;
  }

  /**
   * Admits the calls of one `generate` before LangChain starts them, which would tell of each refusal on the console.
   * @throws BudgetSpentError, TeamSpentError, UnpricedModelError
   */
  async admit(
    llm: unknown,
    questions: readonly unknown[],
    parentRunId: string | undefined,
    extra: unknown,
    metadata: unknown,
  ): Promise<void> {
    const isBound = this.#options.budgets.length > 0 && !this.#isNested(parentRunId);
    if (!isBound || typeof extra !== 'object' || extra === null) return;
    const calls: Call[] = [];
    this.#admitted.set(extra, calls);
    try {
      for (const question of questions) calls.push(await this.#call(llm, [question], extra, metadata));
    } catch (error) {
      await Promise.all(calls.map(({ open }) => open && this.#budgets.withdraw(open)));
      throw error;
    }
    for (const call of calls) this.#unstarted.add(call);
  }

  async #start(
    llm: unknown,
    question: unknown,
    runId: string,
    parentRunId: string | undefined,
    extra: unknown,
    metadata: unknown,
  ): Promise<void> {
    if (this.#isNested(parentRunId)) {
      this.#nested.add(runId);
      return;
    }
    const admitted = this.#admitted.get(extra as object)?.shift();
    const call = admitted ?? (await this.#call(llm, question, extra, metadata));
    this.#unstarted.delete(call);
    this.#calls.set(runId, call);
  }

  #isNested(parentRunId: string | undefined): boolean {
    return parentRunId !== undefined && (this.#calls.has(parentRunId) || this.#nested.has(parentRunId));
  }

  async #call(llm: unknown, question: unknown, extra: unknown, metadata: unknown): Promise<Call> {
    const agent = (metadata as { jotty_agent?: unknown } | undefined)?.jotty_agent;
    const call: Call = {
      model: modelAsked(llm, extra, metadata),
      agent: typeof agent === 'string' ? agent : undefined,
    };
    if (this.#options.budgets.length === 0) return call;
    const price = this.#priceOf([call.model]);
    this.#refuseUnpriced(call.model, price);
    const { most, inputTokens } = boundOf(llm, question, extra, metadata);
    const open = openCall(newCallId(), this.#options, most, inputTokens, price);
    const together = this.#togetherWith(extra);
    together.add(open.id);
    call.id = open.id;
    call.open = await this.#budgets.reserve(open, {
      isTogether: ({ id }) => together.has(id),
      isStalled: this.#isStalled,
    });
    return call;
  }

  /** A stream that its node has left, or does not read on before it has made another call, tells no end. */
  readonly #isStalled = ({ id, at }: OpenCall): boolean => {
    const now = this.#options.clock.now();
    const call = [...this.#calls.values()].find((one) => one.id === id);
    return call?.tokenAt === undefined ? now - at > CALL_MS_MAX : now - call.tokenAt > STALL_MS;
  };

  /** The calls of one `generate`, which all start before the first is made. */
  #togetherWith(extra: unknown): Set<string> {
    if (typeof extra !== 'object' || extra === null) return new Set();
    const known = this.#together.get(extra) ?? new Set<string>();
    this.#together.set(extra, known);
    return known;
  }

  #priceOf(names: readonly (string | undefined)[]): Price | undefined {
    return priceOf(this.#options.prices, names);
  }

  /** A model without a name before its first answer may have a price under the name it gives itself then. */
  #refuseUnpriced(model: string | undefined, price: Price | undefined): void {
    if (!this.#budgets.boundsCost || price !== undefined) return;
    if (model !== undefined || this.#unpriced !== undefined)
      throw new UnpricedModelError(model ?? this.#unpriced);
  }

  /**
   * Counts the end of a call everywhere; without `came` as one whose end nobody saw. Never rejects:
   * the answer is there, and a call that fails for this would be made again.
   */
  async #record(call: Call, model: string, usage: Usage, came: Cost | undefined): Promise<void> {
    const { scopes, agent, onCall } = this.#options;
    // What was counted when it was given up for lost is put right.
    const counted = call.isLost ? { ...usage, modelCalls: 0, unknownCalls: usage.unknownCalls - 1 } : usage;
    this.#usage = addUsage(this.#usage, counted);
    const { open } = call;
    const own = call.agent === undefined || call.agent === agent ? [] : [call.agent];
    const places = [...scopes, ...own.map((name) => ({ scope: `agent:${name}`, isBelow: false }))];
    await Promise.all(
      places.map(({ scope, isBelow }) =>
        this.#change(scope, (account) => {
          const used = withUsage(account, model, counted, isBelow);
          const mine = open?.get(scope);
          return mine === undefined ? used : settled(used, mine, came ?? mine.lost);
        }),
      ),
    );
    if (!call.isLost || usage.tokens > 0) onCall({ model, agent: call.agent ?? agent, ...usage });
  }

  async #lose(call: Call): Promise<void> {
    const usage = { ...NO_USAGE, modelCalls: 1, unknownCalls: 1 };
    await this.#record(call, call.model ?? NAMELESS, usage, undefined);
    call.isLost = true;
  }

  /** A store that is away is waited for; in the end what nobody could store is not stored. */
  async #change(scope: string, change: (account: Account) => Account): Promise<void> {
    const { accounts, clock } = this.#options;
    for (let tries = 1; tries <= RECORD_TRIES_MAX; tries++) {
      try {
        return await accounts.change(scope, (account) => ({ account: change(account), result: undefined }));
      } catch (error) {
        if (!(error instanceof StoreUnavailableError)) return;
        const waitMs = Math.min(RECORD_WAIT_MS * 2 ** (tries - 1), RECORD_WAIT_MS_MAX);
        await wait(clock, waitMs);
      }
    }
  }
}

function openCall(
  id: string,
  { task, fence, clock }: MeterOptions,
  most: { readonly input: number; readonly output: number } | undefined,
  inputTokens: number,
  price: Price | undefined,
): OpenCall {
  const known = { input: inputTokens, cachedInput: 0, output: 0, total: inputTokens };
  const bound = most && { ...most, cachedInput: 0, total: most.input + most.output };
  const lost = bound ?? known;
  const cost = bound && costOf(bound, price);
  return {
    id,
    task,
    fence,
    at: clock.now(),
    ...(bound && { tokens: bound.total }),
    ...(cost !== undefined && { cost }),
    lost: { tokens: lost.total, cost: costOf(lost, price) ?? 0 },
  };
}
