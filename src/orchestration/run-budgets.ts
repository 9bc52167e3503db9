import type { Clock } from '../clock.ts';
import type { AmountName, Amounts } from '../queue/budget.ts';
import type { TaskAnswer, TaskInterrupt } from '../queue/task.ts';
import {
  admit,
  type BudgetAccount,
  type OpenCall,
  raised,
  spentOf,
  withBudget,
  withdrawn,
  withMax,
  worked,
} from './account.ts';
import type { Accounts } from './accounts.ts';
import {
  BudgetSpentError,
  BudgetStoppedError,
  decisionOn,
  questionOf,
  TeamSpentError,
} from './budget-question.ts';
import type { RunControl } from './graph.ts';

/** How often a call that waits for others looks whether those of other processes have ended. */
const WAIT_MS = 100;
/** How often, in such looks, it asks whether the runs that make them are still there. */
const LOOKS_PER_ASKING = 10;
/** How often the time that a run takes is counted. */
const WALL_MS = 5_000;
/** What is spent without calls. */
const WORK = ['steps', 'wallMs'] as const;

/** A budget that a run stays within. */
export interface MeteredBudget {
  readonly scope: string;
  /** What it has where nobody has set it yet. */
  readonly amounts: Amounts;
  /** Nobody is asked: what it bounds ends. */
  readonly isEnd?: boolean;
}

/** A call by the accounts it is reserved in. */
export type OpenCalls = ReadonlyMap<string, OpenCall>;

/** How a call stands to those that are under way. */
export interface Beside {
  /** They are made in one with it. */
  readonly isTogether: (open: OpenCall) => boolean;
  /** This run has one under way that nobody seems to wait for any more. */
  readonly isStalled: (open: OpenCall) => boolean;
}

export interface RunBudgetsOptions {
  readonly accounts: Accounts;
  readonly clock: Clock;
  /** The task, and the fence under which this run holds it. */
  readonly task: string;
  readonly fence: number;
  /** In an order that is the same for all runs, so that no two wait for one another. */
  readonly budgets: readonly MeteredBudget[];
  readonly answers: readonly TaskAnswer[];
  readonly control: RunControl;
  readonly isAborted: () => boolean;
  /** Whether the run that has a call open may still tell its end. */
  readonly isAlive: (open: OpenCall) => Promise<boolean>;
  /** An answer has raised a budget: others may wait for that. */
  readonly onRaised: (scope: string) => void;
}

/** The budgets of one run: opened when it begins, asked before each call, told what the run takes. */
export class RunBudgets {
  readonly #options: RunBudgetsOptions;
  #question: TaskInterrupt | undefined;
  #timedFrom = 0;
  #timer: unknown;
  #boundsSteps = false;
  #boundsWall = false;
  #boundsCost = false;

  constructor(options: RunBudgetsOptions) {
    this.#options = options;
  }

  /** What is asked where a budget was found spent; undefined where none was. */
  get question(): TaskInterrupt | undefined {
    return this.#question;
  }

  /** Whether steps are to be told. */
  get boundsSteps(): boolean {
    return this.#boundsSteps;
  }

  get boundsCost(): boolean {
    return this.#boundsCost;
  }

  /**
   * Opens the budgets, and does what was answered to their questions.
   * @throws BudgetStoppedError; BudgetSpentError where there is no step or time left.
   */
  async begin(): Promise<void> {
    let leftMs = Infinity;
    for (const { scope, amounts } of this.#options.budgets) {
      const budget = await this.#opened(scope, amounts);
      if (budget === undefined) continue;
      const reached = spentOf(budget, WORK);
      if (reached !== undefined) throw new BudgetSpentError(this.#refuse(scope, budget, reached));
      const { steps, cost, wallMs = Infinity } = budget.max;
      this.#boundsSteps ||= steps !== undefined;
      this.#boundsCost ||= cost !== undefined;
      leftMs = Math.min(leftMs, wallMs - budget.spent.wallMs);
    }
    this.#timedFrom = this.#options.clock.now();
    this.#boundsWall = leftMs !== Infinity;
    if (this.#boundsWall) this.#time(Math.min(WALL_MS, leftMs));
  }

  /** The budget, after what was decided about it. */
  async #opened(scope: string, amounts: Amounts): Promise<BudgetAccount | undefined> {
    const { accounts, answers, onRaised } = this.#options;
    const { budget, isRaised } = await accounts.change(scope, (account) => {
      const known = withBudget(account, amounts);
      const decision = known.budget && decisionOn(scope, known.budget.raises, answers);
      if (decision === undefined)
        return { account: known, result: { budget: known.budget, isRaised: false } };
      if (decision === 'stop') throw new BudgetStoppedError(scope);
      const next = withMax(known, raised(known.budget!, decision.raise));
      return { account: next, result: { budget: next.budget, isRaised: true } };
    });
    if (isRaised) onRaised(scope);
    return budget;
  }

  /** Whether there is nothing left of a budget that ends what it bounds. */
  async isTeamSpent(): Promise<boolean> {
    const { budgets, accounts } = this.#options;
    for (const { scope, isEnd } of budgets) {
      const budget = isEnd ? (await accounts.read(scope))?.budget : undefined;
      if (budget !== undefined && spentOf(budget) !== undefined) return true;
    }
    return false;
  }

  /** A superstep has ended. */
  async step(): Promise<void> {
    await this.#work({ steps: 1 });
  }

  /** The run is over: the time it took is counted. */
  async end(): Promise<void> {
    if (this.#timer !== undefined) this.#options.clock.clearTimeout(this.#timer);
    this.#timer = undefined;
    // Where the store is away the last seconds are given away.
    if (this.#boundsWall) await this.#work(this.#elapsed()).catch(() => {});
  }

  /**
   * Reserves what a call may come to in all budgets, or in none; waits where only the end of others can tell.
   *
   * @returns the call as each account has it.
   * @throws BudgetSpentError, TeamSpentError
   */
  async reserve(open: OpenCall, beside: Beside): Promise<OpenCalls> {
    const { budgets } = this.#options;
    if (this.#question !== undefined) throw new BudgetSpentError(this.#question);
    const reserved = new Map<string, OpenCall>();
    try {
      for (const budget of budgets) {
        reserved.set(budget.scope, await this.#admitted(budget, open, beside));
      }
      return reserved;
    } catch (error) {
      await this.withdraw(reserved);
      throw error;
    }
  }

  /** Of a call that is not made. */
  async withdraw(calls: OpenCalls): Promise<void> {
    const { accounts } = this.#options;
    await Promise.all(
      [...calls].map(([scope, open]) =>
        accounts.change(scope, (account) => ({ account: withdrawn(account, open), result: undefined })),
      ),
    );
  }

  async #admitted(
    { scope, isEnd }: MeteredBudget,
    open: OpenCall,
    { isTogether, isStalled }: Beside,
  ): Promise<OpenCall> {
    const { accounts, isAborted, task, fence } = this.#options;
    const gone = new Set<string>();
    const isGone = (one: OpenCall) => {
      if (one.task !== task || one.fence > fence) return gone.has(one.id);
      return one.fence < fence || isStalled(one);
    };
    for (let looks = 0; ; looks++) {
      const { found, budget } = await accounts.change(scope, (account) => {
        const { account: next, result } = admit(account, open, isGone, isTogether);
        return { account: next, result: { found: result, budget: next.budget } };
      });
      if (typeof found === 'object' && 'admitted' in found) return found.admitted;
      if (found !== 'wait') this.#throwSpent(scope, budget!, found, isEnd ?? false);
      if (isAborted()) throw new Error('the run was aborted while a call waited for its budget');
      if (looks % LOOKS_PER_ASKING === 0) await this.#lookForGone(budget!.open, gone);
      await accounts.written(WAIT_MS);
    }
  }

  /** Calls under way that nobody will tell the end of. */
  async #lookForGone(open: readonly OpenCall[], gone: Set<string>): Promise<void> {
    const { task, fence, isAlive } = this.#options;
    const others = open.filter((one) => one.task !== task || one.fence !== fence);
    await Promise.all(
      others.map(async (one) => {
        if (!(await isAlive(one))) gone.add(one.id);
      }),
    );
  }

  #throwSpent(
    scope: string,
    budget: BudgetAccount,
    { refused }: { readonly refused: AmountName },
    isEnd: boolean,
  ): never {
    if (isEnd) throw new TeamSpentError(refused);
    throw new BudgetSpentError(this.#refuse(scope, budget, refused));
  }

  /** From here on the run makes no call any more, and stops at its next step. */
  #refuse(scope: string, budget: BudgetAccount, reached: AmountName): TaskInterrupt {
    const { answers, control } = this.#options;
    this.#question ??= questionOf(scope, budget, reached, answers);
    control.requestDrain('budget');
    return this.#question;
  }

  #time(ms: number): void {
    this.#timer = this.#options.clock.setTimeout(() => {
      this.#timer = undefined;
      void this.#work(this.#elapsed()).then(
        (leftMs) => {
          if (this.#question === undefined) this.#time(Math.min(WALL_MS, Math.max(1, leftMs)));
        },
        () => this.#time(WALL_MS),
      );
    }, ms);
  }

  #elapsed(): Amounts {
    const now = this.#options.clock.now();
    const wallMs = Math.max(0, now - this.#timedFrom);
    this.#timedFrom = now;
    return { wallMs };
  }

  /** Counts steps or time in all budgets, and returns the time left. */
  async #work(amounts: Amounts): Promise<number> {
    let leftMs = Infinity;
    for (const { scope } of this.#options.budgets) {
      const budget = await this.#options.accounts.change(scope, (account) => {
        const next = worked(account, amounts);
        return { account: next, result: next.budget };
      });
      if (budget === undefined) continue;
      leftMs = Math.min(leftMs, (budget.max.wallMs ?? Infinity) - budget.spent.wallMs);
      const reached = spentOf(budget, WORK);
      if (reached !== undefined) this.#refuse(scope, budget, reached);
    }
    return leftMs;
  }
}
