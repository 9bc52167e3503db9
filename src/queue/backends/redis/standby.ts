import { systemClock } from '../../../clock.ts';
import type { RedisConnection } from '../../../redis/redis-connection.ts';
import type { HeldChange } from '../../holding-store.ts';
import { isLeased } from '../../task.ts';
import type { Claim, TaskRecord } from '../../task-store.ts';
import { firstRecord, ownerField, STATUS_LETTERS } from './record-text.ts';
import { claimArguments } from './replies.ts';
import type { ScriptRunner } from './script-runner.ts';

/** So long nothing is asked before a store object stands by: who does one task after another never does. */
const QUIET_MS = 2;
/** So long a granted task waits for a claim of this process, which its news have woken. */
const GRACE_MS = 40;
/** News older than this are not acted on: the queue may have been paused since. */
const FRESH_MS = 200;
/** …nor those that have cost more of the lease: who submitted the task may be about to take it back. */
const FRESH_PART = 1 / 4;
/** Who was woken and did not claim is not asked again for so long. */
const DISTRUST_MS = 60_000;
/** With more leases than this nobody is idle, and they are not counted. */
const LEASES_MAX = 1_000;
/** Name, owner twice, lease, status and the filter: see `standby.lua`. */
const TEXT = /^[^\n]*(\n[^\n]*){8}$/;

export interface StandbyOptions {
  readonly connection: RedisConnection;
  readonly scripts: ScriptRunner;
  /** The time by Redis. */
  readonly now: () => number;
  /** Tells those in this process who wait for tasks. */
  readonly wake: () => void;
  readonly read: (id: string) => Promise<TaskRecord | null>;
  /** Releases a task that was granted and is not wanted, so that others hear of it. */
  readonly giveBack: (record: TaskRecord) => Promise<void>;
}

interface Standing {
  readonly claim: Claim;
  readonly text: string;
}

interface Granted {
  readonly record: TaskRecord;
  readonly standing: Standing;
  readonly at: number;
  timer?: unknown;
}

/**
 * The worker's side of a hand-over between processes. A store object that listens for new tasks, holds none, and is
 * asked for nothing, lets Redis know what it would claim. The next lone submission of another process is then claimed
 * for it at once (`grant.lua`) and comes with the news; the claim that the news wake gets it without asking Redis.
 */
export class Standby {
  readonly #options: StandbyOptions;
  /** The tasks claimed here that have not ended, and when their leases do. */
  readonly #leases = new Map<string, number>();
  #calls = 0;
  /** What was claimed last: the next claim will be like it. */
  #last: Claim | undefined;
  /** What Redis was last told. */
  #standing: Standing | undefined;
  #isStanding = false;
  #granted: Granted[] = [];
  #unsubscribe: (() => void) | undefined;
  #isSubscribed = false;
  #timer: unknown;
  #distrustedUntil = Number.NEGATIVE_INFINITY;
  #isOn = false;
  #isClosed = false;

  constructor(options: StandbyOptions) {
    this.#options = options;
  }

  /** Whether somebody here waits for new tasks. Nothing is done or counted otherwise. */
  get isOn(): boolean {
    return this.#isOn;
  }

  turn(isOn: boolean): void {
    this.#isOn = isOn;
    if (isOn) return;
    this.#leases.clear();
    for (const granted of [...this.#granted]) this.#refuse(granted);
    this.#retract();
  }

  /** Redis was asked for tasks, and gave these. */
  claimed(claim: Claim, records: readonly TaskRecord[]): void {
    this.#calls++;
    this.#last = claim;
    for (const { id, leaseExpiresAt } of records) this.#leased(id, leaseExpiresAt);
    if (records.length > 0) this.#retract();
    else this.#arm();
  }

  /** Tasks were changed, whether by this process or not. */
  changed(changes: readonly HeldChange[]): void {
    this.#calls++;
    for (const { id, next } of changes) {
      if (isLeased(next.status)) this.#leased(id, next.leaseExpiresAt);
      else this.#leases.delete(id);
    }
    this.#arm();
  }

  /** The task that was granted for just this. */
  take(claim: Claim): TaskRecord | undefined {
    if (this.#granted.length === 0) return undefined;
    const granted = this.#granted.find((each) => this.#isAlike(each.standing, claim));
    if (!granted) return undefined;
    if (!this.#isFresh(granted.record, granted.at)) {
      this.#refuse(granted);
      return undefined;
    }
    this.#drop(granted);
    // Not before the task starts: this costs as much as the way to Redis that was saved.
    setImmediate(() => void this.#heard());
    return granted.record;
  }

  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    if (this.#timer !== undefined) systemClock.clearTimeout(this.#timer);
    this.#unsubscribe?.();
    const { connection } = this.#options;
    const inHand = [...this.#granted];
    for (const granted of inHand) this.#drop(granted);
    await connection.lastly(async () => {
      await Promise.all(inHand.map(({ record }) => this.#handBack(record)));
      if (this.#standing) await this.#lookAfter(await this.#tell(''));
    });
  }

  /** Whether all leases have been given back, or have been lost. */
  get #isIdle(): boolean {
    if (!this.#isOn) return false;
    for (const [id, leaseExpiresAt] of this.#leases) {
      if (leaseExpiresAt > this.#options.now()) return false;
      this.#leases.delete(id);
    }
    return true;
  }

  #leased(id: string, leaseExpiresAt: number | null): void {
    if (leaseExpiresAt !== null && this.#leases.size < LEASES_MAX) this.#leases.set(id, leaseExpiresAt);
  }

  #arm(): void {
    if (this.#timer !== undefined || this.#isStanding || this.#isClosed || !this.#isIdle) return;
    const calls = this.#calls;
    this.#timer = systemClock.setTimeout(() => {
      this.#timer = undefined;
      if (calls === this.#calls) this.#begin();
      else this.#arm();
    }, QUIET_MS);
  }

  #begin(): void {
    if (!this.#isIdle || this.#isStanding || this.#isClosed || this.#granted.length > 0) return;
    if (this.#last === undefined || performance.now() < this.#distrustedUntil) return;
    if (this.#isSubscribed) void this.#stand(this.#last);
    else this.#subscribe();
  }

  /** Whoever stands by is told on a channel of its own. */
  #subscribe(): void {
    const { connection, scripts } = this.#options;
    this.#unsubscribe ??= connection.subscribe(
      scripts.key(`standby:${scripts.instance}`),
      (message) => this.#onMessage(message),
      () => {
        this.#isSubscribed = true;
        // What was said while nobody listened is asked for.
        this.#isStanding = false;
        this.#arm();
      },
    );
  }

  async #stand(claim: Claim): Promise<void> {
    const text = this.#textOf(claim);
    if (!TEXT.test(text) || claim.filter?.ids) return;
    const former = this.#standing?.text ?? '';
    this.#standing = { claim, text };
    this.#isStanding = true;
    try {
      await this.#lookAfter(await this.#tell(text, former));
    } catch {
      // There is news of the next task in any case.
      this.#isStanding = false;
    }
  }

  async #tell(text: string, former = this.#standing?.text ?? ''): Promise<string | undefined> {
    const { scripts } = this.#options;
    const [id] = await scripts.run('standby', { now: '', values: [text, former === text ? '' : former] });
    return id as string | undefined;
  }

  /** A granted task of which the message was lost: others are told of it. */
  async #lookAfter(id: string | undefined): Promise<void> {
    if (id === undefined) return;
    this.#isStanding = false;
    if (this.#leases.has(id)) return;
    const record = await this.#options.read(id);
    // The message may have come meanwhile.
    if (this.#leases.has(id)) return;
    if (record && isAsGranted(record)) await this.#options.giveBack(record);
    await this.#heard();
    this.#arm();
  }

  #onMessage(message: string): void {
    this.#isStanding = false;
    const headEnd = message.indexOf('\n');
    const [at, lease, to, owner, id = ''] = message.slice(0, headEnd).split(' ');
    const standing = this.#standing;
    if (!standing || this.#isClosed) return;
    const { claim } = standing;
    const startedAt = claim.to === 'in_progress' ? Number(at) : null;
    const first = { status: claim.to, fence: 1, owner: claim.owner, startedAt, version: GRANTED_VERSION };
    const record = firstRecord(id, message.slice(headEnd + 1), { ...first, leaseExpiresAt: Number(lease) });
    const isOther = to !== STATUS_LETTERS[claim.to] || owner !== ownerField(claim.owner);
    if (isOther || !this.#isOn || !this.#isFresh(record, Number(at))) this.#giveBack(record);
    else this.#offer({ record, standing, at: Number(at) });
  }

  #offer(granted: Granted): void {
    const { id, leaseExpiresAt } = granted.record;
    this.#leased(id, leaseExpiresAt);
    this.#granted.push(granted);
    this.#options.wake();
    // Mostly it has been taken by now.
    if (!this.#granted.includes(granted)) return;
    granted.timer = systemClock.setTimeout(() => {
      this.#distrustedUntil = performance.now() + DISTRUST_MS;
      this.#refuse(granted);
    }, GRACE_MS);
  }

  #drop(granted: Granted): void {
    if (granted.timer !== undefined) systemClock.clearTimeout(granted.timer);
    this.#granted = this.#granted.filter((each) => each !== granted);
  }

  #refuse(granted: Granted): void {
    this.#drop(granted);
    this.#giveBack(granted.record);
  }

  #giveBack(record: TaskRecord): void {
    this.#leases.delete(record.id);
    // Where Redis cannot be reached, who submitted it takes it back, or its lease ends.
    this.#handBack(record).catch(() => {});
  }

  async #handBack(record: TaskRecord): Promise<void> {
    await this.#options.giveBack(record);
    await this.#heard();
  }

  #isFresh({ leaseExpiresAt }: TaskRecord, at: number): boolean {
    return this.#options.now() - at < Math.min(FRESH_MS, FRESH_PART * (leaseExpiresAt! - at));
  }

  /** Not before the task starts, as below. What was granted meanwhile is given back. */
  #retract(): void {
    if (!this.#isStanding || !this.#standing) return;
    this.#isStanding = false;
    const { text } = this.#standing;
    setImmediate(() => {
      // After a blocked event loop it may stand by again already.
      if (!this.#isStanding && !this.#isClosed)
        this.#options.scripts.call('ZREM', 'standby', text).catch(() => {});
    });
  }

  async #heard(): Promise<void> {
    const { scripts } = this.#options;
    await scripts.call('HDEL', 'granted', scripts.instance).catch(() => {});
  }

  #isAlike({ claim, text }: Standing, other: Claim): boolean {
    if (claim.filter !== null || other.filter !== null) return this.#textOf(other) === text;
    const { owner, to, leaseExpiresAt, now } = claim;
    return (
      owner === other.owner && to === other.to && leaseExpiresAt - now === other.leaseExpiresAt - other.now
    );
  }

  #textOf(claim: Claim): string {
    const lease = `+${claim.leaseExpiresAt - claim.now}`;
    const words = claimArguments(claim, lease).slice(1, 9);
    return [this.#options.scripts.instance, ...words].join('\n');
  }
}

/** What a first claim makes of a task's version. */
const GRANTED_VERSION = 2;

/** Whether nothing was done to a task since it was granted. */
export function isAsGranted({ status, version }: TaskRecord): boolean {
  return isLeased(status) && version === GRANTED_VERSION;
}
