import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Clock } from '../../../clock.ts';
import { ClosedError } from '../../../errors.ts';
import { kindsOf } from '../../claim-filter.ts';
import type { Gate } from '../../gate.ts';
import { ALIVE_MS, givenBack } from '../../given-back.ts';
import type { HoldingStore } from '../../holding-store.ts';
import type { Registry } from '../../registry.ts';
import { POLL_MS } from '../../store-watch.ts';
import { isLeased, type TaskEvent } from '../../task.ts';
import type { TaskLog } from '../../task-log.ts';
import {
  type Applied,
  type Change,
  type Claim,
  type Effects,
  type GateChange,
  type InsertOutcome,
  type ListPage,
  type ListQuery,
  type Logging,
  mayShut,
  type NewRecord,
  NO_EFFECTS,
  type Outlook,
  type Purged,
  type StoreCounts,
  type TaskRecord,
  type TaskStore,
  type UnjudgedEdge,
  type Verdict,
} from '../../task-store.ts';
import { Demand } from './demand.ts';
import { HeldClaims } from './held-claims.ts';
import { HoldingNode } from './holding-node.ts';
import { type HybridTaskStoreOptions, resolveHybridOptions } from './hybrid-options.ts';
import { Shelf } from './shelf.ts';
import { WriteQueue } from './write-queue.ts';

/** Waiting writes are given this long when the store is closed. */
const CLOSE_MS_MAX = 2_000;

const FOR_EVER = Number.POSITIVE_INFINITY;
/**
 * Deques in memory in front of a shared store. Tasks are held ahead, so that a claim is a memory operation; the
 * claim is written behind it at once, in order with what follows, and every other write resolves only when the
 * store has it. Reads go to the store, after what was written before them.
 *
 * A held task stays as it is in the store, so that nobody sees a difference but in who gets it: one that this
 * node holds is claimed by no other, for as long as the node gives signs of life.
 */
export class HybridTaskStore implements TaskStore {
  readonly #remote: HoldingStore;
  readonly #clock: Clock;
  readonly #shelf = new Shelf();
  readonly #node: HoldingNode;
  readonly #writes: WriteQueue;
  readonly #claims: HeldClaims;
  readonly #leaseMs: number;
  readonly #flushMs: number;
  readonly #onError: (error: unknown) => void;
  readonly #watchers = new Set<() => void>();
  readonly #owners = new Set<string>();
  /** The tasks claimed here as last acknowledged; with `flushMs` only. */
  readonly #mine = new Map<string, TaskRecord>();
  #closing: Promise<void> | null = null;

  constructor(remote: HoldingStore, options: HybridTaskStoreOptions) {
    const { leaseMs, node, clock, flushMs, onError, ...prefetch } = resolveHybridOptions(options);
    this.#remote = remote;
    this.#clock = clock;
    this.#leaseMs = leaseMs;
    this.#flushMs = flushMs;
    this.#onError = onError;
    this.#writes = new WriteQueue({
      store: remote,
      clock,
      flushMs,
      onAnswer: () => this.#node.heard(false),
      onAway: () => this.#node.heard(true),
      onRefused: (id, now) => {
        this.#node.returned([id], now);
        // Who holds it looks again, and learns that it is lost.
        this.#notify();
      },
    });
    this.#node = new HoldingNode({
      store: remote,
      shelf: this.#shelf,
      demand: new Demand(prefetch),
      clock,
      name: node,
      leaseMs,
      claimsWritten: () => this.#writes.settled(),
      onAvailable: () => this.#notify(),
      onError,
    });
    this.#claims = new HeldClaims({
      store: remote,
      shelf: this.#shelf,
      node: this.#node,
      writes: this.#writes,
      onFailed: this.#claimFailed,
    });
  }

  get pollMs(): number {
    return this.#remote.pollMs ?? POLL_MS;
  }

  get registry(): Registry {
    return this.#remote.registry;
  }

  async insert(
    records: readonly NewRecord[],
    now: number,
    rules: readonly GateChange[] = [],
  ): Promise<InsertOutcome> {
    this.#use();
    const answer = await this.#remote.insert(records, now, rules);
    const outcome = answer.recalls ? await this.#afterRecall(answer) : answer;
    if (outcome.conflicts.length > 0 || outcome.unknown.length > 0) return outcome;
    if (outcome.effects.released.length > 0) this.#shelf.changed();
    for (const record of records) {
      // Its sequence is larger than that of all that is held.
      if (record.runAt > now) this.#shelf.due(record.runAt);
      else this.#shelf.arrived(record, { rank: record.rank, seq: Number.POSITIVE_INFINITY });
    }
    return outcome;
  }

  async claim(claim: Claim): Promise<TaskRecord[]> {
    this.#use();
    if (claim.limit < 1) return [];
    this.#owners.add(claim.owner);
    const claimed = await this.#claims.take(claim);
    // While the store is away nobody can be charged.
    if (claimed.some(mayBePoison)) await this.#writes.settled().catch(noted);
    if (this.#flushMs > 0) for (const record of claimed) this.#mine.set(record.id, { ...record });
    return claimed;
  }

  apply(changes: readonly Change[], now: number): Promise<(Applied | null)[]> {
    const only = changes.length === 1 ? changes[0] : undefined;
    // Nearly all calls: one worker's word on one task.
    if (only && !this.#closing && !(isOfNobody(only) && this.#node.isHolding))
      return new Promise((resolve, failed) => this.#write(only, now, (answer) => resolve([answer]), failed));
    return this.#applyAll(changes, now);
  }

  async #applyAll(changes: readonly Change[], now: number): Promise<(Applied | null)[]> {
    this.#use();
    const waiting = changes.filter(isOfNobody).map(({ id }) => id);
    // Who writes a waiting task may meet one that is held here, or on its way here.
    if (waiting.length > 0 && this.#node.isHolding) await this.#node.release(waiting, now);
    return Promise.all(
      changes.map(
        (change) =>
          new Promise<Applied | null>((resolve, failed) => this.#write(change, now, resolve, failed)),
      ),
    );
  }

  async get(ids: readonly string[]): Promise<(TaskRecord | null)[]> {
    await this.#written();
    const records = await this.#remote.get(ids);
    // What was read may be the effect of a write that is being answered: whoever made it hears of it first.
    if (this.#writes.isMoving(ids)) await this.#heard();
    return records;
  }

  async list(query: ListQuery): Promise<ListPage> {
    await this.#written();
    return this.#remote.list(query);
  }

  async history(id: string): Promise<TaskEvent[]> {
    await this.#written();
    return this.#remote.history(id);
  }

  /** The store must know of the claim under whose fence they are written. */
  async appendLogs(loggings: readonly Logging[]): Promise<boolean[]> {
    await this.#written();
    return this.#remote.appendLogs(loggings);
  }

  async log(id: string, after: number, limit: number): Promise<TaskLog> {
    await this.#written();
    return this.#remote.log(id, after, limit);
  }

  async expired(now: number, limit: number): Promise<TaskRecord[]> {
    await this.#written();
    return this.#remote.expired(now, limit);
  }

  async alarmed(now: number, limit: number): Promise<TaskRecord[]> {
    await this.#written();
    return this.#remote.alarmed(now, limit);
  }

  /** Who asks about keys sees them without the places of what this node holds: it goes back first. */
  async gates(keys: readonly string[] | null): Promise<(Gate | null)[]> {
    await this.#written();
    const held = this.#shelf.idsUnder(keys);
    if (held.length > 0) await this.#node.release(held);
    return this.#remote.gates(keys);
  }

  /** Once a change has resolved that lets less through, every node has given back what it held. */
  async setGates(changes: readonly GateChange[], now: number): Promise<void> {
    await this.#written();
    await this.#remote.setGates(changes, now);
    this.#shelf.changed();
    this.#shelf.quotasChanged();
    if (changes.some(mayShut)) await this.#recalled();
  }

  /** It is stored, whether all who live have given back or not. */
  async #afterRecall({ recalls, ...outcome }: InsertOutcome): Promise<InsertOutcome> {
    await this.#recalled(ALIVE_MS).catch(noted);
    return outcome;
  }

  async #recalled(msMax?: number): Promise<void> {
    await this.#node.yield();
    await this.#givenBack(() => this.#remote.recalled(), msMax);
  }

  #givenBack(count: () => Promise<number>, msMax?: number): Promise<void> {
    const isOver = () => this.#closing !== null;
    return givenBack({ count, clock: this.#clock, isOver, ...(msMax !== undefined && { msMax }) });
  }

  async outlook(now: number): Promise<Outlook> {
    await this.#written();
    return this.#remote.outlook(now);
  }

  async unjudged(limit: number): Promise<UnjudgedEdge[]> {
    await this.#written();
    return this.#remote.unjudged(limit);
  }

  async judge(verdicts: readonly Verdict[], now: number): Promise<Effects> {
    await this.#written();
    const effects = await this.#remote.judge(verdicts, now);
    if (effects.released.length > 0) this.#shelf.changed();
    return effects;
  }

  async counts(now: number): Promise<StoreCounts> {
    await this.#written();
    const counts = await this.#remote.counts(now);
    const held = this.#shelf.oldestAt();
    const oldestReadyAt = Math.min(
      held ?? Number.POSITIVE_INFINITY,
      counts.oldestReadyAt ?? Number.POSITIVE_INFINITY,
    );
    return {
      ...counts,
      oldestReadyAt: oldestReadyAt === Number.POSITIVE_INFINITY ? null : oldestReadyAt,
      readyKinds: kindsOf([...counts.readyKinds, ...this.#shelf.kinds()]),
    };
  }

  /** Once a pause has resolved, every node has given back what it held, or was silent for too long. */
  async setPaused(paused: boolean): Promise<void> {
    this.#use();
    await this.#remote.setPaused(paused);
    this.#shelf.changed();
    if (!paused) return;
    await this.#node.yield();
    await this.#givenBack(() => this.#remote.nodes());
  }

  async isPaused(): Promise<boolean> {
    this.#use();
    return this.#remote.isPaused();
  }

  async purge(endedBefore: number, limit: number): Promise<Purged> {
    await this.#written();
    return this.#remote.purge(endedBefore, limit);
  }

  watch(listener: (isNew?: boolean) => void): () => void {
    this.#use();
    const call = (isNew?: boolean) => listener(isNew);
    this.#watchers.add(call);
    const unwatch = this.#remote.watch(call);
    return () => {
      this.#watchers.delete(call);
      unwatch();
    };
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    this.#watchers.clear();
    this.#claims.close();
    await this.#lastWrites();
    this.#writes.close();
    await this.#node.close().catch(this.#onError);
    await this.#remote.close();
  }

  async #lastWrites(): Promise<void> {
    const written = this.#writes.drained().catch(this.#onError);
    let timer: unknown;
    const late = new Promise<void>((resolve) => {
      timer = this.#clock.setTimeout(resolve, CLOSE_MS_MAX);
    });
    await Promise.race([written, late]);
    this.#clock.clearTimeout(timer);
  }

  #use(): void {
    if (this.#closing) throw new ClosedError('the store');
  }

  #notify(): void {
    for (const listener of this.#watchers) listener();
  }

  async #heard(): Promise<void> {
    await this.#writes.drained().catch(() => {});
    await nextTurn();
  }

  /** Reads see what was acknowledged before them. */
  #written(): Promise<void> {
    this.#use();
    return this.#writes.settled();
  }

  readonly #claimFailed = (error: unknown): void => {
    if (!this.#closing) this.#onError(error);
    this.#notify();
  };

  #write(
    change: Change,
    now: number,
    resolve: (applied: Applied | null) => void,
    failed: (error: unknown) => void,
  ): void {
    const early = this.#flushMs > 0 ? this.#acknowledge(change, now) : null;
    if (early) {
      resolve(early);
      return;
    }
    const done = (applied: Applied | null) => {
      if (applied) {
        // A look that was on its way may have brought it here as it was before.
        this.#shelf.dropBefore(applied.record);
        this.#follow(applied, now);
        if (change.closes) {
          this.#withhold(change.closes, now);
          // Nothing starts anywhere from then on.
          const givenBack = this.#givenBack(() => this.#remote.recalled(), ALIVE_MS);
          void givenBack.catch(noted).then(() => resolve(applied));
          return;
        }
      }
      resolve(applied);
    };
    if (change.closes) this.#withhold(change.closes, now);
    this.#writes.push({ change, now, patientUntil: this.#patientUntil(change), done, failed });
  }

  /** Nothing starts under keys that close, from before the store knows of it. */
  #withhold(closes: NonNullable<Change['closes']>, now: number): void {
    const held = this.#shelf.idsUnder(closes.map(({ key }) => key));
    this.#node.returned(this.#shelf.putBack(held), now);
  }

  /**
   * How a worker of this process ended its own task waits for the store as long as a hold would last. A
   * heartbeat does not: who sends it counts the time, and a late one is worth nothing.
   */
  #patientUntil({ event }: Change): number {
    const isOwn = event?.worker !== undefined && this.#owners.has(event.worker) && event.to !== 'cancelled';
    return isOwn ? this.#clock.now() + this.#leaseMs * 1.25 : 0;
  }

  /** Something may wait now that did not before. */
  #follow({ record, effects, opened }: Applied, now: number): void {
    if (effects.released.length > 0) this.#shelf.changed();
    if (opened) this.#shelf.quotasChanged();
    if (record.status !== 'pending' && record.status !== 'retrying') return;
    if (record.runAt > now) this.#shelf.due(record.runAt);
    else this.#shelf.arrived(record, record);
  }

  /** With `flushMs` a worker's word on its own task is taken at once, by the record as last acknowledged. */
  #acknowledge(change: Change, now: number): Applied | null {
    const mine = this.#mine.get(change.id);
    if (change.dependsOn || change.closes) return null;
    if (!mine || mine.version !== change.version || mine.owner === null || this.#writes.isFull) return null;
    const { event, next } = change;
    const record = { ...mine, ...next, version: mine.version + 1, events: mine.events + (event ? 1 : 0) };
    if (isLeased(record.status)) this.#mine.set(record.id, record);
    else this.#mine.delete(record.id);
    const done = (applied: Applied | null) => this.#acknowledgedBefore(applied, now);
    this.#writes.push({ change, now, patientUntil: FOR_EVER, done, failed: this.#claimFailed }, true);
    return { record: { ...record, blockedBy: [] }, effects: NO_EFFECTS };
  }

  #acknowledgedBefore(applied: Applied | null, now: number): void {
    if (applied) this.#follow(applied, now);
    // Nobody else hears of what this ending released, or that it was refused.
    if (!applied || applied.effects.released.length > 0) this.#notify();
  }
}

/**
 * A claim raises fence and version, and so does what ends it: a fence that ran ahead was used up by a node that
 * died before it had written its claim, perhaps of this very task. The next start is stored before it begins.
 */
function mayBePoison({ fence, version }: TaskRecord): boolean {
  return fence * 2 > version;
}

/** The answer to a claim: who asked has gone on already. */
function noted(): void {}

/** Neither written by the holder of a lease, nor of a task that has one. */
function isOfNobody({ event, next }: Change): boolean {
  return next.owner === null && event?.worker === undefined;
}
