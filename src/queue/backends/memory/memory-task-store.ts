import { ClosedError } from '../../../errors.ts';
import type { Gate } from '../../gate.ts';
import { threadsOf } from '../../limits.ts';
import type { Quota } from '../../quota.ts';
import {
  type EndStatus,
  isEnded,
  isLeased,
  TASK_STATUSES,
  type TaskEvent,
  type TaskStatus,
} from '../../task.ts';
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
  type NewRecord,
  NO_EFFECTS,
  type Outlook,
  type Purged,
  type StoreCounts,
  type TaskRecord,
  type TaskState,
  type TaskStore,
  type UnjudgedEdge,
  type Verdict,
} from '../../task-store.ts';
import { Alarms } from './alarms.ts';
import { Decided, DependencyEdges } from './dependency-edges.ts';
import { EndedEntries } from './ended-entries.ts';
import { LeasedEntries } from './leased-entries.ts';
import { assignState, copyOf, type MemoryEntry, NO_IDS, newEdges } from './memory-entry.ts';
import { MemoryGates } from './memory-gates.ts';
import { MemoryLogs } from './memory-logs.ts';
import { MemoryRegistry } from './memory-registry.ts';
import { appendEvent, eventsOf } from './past-event.ts';
import { TaskTable } from './task-table.ts';
import { WaitingEntries } from './waiting-entries.ts';

/**
 * Tasks in this process's memory: the reference for what the other stores do, and gone with the process.
 * Every method works in one synchronous piece, which is what makes it atomic.
 */
export class MemoryTaskStore implements TaskStore {
  readonly isInProcess = true;
  readonly registry = new MemoryRegistry();
  readonly #tasks = new TaskTable();
  readonly #gates = new MemoryGates();
  readonly #waiting = new WaitingEntries(this.#gates);
  readonly #alarms = new Alarms();
  readonly #leased = new LeasedEntries();
  readonly #ended = new EndedEntries();
  readonly #logs = new MemoryLogs();
  readonly #edges = new DependencyEdges({
    get: (id) => this.#tasks.get(id),
    release: (entry, now) => this.#waiting.place(entry, now),
    skip: (entry, reason, now, decided) => this.#skip(entry, reason, now, decided),
  });
  readonly #statusCounts = Object.fromEntries(TASK_STATUSES.map((status) => [status, 0])) as Record<
    TaskStatus,
    number
  >;
  readonly #watchers = new Set<() => void>();
  #paused = false;
  #isClosed = true;

  /**
   * Opens it here, not where the field stands: a field that is set but once is compiled in as a constant, and the
   * first close in a process would throw away all code that looks at it.
   */
  constructor() {
    this.#isClosed = false;
  }

  async insert(
    records: readonly NewRecord[],
    now: number,
    rules: readonly GateChange[] = [],
  ): Promise<InsertOutcome> {
    this.#use();
    const conflicts = this.#conflicts(records);
    const isLinked = records.some((record) => record.dependsOn.length > 0);
    const unknown = isLinked && conflicts.length === 0 ? this.#unknownDependencies(records) : [];
    if (conflicts.length > 0 || unknown.length > 0) return { conflicts, unknown, effects: NO_EFFECTS };
    for (const rule of rules) this.#gates.set(rule);
    const entries = records.map((record) => this.#add(record));
    this.#statusCounts.pending += entries.length;
    const effects = isLinked ? this.#link(entries, now) : NO_EFFECTS;
    for (const entry of entries) this.#waiting.place(entry, now);
    this.#notify();
    return { conflicts, unknown, effects };
  }

  async claim(claim: Claim): Promise<TaskRecord[]> {
    this.#use();
    if (this.#paused) return [];
    this.#waiting.promoteDue(claim.now);
    const records: TaskRecord[] = [];
    for (const entry of this.#claimable(claim)) records.push(this.#lease(entry, claim));
    if (records.length > 0) this.#notify();
    return records;
  }

  async apply(changes: readonly Change[], now: number): Promise<(Applied | null)[]> {
    this.#use();
    // Of the right length at once: most often it is one, and a list that grows makes room for seventeen.
    const applied = changes.map((change) => this.#apply(change, now));
    this.#notify();
    return applied;
  }

  async get(ids: readonly string[]): Promise<(TaskRecord | null)[]> {
    this.#use();
    return ids.map((id) => {
      const entry = this.#tasks.get(id);
      return entry ? copyOf(entry) : null;
    });
  }

  async list(query: ListQuery): Promise<ListPage> {
    this.#use();
    return this.#tasks.list(query);
  }

  async history(id: string): Promise<TaskEvent[]> {
    this.#use();
    const entry = this.#tasks.get(id);
    return entry ? eventsOf(entry) : [];
  }

  async appendLogs(loggings: readonly Logging[]): Promise<boolean[]> {
    this.#use();
    const added = loggings.map((logging) => this.#logs.add(this.#tasks.get(logging.id), logging));
    this.#notify();
    return added;
  }

  async log(id: string, after: number, limit: number): Promise<TaskLog> {
    this.#use();
    return this.#logs.read(id, after, limit);
  }

  async expired(now: number, limit: number): Promise<TaskRecord[]> {
    this.#use();
    return this.#leased.overdue(now, limit).map(copyOf);
  }

  async alarmed(now: number, limit: number): Promise<TaskRecord[]> {
    this.#use();
    return this.#alarms.ringing(now, limit).map(copyOf);
  }

  async outlook(now: number): Promise<Outlook> {
    this.#use();
    this.#waiting.promoteDue(now);
    const hasAlarmed = this.#alarms.ringing(now, 1).length > 0;
    const times = [this.#waiting.nextDueAt(), this.#alarms.nextAt(), this.#gates.nextOpening(now)];
    return {
      hasExpired: this.#leased.overdue(now, 1).length > 0,
      hasAlarmed,
      hasUnjudged: this.#edges.unjudged(1).length > 0,
      hasPending: this.#statusCounts.pending + this.#statusCounts.retrying > 0,
      nextDueAt: earliest(times.filter((at) => at !== null)),
    };
  }

  async gates(keys: readonly string[] | null): Promise<(Gate | null)[]> {
    this.#use();
    return this.#gates.get(keys);
  }

  async setGates(changes: readonly GateChange[]): Promise<void> {
    this.#use();
    for (const change of changes) this.#gates.set(change);
    this.#notify();
  }

  async unjudged(limit: number): Promise<UnjudgedEdge[]> {
    this.#use();
    return this.#edges.unjudged(limit);
  }

  async judge(verdicts: readonly Verdict[], now: number): Promise<Effects> {
    this.#use();
    const decided = new Decided();
    for (const verdict of verdicts) this.#edges.judge(verdict, now, decided);
    this.#notify();
    return decided.effects;
  }

  async counts(now: number): Promise<StoreCounts> {
    this.#use();
    this.#waiting.promoteDue(now);
    return {
      byStatus: { ...this.#statusCounts },
      delayed: this.#waiting.delayed,
      blocked: this.#waiting.blocked,
      oldestReadyAt: this.#waiting.oldestReadyAt(),
      readyKinds: this.#waiting.readyKinds(),
      endedPerMinute: this.#ended.perMinute(now),
      paused: this.#paused,
    };
  }

  async setPaused(paused: boolean): Promise<void> {
    this.#use();
    this.#paused = paused;
    this.#notify();
  }

  async isPaused(): Promise<boolean> {
    this.#use();
    return this.#paused;
  }

  async purge(endedBefore: number, limit: number): Promise<Purged> {
    this.#use();
    const tasks: string[] = [];
    while (tasks.length < limit) {
      const entry = this.#ended.takeBefore(endedBefore);
      if (!entry) break;
      if (!this.#tasks.holds(entry)) continue;
      this.#remove(entry);
      tasks.push(entry.record.id);
    }
    const freed = threadsOf(this.#gates.forgetIdle(endedBefore)).filter((id) => !this.#tasks.has(id));
    return { tasks, threads: [...tasks.filter((id) => !this.#gates.isShared(id)), ...freed] };
  }

  watch(listener: () => void): () => void {
    this.#watchers.add(listener);
    return () => {
      this.#watchers.delete(listener);
    };
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    this.#watchers.clear();
  }

  #use(): void {
    if (this.#isClosed) throw new ClosedError('the store');
  }

  /** Writes of a single user are no news to it, and with one watcher there is only one user. */
  #notify(): void {
    if (this.#watchers.size > 1) for (const listener of this.#watchers) listener();
  }

  #add(record: NewRecord): MemoryEntry {
    const entry = this.#tasks.add(record);
    if (record.quota) this.#gates.addTask(record.quota);
    if (record.alarmAt !== null) this.#alarms.move(entry, null);
    return entry;
  }

  #conflicts(records: readonly NewRecord[]): TaskRecord[] {
    const conflicts: TaskRecord[] = [];
    for (const { id } of records) {
      const entry = this.#tasks.get(id);
      if (entry) conflicts.push(copyOf(entry));
    }
    return conflicts;
  }

  #unknownDependencies(records: readonly NewRecord[]): { index: number; dependencyId: string }[] {
    const inBatch = new Set(records.map((record) => record.id));
    return records.flatMap((record, index) =>
      record.dependsOn
        .filter(({ dependencyId }) => !inBatch.has(dependencyId) && !this.#tasks.has(dependencyId))
        .map(({ dependencyId }) => ({ index, dependencyId })),
    );
  }

  #link(entries: readonly MemoryEntry[], now: number): Effects {
    const decided = new Decided();
    for (const entry of entries) this.#edges.link(entry, now, decided);
    return decided.effects;
  }

  #claimable({ filter, limit, now }: Claim): MemoryEntry[] {
    if (!filter?.ids) return this.#waiting.take(limit, filter, now);
    const wanted = [...new Set(filter.ids)].flatMap((id) => this.#tasks.get(id) ?? []);
    return this.#waiting.takeAmong(wanted, limit, filter, now);
  }

  #lease(entry: MemoryEntry, { to, owner, leaseExpiresAt, now }: Claim): TaskRecord {
    const { record } = entry;
    appendEvent(entry, { from: record.status, to, at: now, worker: owner });
    this.#count(record.status, to);
    record.status = to;
    record.fence++;
    record.owner = owner;
    record.leaseExpiresAt = leaseExpiresAt;
    if (record.alarmAt !== null) this.#silence(entry);
    record.startedAt = to === 'in_progress' ? now : null;
    record.version++;
    this.#leased.add(entry);
    this.#waiting.remove(entry);
    return copyOf(entry);
  }

  #apply(change: Change, now: number): Applied | null {
    const entry = this.#leased.get(change.id) ?? this.#tasks.get(change.id);
    if (!entry || entry.record.version !== change.version) return null;
    const decided = entry.dependents || change.dependsOn ? new Decided() : null;
    if (entry.record.quota && change.spent)
      this.#gates.correct(entry.record.quota, change.spent, entry.record.startedAt ?? now);
    if (change.closes) for (const { key, until } of change.closes) this.#gates.close(key, until);
    if (change.log) this.#logs.append(entry, change.log);
    this.#write(entry, change, now, decided);
    return { record: copyOf(entry), effects: decided ? decided.effects : NO_EFFECTS };
  }

  #skip(entry: MemoryEntry, reason: string, now: number, decided: Decided): void {
    const next: TaskState = { ...entry.record, status: 'skipped', alarmAt: null, completedAt: now };
    this.#write(entry, { next, event: { from: 'pending', to: 'skipped', at: now, reason } }, now, decided);
  }

  #silence(entry: MemoryEntry): void {
    const before = entry.record.alarmAt;
    entry.record.alarmAt = null;
    this.#alarms.move(entry, before);
  }

  /** The one place where a task changes: state, history, counters, where it waits, and who waits for it. */
  #write(
    entry: MemoryEntry,
    { next, event, dependsOn, join = 'all' }: Pick<Change, 'next' | 'event' | 'dependsOn' | 'join'>,
    now: number,
    decided: Decided | null,
  ): void {
    const { record } = entry;
    const { status: before, alarmAt } = record;
    if (event) appendEvent(entry, event);
    assignState(record, next);
    if (record.alarmAt !== alarmAt) this.#alarms.move(entry, alarmAt);
    if (record.quota) this.#moveThroughGates(record.quota, before, next.status);
    record.version++;
    this.#count(before, next.status);
    if (isLeased(next.status) !== isLeased(before)) {
      if (isLeased(next.status)) this.#leased.add(entry);
      else this.#leased.delete(entry);
    }
    if (isEnded(next.status)) record.blockedBy = NO_IDS;
    if (dependsOn && decided) {
      entry.edges = newEdges(record.id, dependsOn);
      entry.join = join;
      this.#edges.link(entry, now, decided);
    }
    this.#waiting.place(entry, now);
    if (isEnded(next.status) && !isEnded(before)) this.#end(entry, next.status, now, decided);
  }

  #remove(entry: MemoryEntry): void {
    const { id, status, quota } = entry.record;
    this.#tasks.remove(entry);
    this.#logs.remove(id);
    this.#statusCounts[status]--;
    if (quota) this.#gates.removeTask(quota);
  }

  #moveThroughGates(quota: Quota, before: TaskStatus, after: TaskStatus): void {
    if (isLeased(before) && !isLeased(after)) this.#gates.leave(quota);
    if (isEnded(after) && !isEnded(before)) this.#gates.count(quota, -1);
    if (isEnded(before) && !isEnded(after)) this.#gates.count(quota, 1);
  }

  #end(entry: MemoryEntry, status: EndStatus, now: number, decided: Decided | null): void {
    this.#ended.add(entry, status, now);
    this.#edges.end(entry, status, now, decided);
  }

  #count(before: TaskStatus, after: TaskStatus): void {
    this.#statusCounts[before]--;
    this.#statusCounts[after]++;
  }
}

function earliest(times: readonly number[]): number | null {
  return times.length === 0 ? null : Math.min(...times);
}
