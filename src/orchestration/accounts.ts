import { type Clock, wait } from '../clock.ts';
import { StoreUnavailableError } from '../errors.ts';
import { accountSection } from '../queue/budget.ts';
import type { Registry } from '../queue/registry.ts';
import { type Account, accountFrom, textOf } from './account.ts';

/** A compare-and-set that loses this often in a row meets a broken store, not other writers. */
const ROUNDS_MAX = 200;
/** Rounds after which a loser waits a little, so that somebody gets through. */
const EAGER_ROUNDS = 3;
const LOSER_WAIT_MS_MAX = 20;
/** Accounts that are remembered while nobody writes to them. */
const LANES_MAX = 1_000;
/** Writes to one store at a time. */
const WRITES_MAX = 8;
const KEY = 'account';

/** Changes an account, or leaves it as it is by returning it. May be called again, on a newer one. */
export type AccountChange<R> = (account: Account) => { readonly account: Account; readonly result: R };

interface Waiting {
  readonly change: AccountChange<unknown>;
  readonly resolve: (result: never) => void;
  readonly reject: (error: unknown) => void;
}

interface Known {
  readonly account: Account;
  /** 0: there is none. */
  readonly version: number;
  readonly isRemembered: boolean;
}

interface Lane {
  waiting: Waiting[];
  known: Known | undefined;
  isBusy: boolean;
}

/**
 * What was spent, by scope, e.g. `task:<id>`, kept in the store's registry: shared by all processes, and each change of
 * an account is atomic among them. Changes of one process that come together are written together.
 */
export class Accounts {
  readonly #registry: Registry;
  readonly #clock: Clock;
  readonly #lanes = new Map<string, Lane>();
  readonly #random: () => number;
  readonly #room: (() => void)[] = [];
  #writes = 0;
  #whenWritten = new Set<() => void>();

  constructor(registry: Registry, clock: Clock, random: () => number = Math.random) {
    this.#registry = registry;
    this.#clock = clock;
    this.#random = random;
  }

  /** Resolves when this process has written some account, or after `ms`: others may have written too. */
  async written(ms: number): Promise<void> {
    let wake = () => {};
    const timer = this.#clock.setTimeout(() => wake(), ms);
    await new Promise<void>((resolve) => {
      wake = resolve;
      this.#whenWritten.add(resolve);
    });
    this.#whenWritten.delete(wake);
    this.#clock.clearTimeout(timer);
  }

  /** Resolves when the change is durable. Rejects with what it throws, and as the store does. */
  change<R>(scope: string, change: AccountChange<R>): Promise<R> {
    const lane = this.#lane(scope);
    return new Promise<R>((resolve, reject) => {
      lane.waiting.push({ change, resolve: resolve as (result: never) => void, reject });
      if (!lane.isBusy) void this.#work(scope, lane);
    });
  }

  /** As it stands in the store; null where nobody has spent anything. */
  async read(scope: string): Promise<Account | null> {
    const { account, version } = await this.#load(scope);
    return version === 0 ? null : account;
  }

  async remove(scope: string): Promise<void> {
    this.#lanes.delete(scope);
    await this.#registry.remove(accountSection(scope), KEY);
  }

  #lane(scope: string): Lane {
    const known = this.#lanes.get(scope);
    if (known !== undefined) return known;
    if (this.#lanes.size >= LANES_MAX) this.#forgetIdle();
    const lane: Lane = { waiting: [], known: undefined, isBusy: false };
    this.#lanes.set(scope, lane);
    return lane;
  }

  #forgetIdle(): void {
    for (const [scope, { isBusy }] of this.#lanes) if (!isBusy) this.#lanes.delete(scope);
  }

  async #work(scope: string, lane: Lane): Promise<void> {
    lane.isBusy = true;
    while (lane.waiting.length > 0) {
      // Those of the same turn of the event loop go together.
      await Promise.resolve();
      const batch = lane.waiting;
      lane.waiting = [];
      await this.#write(scope, lane, batch).catch((error: unknown) => {
        lane.known = undefined;
        for (const { reject } of batch) reject(error);
      });
    }
    lane.isBusy = false;
  }

  async #write(scope: string, lane: Lane, batch: readonly Waiting[]): Promise<void> {
    for (let round = 0; round < ROUNDS_MAX; round++) {
      if (round > EAGER_ROUNDS) await this.#pause(round);
      const known = lane.known ?? (await this.#load(scope));
      const { account, tell } = applied(known.account, batch);
      if (account === known.account) {
        lane.known = undefined;
        // What was remembered may be old: that nothing is to be done is believed of what is there now.
        if (known.isRemembered) continue;
        return tell();
      }
      const isWritten = await this.#put(scope, account, known.version);
      lane.known = isWritten ? { account, version: known.version + 1, isRemembered: true } : undefined;
      if (isWritten) return this.#tell(tell);
    }
    throw new StoreUnavailableError(`account ${scope} was changed ${ROUNDS_MAX} times while being written`);
  }

  #tell(tell: () => void): void {
    tell();
    for (const wake of this.#whenWritten) wake();
  }

  async #put(scope: string, account: Account, version: number): Promise<boolean> {
    while (this.#writes >= WRITES_MAX) await new Promise<void>((resolve) => this.#room.push(resolve));
    this.#writes += 1;
    try {
      const entry = { key: KEY, value: textOf(account), expiresAt: null };
      return await this.#registry.put(accountSection(scope), entry, this.#clock.now(), version);
    } finally {
      this.#writes -= 1;
      this.#room.shift()?.();
    }
  }

  async #load(scope: string): Promise<Known> {
    const [entry] = await this.#registry.entries(accountSection(scope), this.#clock.now());
    return {
      account: accountFrom(entry?.value),
      version: entry?.version ?? 0,
      isRemembered: false,
    };
  }

  async #pause(round: number): Promise<void> {
    const ms = Math.min(round, LOSER_WAIT_MS_MAX) * this.#random();
    await wait(this.#clock, ms);
  }
}

/** All changes on top of one another; one that throws has changed nothing. */
function applied(start: Account, batch: readonly Waiting[]): { account: Account; tell: () => void } {
  let account = start;
  const ends = batch.map(({ change, resolve, reject }) => {
    try {
      const { account: next, result } = change(account);
      account = next;
      return () => resolve(result as never);
    } catch (error) {
      return () => reject(error);
    }
  });
  return {
    account,
    tell: () => {
      for (const end of ends) end();
    },
  };
}
