import type { Clock } from '../../../clock.ts';
import { ClosedError, StoreUnavailableError } from '../../../errors.ts';
import type { ClaimFilter } from '../../claim-filter.ts';
import type { Beside, Held, HoldingStore, Place } from '../../holding-store.ts';
import type { Claim } from '../../task-store.ts';
import type { Demand } from './demand.ts';
import { HoldCalls } from './hold-calls.ts';
import { dueAfter, type Question, type Served, type Shelf } from './shelf.ts';

/** How often the node gives a sign of life while it holds tasks, ms; more often where leases are short. */
const TICK_MS_MAX = 1_000;
/** Hints of other nodes' writes come as often as they write; acted on this often at most, ms. */
const LOOK_MS = 25;
/** More urgent tasks taken in at one look. */
const LOOK_TASKS_MAX = 64;
/** Larger answers would hold up everybody else's. */
const HOLD_TASKS_MAX = 500;
/** What another node was given is left to it for so long, ms. */
const SHARE_MS = 100;
/** Where claims find nothing, other nodes that hold something are asked for it this often at most, ms. */
const WANT_MS = 100;

export interface HoldingNodeOptions {
  readonly store: HoldingStore;
  readonly shelf: Shelf;
  readonly demand: Demand;
  /** Of holds; the tasks' times come with the claims. */
  readonly clock: Clock;
  readonly name: string;
  /** The lease that claims usually ask for. */
  readonly leaseMs: number;
  /** Resolves when all claims made before are written or refused. */
  readonly claimsWritten: () => Promise<void>;
  readonly onAvailable: () => void;
  readonly onError: (error: unknown) => void;
}

/**
 * This process as a holder of tasks: fetches as fast as is claimed, gives signs of life while tasks wait here,
 * gives back what waits too long, what is too much, and half of all when another node has nothing to do.
 */
export class HoldingNode {
  readonly #options: HoldingNodeOptions;
  readonly #holdMs: number;
  readonly #tickMs: number;
  readonly #calls = new HoldCalls();
  /** Some tasks could not be returned since the node last gave back all. */
  #owesTasks = false;
  /** What the refills under way ask for. */
  #asked = 0;
  #isRegistered = false;
  #isAway = false;
  #isClosed = false;
  /** All that is held was called back: nothing of it starts, until the store has it. */
  #isRecalled = false;
  #unwatch: (() => void) | null = null;
  #ticker: unknown = null;
  #isTicking = false;
  #looker: unknown = null;
  #lookedAt = Number.NEGATIVE_INFINITY;
  #sharedAt = Number.NEGATIVE_INFINITY;
  #wantedAt = Number.NEGATIVE_INFINITY;
  /** Others have written since this node last asked for what they hold. */
  #isHinted = true;
  #filter: ClaimFilter | null = null;
  #now = 0;

  constructor(options: HoldingNodeOptions) {
    this.#options = options;
    this.#holdMs = Math.ceil(options.leaseMs * 1.25);
    this.#tickMs = Math.max(1, Math.min(TICK_MS_MAX, Math.floor(options.leaseMs / 8)));
  }

  get isAway(): boolean {
    return this.#isAway;
  }

  /** Whether claims are served from the shelf; otherwise each asks the store itself. */
  get isPrefetching(): boolean {
    const { shelf, demand, clock } = this.#options;
    return shelf.size > 0 || demand.window(clock.now()) > 0;
  }

  /** Whether anything is held, or on its way here. */
  get isHolding(): boolean {
    return this.#isRegistered || this.#calls.size > 0;
  }

  /** Takes from the shelf what may be handed out now. */
  take(claim: Claim): Served {
    const { shelf, clock, leaseMs } = this.#options;
    const at = clock.now();
    const heldMs = shelf.heldMs(at);
    const isSure = heldMs >= claim.leaseExpiresAt - claim.now;
    // While the store is away the node goes on with what it surely holds.
    const isHere = shelf.size > 0 && !this.#isRecalled;
    const isTaking = isHere && (isSure || (this.#isAway && heldMs > leaseMs / 10));
    return shelf.take(isTaking ? claim : { ...claim, limit: 0 }, at, this.#isAway);
  }

  /** What `take` would take. */
  places(claim: Claim): Place[] {
    const { shelf, clock } = this.#options;
    const isSure = shelf.heldMs(clock.now()) >= claim.leaseExpiresAt - claim.now;
    return isSure && !this.#isRecalled ? shelf.places(claim) : [];
  }

  /** Claims tasks with a quota that nobody holds, in one order with those on the shelf. */
  claimBeside(claim: Claim): Promise<Beside> {
    this.#note(claim);
    return this.#calls.inTurn(async () => {
      const { store, shelf } = this.#options;
      const changes = shelf.quotaChanges;
      const beside = await store.claimBeside(claim, this.places(claim)).catch((error: unknown) => {
        if (error instanceof StoreUnavailableError) this.#isAway = true;
        throw error;
      });
      shelf.quotasTold(beside.quotas, changes);
      return beside;
    });
  }

  claimed(tasks: number): void {
    const { demand, clock } = this.#options;
    demand.claimed(tasks, clock.now());
  }

  /** Asks the store for this many tasks more, and for those that will be wanted next; `taken` will leave at once. */
  fetch(claim: Claim, missing: number, taken = missing): Promise<void> {
    this.#note(claim);
    return this.#calls.inTurn(async () => {
      const limit = missing + this.#room(missing);
      await this.#hold({ filter: claim.filter, limit, last: null }, taken);
    });
  }

  /** How many answers may bring tasks before those do that are asked for now. */
  get onTheirWay(): number {
    return this.#calls.ahead;
  }

  /** Resolves when the next of what is on its way here has come; who waited for it is told of its failure. */
  async fetched(): Promise<null> {
    await this.#calls.next();
    return null;
  }

  /** Fetches in the background when the shelf runs low. */
  refill(claim: Claim): void {
    this.#note(claim);
    const { shelf, demand, clock } = this.#options;
    if (!this.#mayRefill || shelf.isDry(claim.filter)) return;
    const limit = this.#room(0);
    // Early enough that the rest lasts until the answer: writes that left before are served before it.
    if (limit === 0 || limit * 4 < demand.window(clock.now())) return;
    const isFirst = this.#calls.refills === 0;
    this.#calls.refill(() => this.#refill({ filter: claim.filter, limit, last: null }, isFirst));
  }

  /** A claim found less in the store than it asked for: other nodes may hold something. */
  want(claim: Claim, missing: number): void {
    this.#note(claim);
    this.#watch();
    const { clock, onAvailable } = this.#options;
    if (!this.#isHinted || this.#isClosed || clock.now() < this.#wantedAt + WANT_MS) return;
    this.#isHinted = false;
    this.#wantedAt = clock.now();
    this.#background(async () => {
      const held = await this.#hold({ filter: claim.filter, limit: missing, last: null });
      if (held.records.length > 0) onAvailable();
    });
  }

  /** These are not on the shelf any more; where they still wait, they may still be held for this node. */
  returned(ids: readonly string[], now: number): void {
    if (ids.length > 0) this.#background(() => this.#return(ids, now));
  }

  /** Gives these back, where they are held, before somebody writes them or claims them by their ids. */
  release(ids: readonly string[], now = this.#now): Promise<void> {
    return this.#calls.inTurn(() => this.#giveBack(ids, now));
  }

  /** Another node may have written: something more urgent, a cancel, a pause. */
  readonly hint = (isNew = true, isRecall = false): void => {
    this.#isHinted = true;
    if (isRecall && this.isHolding && !this.#isClosed) this.yield().catch(this.#failed);
    if (!isNew || !this.#isRegistered || this.#looker !== null || this.#isClosed) return;
    const { clock } = this.#options;
    const wait = Math.max(0, Math.min(LOOK_MS, this.#lookedAt + LOOK_MS - clock.now()));
    this.#looker = clock.setTimeout(() => {
      this.#looker = null;
      this.#background(() => this.#look());
    }, wait);
  };

  /** The store answered, or did not. */
  heard(isAway: boolean): void {
    this.#isAway = isAway;
  }

  /** Writes what was claimed and gives everything back: the node has acknowledged a pause. */
  async yield(): Promise<void> {
    this.#isRecalled = this.isHolding;
    await this.#calls.inTurn(() => this.#heed());
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    this.#unwatch?.();
    this.#stopTimers();
    await this.#calls.inTurn(async () => {
      if (this.#isRegistered) await this.#leave(this.#now);
    });
  }

  #note({ filter, now }: Claim): void {
    this.#filter = filter;
    this.#now = now;
  }

  #room(missing: number): number {
    const { demand, shelf, clock } = this.#options;
    if (clock.now() < this.#sharedAt + SHARE_MS) return 0;
    return Math.max(0, Math.min(HOLD_TASKS_MAX - missing, demand.room(shelf, clock.now()) - this.#asked));
  }

  get #mayRefill(): boolean {
    if (this.#isAway || this.#isClosed || this.#isRecalled || !this.#calls.mayRefill) return false;
    return this.#calls.refills === 0 || this.#isRegistered;
  }

  /** What the answer calls for has a turn of its own. */
  async #refill(question: Question, isFirst: boolean): Promise<void> {
    const now = this.#now;
    this.#asked += question.limit;
    try {
      const held = await this.#ask(question);
      // Sent again, a question may overtake another: nobody knows then what is held of what is here.
      if (!(held.isKnown || isFirst)) this.#background(() => this.#giveAllBack(now));
      else if (this.#mustAdjust(held))
        this.#background(() => this.#adjust(held, { limit: 0, filter: question.filter }, now));
    } catch (error) {
      this.#failed(error);
    } finally {
      this.#asked -= question.limit;
    }
  }

  #background(work: () => Promise<unknown>): void {
    this.#calls.inTurn(work).catch(this.#failed);
  }

  /** Of an outage those are told who call; what is done here is done again. */
  readonly #failed = (error: unknown): void => {
    if (!this.#isClosed && !(error instanceof StoreUnavailableError)) this.#options.onError(error);
  };

  /** `taken`: so many of the answer are claimed as soon as it is here. */
  async #hold(question: Question, taken = 0): Promise<Held> {
    await this.#heed();
    const now = this.#now;
    const held = await this.#ask(question);
    await this.#adjust(held, { limit: taken, filter: question.filter }, now);
    return held;
  }

  async #ask(question: Question): Promise<Held> {
    // Nobody would give back what it brought.
    if (this.#isClosed) throw new ClosedError('the store');
    const { store, shelf, clock, name } = this.#options;
    const askedAt = clock.now();
    const now = this.#now;
    const asked = shelf.asking(question);
    this.#watch();
    try {
      const answer = await this.#calls.inOrder(
        store.hold({ node: name, holdMs: this.#holdMs, now, ...question }),
      );
      const held = { ...answer, nextDueAt: dueAfter(now, answer.nextDueAt) };
      this.#isAway = false;
      this.#isRegistered = true;
      this.#startTicking();
      shelf.answered(asked, held, askedAt, this.#holdMs);
      return held;
    } catch (error) {
      shelf.unanswered(asked);
      if (error instanceof StoreUnavailableError) this.#isAway = true;
      throw error;
    }
  }

  #mustAdjust({ isPaused, isWanted }: Held): boolean {
    const { shelf, demand, clock } = this.#options;
    return isPaused || isWanted || demand.excess(shelf, clock.now()) > 0;
  }

  /** `taken`: what a claim is waiting for stays. */
  async #adjust(
    { isPaused, isWanted }: Held,
    taken: Pick<Claim, 'limit' | 'filter'>,
    now: number,
  ): Promise<void> {
    const { shelf, demand, clock } = this.#options;
    if (isPaused) return this.#giveAllBack(now);
    const excess = demand.excess(shelf, clock.now());
    const wanted = isWanted ? Math.ceil(shelf.size / 2) : 0;
    if (isWanted) this.#sharedAt = clock.now();
    const spare = Math.max(excess, wanted) - taken.limit;
    if (spare > 0) await this.#giveBack(shelf.last(spare, taken), now);
  }

  async #giveBack(ids: readonly string[], now: number): Promise<void> {
    const held = this.#options.shelf.putBack(ids);
    if (held.length > 0) await this.#return(held, now);
  }

  /** Nobody else gets what the store was not told of, and it is on no shelf: the next tick gives all back. */
  async #return(ids: readonly string[], now: number): Promise<void> {
    const { store, name } = this.#options;
    try {
      await store.giveBack(name, ids, now);
    } catch (error) {
      this.#owesTasks = true;
      throw error;
    }
  }

  async #heed(): Promise<void> {
    if (this.#isRecalled) await this.#giveAllBack(this.#now);
  }

  async #giveAllBack(now: number): Promise<void> {
    this.#options.shelf.clear();
    await this.#options.claimsWritten();
    await this.#leave(now);
  }

  async #leave(now: number): Promise<void> {
    const { store, shelf, name } = this.#options;
    shelf.clear();
    await store.leave(name, now);
    this.#owesTasks = false;
    this.#isRecalled = false;
    this.#isRegistered = false;
    this.#stopTimers();
  }

  /** Gives a sign of life, and hears of cancels, pauses and more urgent tasks. */
  async #look(): Promise<void> {
    if (this.#isClosed || !this.#isRegistered) return;
    const { shelf, clock, onAvailable } = this.#options;
    this.#lookedAt = clock.now();
    const filter = this.#filter;
    const last = shelf.lastPlace(filter);
    const held = await this.#hold({ filter, last, limit: last === null ? 0 : LOOK_TASKS_MAX });
    if (held.records.length > 0 || held.quotas === 'ready') onAvailable();
  }

  #watch(): void {
    if (!this.#isClosed) this.#unwatch ??= this.#options.store.watch(this.hint);
  }

  #startTicking(): void {
    if (this.#isClosed) return;
    this.#ticker ??= this.#options.clock.setTimeout(() => {
      this.#ticker = null;
      // Armed again before all else, so that no error ends the signs of life.
      this.#startTicking();
      if (this.#isTicking) return;
      this.#isTicking = true;
      this.#background(() =>
        this.#tick().finally(() => {
          this.#isTicking = false;
        }),
      );
    }, this.#tickMs);
  }

  async #tick(): Promise<void> {
    const { clock, demand, shelf } = this.#options;
    if (!this.#isRegistered) return;
    if (shelf.heldMs(clock.now()) <= 0) shelf.clear();
    await this.#look();
    if (this.#owesTasks) return this.#giveAllBack(this.#now);
    await this.#giveBack(shelf.stale(clock.now() - 2 * demand.aheadMs, demand.tasksMin), this.#now);
    if (shelf.size === 0 && demand.isIdle(clock.now())) await this.#giveAllBack(this.#now);
  }

  #stopTimers(): void {
    const { clock } = this.#options;
    for (const timer of [this.#ticker, this.#looker]) if (timer !== null) clock.clearTimeout(timer);
    this.#ticker = null;
    this.#looker = null;
  }
}
