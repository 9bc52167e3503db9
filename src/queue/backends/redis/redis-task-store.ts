import { ClosedError } from '../../../errors.ts';
import type { RedisConnection } from '../../../redis/redis-connection.ts';
import type { Gate } from '../../gate.ts';
import type { HeldChange } from '../../holding-store.ts';
import type { TaskEvent } from '../../task.ts';
import type { TaskLog } from '../../task-log.ts';
import {
  type Applied,
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
import { type Application, isSkipped, sizeOfApplication, toApplied, unknownIds } from './applications.ts';
import { BATCH_TASKS_MAX, Batcher } from './batcher.ts';
import { changeArguments } from './change-text.ts';
import { claimUpTo } from './claim-up-to.ts';
import { gateWords } from './gate-text.ts';
import { HandOver } from './hand-over.ts';
import { Holders } from './holders.ts';
import { type Insertion, isStaged, sendInsertions, sizeOfInsertion, toInsertion } from './insertions.ts';
import { KnownTasks } from './known-tasks.ts';
import { purge } from './purge.ts';
import type { FirstState } from './record-text.ts';
import { RedisLogs } from './redis-logs.ts';
import { RedisRegistry } from './redis-registry.ts';
import type { RedisStoreOptions } from './redis-store-options.ts';
import { RedisTaskReader } from './redis-task-reader.ts';
import { Relay } from './relay.ts';
import { claimArguments, isLarge, readClaimed, readRecords, toEffects, verdictWords } from './replies.ts';
import { ScriptRunner } from './script-runner.ts';
import { StoreSignal } from './store-signal.ts';

/** Batches of one kind under way at the same time: one is worked on while the next is made. */
const PARALLEL = 2;

/** A queue's tasks in Redis, shared by any number of processes. */
export class RedisTaskStore implements TaskStore {
  /** Hints come by pub/sub, and after an outage in any case. */
  readonly pollMs = 10_000;
  readonly registry: RedisRegistry;
  readonly #connection: RedisConnection;
  readonly #prefix: string;
  readonly #scripts: ScriptRunner;
  readonly #isTimedByRedis: boolean;
  readonly #reader: RedisTaskReader;
  readonly #signal: StoreSignal;
  protected readonly known = new KnownTasks();
  protected readonly holders: Holders;
  readonly #inserts: Batcher<Insertion, InsertOutcome>;
  readonly #claims: Batcher<Claim, TaskRecord[]>;
  readonly #handOver: HandOver;
  readonly #changes: Batcher<Application, (Applied | null)[]>;
  readonly #logs: RedisLogs;
  /** Absent where tasks are not handed over between processes. */
  readonly #relay: Relay | undefined;
  #closing: Promise<void> | undefined;

  constructor({ connection, prefix = 'jotty', time, ...hooks }: RedisStoreOptions) {
    this.#connection = connection;
    this.#prefix = prefix;
    this.#scripts = new ScriptRunner(connection, prefix, time ?? null, hooks);
    this.holders = new Holders(this.#scripts, () => this.holdsAhead || this.#closing !== undefined);
    this.registry = new RedisRegistry(this.#scripts);
    this.#reader = new RedisTaskReader(this.#scripts);
    this.#isTimedByRedis = time !== undefined;
    this.#signal = new StoreSignal(connection, this.#scripts);
    this.#inserts = new Batcher({
      send: (items, slot) =>
        this.#relay ? this.#relay.insert(items, slot) : sendInsertions(this.#scripts, items, slot),
      keyOf: ({ now }) => this.#keyOf(now),
      sizeOf: sizeOfInsertion,
      parallel: PARALLEL,
      isHalved: true,
      sendSoon: () => this.#handOver.flush(),
    });
    this.#handOver = new HandOver({
      inserts: this.#inserts,
      claims: () => this.#claims,
      insert: async (item, slot) => (await sendInsertions(this.#scripts, [item], slot))[0]!,
      claim: (item, slot) => this.#claimOnce(item, item.limit, slot),
      scripts: this.#scripts,
      terms: (claim) => [this.judgeAt(claim.now), this.leaseEnd(claim.leaseExpiresAt, claim.now)],
      firstState: (claim, at) => this.#firstState(claim, at),
      onClaimed: (claim, record) => this.#remember(claim, [record]),
    });
    this.#claims = new Batcher({
      send: (items, slot) => this.#sendClaims(items, slot),
      keyOf: (claim) => this.#claimKey(claim),
      sizeOf: ({ limit }) => limit / BATCH_TASKS_MAX,
      parallel: PARALLEL,
      // Who is woken by a submission of this turn must find it.
      after: this.#handOver,
      isUrgent: isLarge,
    });
    this.#changes = new Batcher({
      send: (items, slot) => this.sendChanges(items, slot),
      keyOf: ({ now }) => this.#keyOf(now),
      sizeOf: sizeOfApplication,
      parallel: PARALLEL,
    });
    this.#logs = new RedisLogs(this.#scripts);
    // Redis counts who listens on one node only; what is replicated must be so before it is acted on.
    if (time === undefined || connection.isCluster || hooks.onWritten || this.holdsAhead) return;
    const [scripts, reader, signal, known] = [this.#scripts, this.#reader, this.#signal, this.known];
    const [changes, isAlone] = [this.#changes, () => this.#claims.isEmpty];
    this.#relay = new Relay({ connection, scripts, reader, signal, known, time, changes, isAlone });
  }

  /**
   * Whether who uses this store holds tasks ahead, and waits itself for those who do. Otherwise tasks are handed over to
   * store objects of other processes that have nothing to do, and to this one.
   */
  protected get holdsAhead(): boolean {
    return false;
  }

  async insert(
    records: readonly NewRecord[],
    now: number,
    rules: readonly GateChange[] = [],
  ): Promise<InsertOutcome> {
    this.#use();
    if (records.length === 0) return { conflicts: [], unknown: [], effects: NO_EFFECTS };
    const { isOpen } = this.#scripts;
    const { resent } = this.#connection;
    const insertion = toInsertion(records, now, isOpen ? 0 : await this.#scripts.skewAtOpening(), rules);
    const outcome = await this.#inserts.ask(insertion);
    // A claim that was to come after it may have come before it.
    if (!isOpen || isStaged(insertion) || resent !== this.#connection.resent) this.#signal.hint();
    return outcome.recalls ? this.holders.after(Promise.resolve(outcome)) : outcome;
  }

  async claim(claim: Claim): Promise<TaskRecord[]> {
    this.#use();
    if (claim.limit <= 0) return [];
    const granted = this.#relay?.take(claim);
    return granted ? [granted] : this.#claims.ask(claim);
  }

  async apply(changes: readonly HeldChange[], now: number): Promise<(Applied | null)[]> {
    this.#use();
    if (changes.length <= BATCH_TASKS_MAX) return changes.length === 0 ? [] : this.#applyFew(changes, now);
    const parts: Promise<(Applied | null)[]>[] = [];
    for (let from = 0; from < changes.length; from += BATCH_TASKS_MAX) {
      parts.push(this.#applyFew(changes.slice(from, from + BATCH_TASKS_MAX), now));
    }
    return (await Promise.all(parts)).flat();
  }

  #applyFew(changes: readonly HeldChange[], now: number): Promise<(Applied | null)[]> {
    const asked = this.#changes.ask({ changes, now });
    return changes.some(({ closes }) => closes) ? this.holders.after(asked) : asked;
  }

  async get(ids: readonly string[]): Promise<(TaskRecord | null)[]> {
    this.#use();
    const byId = await this.#reader.read(ids);
    for (const record of byId.values()) this.known.put(record);
    const seen = new Set<string>();
    return ids.map((id) => {
      const record = byId.get(id);
      // Nobody gets an object that somebody else got too.
      return record === undefined ? null : seen.size === seen.add(id).size ? { ...record } : record;
    });
  }

  async list(query: ListQuery): Promise<ListPage> {
    this.#use();
    return this.#reader.list(query);
  }

  async history(id: string): Promise<TaskEvent[]> {
    this.#use();
    return this.#reader.history(id);
  }

  async outlook(now: number): Promise<Outlook> {
    this.#use();
    return this.#reader.outlook(now);
  }

  async alarmed(now: number, limit: number): Promise<TaskRecord[]> {
    this.#use();
    return readRecords(await this.#scripts.run('alarmed', { now, values: [limit] }), 0);
  }

  async gates(keys: readonly string[] | null): Promise<(Gate | null)[]> {
    this.#use();
    return this.#reader.gates(keys);
  }

  async setGates(changes: readonly GateChange[], now: number): Promise<void> {
    this.#use();
    if (changes.length === 0) return;
    const values = changes.flatMap(gateWords);
    await this.#scripts.run('setGates', { now: this.judgeAt(now), isWrite: true, values });
    if (changes.some(mayShut)) await this.holders.givenBack(this.holders.recalled);
  }

  async unjudged(limit: number): Promise<UnjudgedEdge[]> {
    this.#use();
    return this.#reader.unjudged(limit);
  }

  async counts(now: number): Promise<StoreCounts> {
    this.#use();
    return this.#reader.counts(now);
  }

  async appendLogs(loggings: readonly Logging[]): Promise<boolean[]> {
    this.#use();
    return loggings.length === 0 ? [] : this.#logs.ask(loggings);
  }

  async log(id: string, after: number, limit: number): Promise<TaskLog> {
    this.#use();
    return this.#logs.read(id, after, limit);
  }

  async expired(now: number, limit: number): Promise<TaskRecord[]> {
    this.#use();
    return readRecords(await this.#scripts.run('expired', { now: this.judgeAt(now), values: [limit] }), 0);
  }

  async judge(verdicts: readonly Verdict[], now: number): Promise<Effects> {
    this.#use();
    const values = verdicts.flatMap(verdictWords);
    return toEffects(await this.#scripts.run('judge', { now, mark: this.#scripts.ownMark('j'), values }), 0);
  }

  async setPaused(paused: boolean): Promise<void> {
    this.#use();
    await this.#scripts.run('pause', { now: 0, isWrite: true, values: [paused ? 1 : 0] });
    if (paused) await this.holders.givenBack(this.holders.all);
  }

  async isPaused(): Promise<boolean> {
    this.#use();
    return (await this.#scripts.call('HGET', 'c', 'paused')) === '1';
  }

  async purge(endedBefore: number, limit: number): Promise<Purged> {
    this.#use();
    const mark = this.#scripts.ownMark('p');
    const [connection, prefix, scripts] = [this.#connection, this.#prefix, this.#scripts];
    return purge({ connection, prefix, scripts, mark }, Math.max(0, endedBefore), limit);
  }

  watch(listener: (isNew?: boolean) => void): () => void {
    this.#use();
    const unwatch = this.#signal.watch(listener);
    return this.#relay ? this.#relay.watch(unwatch) : unwatch;
  }

  /** Resolves after the writes in flight. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    await this.#relay?.close();
    const batchers = [this.#inserts, this.#claims, this.#changes, this.#logs];
    await Promise.all(batchers.map((batcher) => batcher.idle()));
    await this.#signal.close();
    await this.#scripts.close();
  }

  /** Resolves when all submissions of this process are on their way: who is woken by one must find it. */
  protected readonly submitted = (): Promise<void> => this.#inserts.dispatched();

  /** For what else is asked of the same queue. */
  protected get scripts(): ScriptRunner {
    this.#use();
    return this.#scripts;
  }

  #use(): void {
    if (this.#closing) throw new ClosedError('the task store');
  }

  /** With injected time every call is judged by its own; by Redis it is the same for all. */
  #keyOf(now: number): number {
    return this.#isTimedByRedis ? 0 : now;
  }

  protected judgeAt(now: number): number | '' {
    return this.#isTimedByRedis ? '' : now;
  }

  protected leaseEnd(leaseExpiresAt: number, now: number): string {
    return this.#isTimedByRedis ? `+${leaseExpiresAt - now}` : String(leaseExpiresAt);
  }

  #claimKey({ owner, leaseExpiresAt, filter, to, now }: Claim): string {
    const parts = filter === null ? '' : JSON.stringify(filter);
    return `${owner} ${to} ${this.leaseEnd(leaseExpiresAt, now)} ${this.#keyOf(now)} ${parts}`;
  }

  /** Claims that ask for the same are one claim; what it takes is dealt out in the order they came. */
  async #sendClaims(claims: readonly Claim[], slot: number): Promise<TaskRecord[][]> {
    const limit = claims.reduce((sum, claim) => sum + claim.limit, 0);
    const records = await this.#claimOnce(claims[0]!, limit, slot);
    let taken = 0;
    return claims.map((claim) => {
      const own = records.slice(taken, taken + claim.limit);
      taken += own.length;
      return own;
    });
  }

  #claimOnce(claim: Claim, limit: number, slot: number): Promise<TaskRecord[]> {
    return claimUpTo(limit, (rest) => this.claimTold({ ...claim, limit: rest }, `c${slot}`));
  }

  /** One call of the script: what it took, and what else it says. `beside`: places of tasks held ahead. */
  protected async claimTold(
    claim: Claim,
    mark: string,
    beside?: readonly number[],
  ): Promise<{ readonly records: TaskRecord[]; readonly told: unknown }> {
    const { leaseExpiresAt, now } = claim;
    const values = claimArguments(claim, this.leaseEnd(leaseExpiresAt, now), beside);
    const askedAt = performance.now();
    const isUrgent = isLarge(claim);
    const reply = await this.#scripts.claim({ now: this.judgeAt(now), mark, isUrgent, values });
    const at = reply[0] as number;
    this.#scripts.learn(at, askedAt);
    const records = readClaimed(reply, this.#firstState(claim, at));
    this.#remember(claim, records);
    return { records, told: reply[1] };
  }

  #remember(claim: Claim, records: readonly TaskRecord[]): void {
    for (const record of records) this.known.put(record);
    this.#relay?.claimed(claim, records);
  }

  /** What a claim makes of a task that was never claimed. */
  #firstState({ owner, leaseExpiresAt, to, now }: Claim, at: number): FirstState {
    return {
      status: to,
      fence: 1,
      owner,
      leaseExpiresAt: this.#isTimedByRedis ? at + leaseExpiresAt - now : leaseExpiresAt,
      startedAt: to === 'in_progress' ? at : null,
      version: 2,
    };
  }

  /** Sends these in one call. Calls of one slot are made one after another. */
  protected async sendChanges(
    items: readonly Application[],
    slot: number | string,
  ): Promise<(Applied | null)[][]> {
    const leaseEnd = (leaseExpiresAt: number, at: number) => this.leaseEnd(leaseExpiresAt, at);
    const values = changeArguments(items, this.known, leaseEnd);
    const { now } = items.at(-1)!;
    const reply = await this.#scripts.run('apply', { now, mark: `a${slot}`, values });
    this.#relay?.changed(items);
    const ids = unknownIds(items, reply, this.known);
    const read = ids.length === 0 ? undefined : await this.#reader.read(ids);
    const at = reply[0] as number;
    const opened = reply.at(-1) === 1;
    let i = 1;
    return items.map(({ changes, now }) =>
      changes.map((change) => {
        const answer = reply[i++];
        if (answer === 0) return null;
        const identity = change.identity ?? this.known.get(change.id) ?? read?.get(change.id);
        if (identity && isSkipped(change, answer)) {
          const record = read!.get(change.id)!;
          return { record, effects: toEffects(answer as unknown[], 1) };
        }
        if (!identity) return null;
        const applied = toApplied(change, identity, answer, this.#isTimedByRedis ? at - now : 0, opened);
        this.known.follow(applied.record);
        return applied;
      }),
    );
  }
}
