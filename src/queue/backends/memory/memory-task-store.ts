import { ClosedError } from '../../../errors.ts';
import { laneMatches } from '../../claim-filter.ts';
import { skipReason } from '../../dependencies.ts';
import {
  type EndStatus,
  isEnded,
  isLeased,
  TASK_STATUSES,
  type TaskEvent,
  type TaskStatus,
} from '../../task.ts';
import {
  type Applied,
  type Change,
  type Claim,
  type Effects,
  type InsertOutcome,
  type ListPage,
  type ListQuery,
  type NewRecord,
  NO_EFFECTS,
  type StoreCounts,
  type TaskRecord,
  type TaskState,
  type TaskStore,
  THROUGHPUT_MINUTES_MAX,
  type UnjudgedEdge,
  type Verdict,
} from '../../task-store.ts';
import { Heap } from './heap.ts';
import {
  appendEvent,
  decideEdge,
  eventsOf,
  type MemoryEdge,
  type MemoryEntry,
  newEntry,
  undecidedIds,
} from './memory-entry.ts';
import { MemoryRegistry } from './memory-registry.ts';
import { isBefore, ReadyLanes } from './ready-lanes.ts';

/** A time at which an entry was to be looked at; stale when the entry has moved on since. */
interface Timed {
  readonly at: number;
  readonly entry: MemoryEntry;
}

interface MutableEffects {
  readonly released: string[];
  readonly skipped: string[];
  unjudged: boolean;
  /** Endings whose dependents are being decided. */
  readonly endings: { readonly entry: MemoryEntry; readonly status: EndStatus }[];
}

const END_STATUSES: readonly EndStatus[] = ['completed', 'failed', 'cancelled', 'skipped'];

const byTime = (a: Timed, b: Timed) => a.at < b.at;

/**
 * Tasks in this process's memory: the reference for what the other stores do, and gone with the process.
 * Every method works in one synchronous piece, which is what makes it atomic.
 */
export class MemoryTaskStore implements TaskStore {
  readonly isInProcess = true;
  readonly registry = new MemoryRegistry();
  readonly #byId = new Map<string, MemoryEntry>();
  /** In order of sequence. Purged entries leave holes until they are half of it. */
  #bySeq: MemoryEntry[] = [];
  #holes = 0;
  #lastSeq = 0;
  readonly #ready = new ReadyLanes();
  readonly #delayed = new Heap<Timed>(byTime);
  readonly #ended = new Heap<Timed>(byTime);
  readonly #leased = new Set<MemoryEntry>();
  readonly #unjudged = new Set<MemoryEdge>();
  readonly #statusCounts = Object.fromEntries(TASK_STATUSES.map((status) => [status, 0])) as Record<
    TaskStatus,
    number
  >;
  readonly #stageCounts = { ready: 0, delayed: 0, blocked: 0, none: 0 };
  readonly #endedPerMinute = new Map<number, { minute: number; status: EndStatus; count: number }>();
  readonly #watchers = new Set<() => void>();
  #paused = false;
  #isClosed = false;

  async insert(records: readonly NewRecord[], now: number): Promise<InsertOutcome> {
    this.#use();
    const conflicts = this.#conflicts(records);
    const isLinked = records.some((record) => record.dependsOn.length > 0);
    const unknown = isLinked && conflicts.length === 0 ? this.#unknownDependencies(records) : [];
    if (conflicts.length > 0 || unknown.length > 0) return { conflicts, unknown, effects: NO_EFFECTS };
    const effects = isLinked ? newEffects() : null;
    const entries = records.map((record) => this.#add(record));
    if (effects) for (const entry of entries) this.#linkEdges(entry, now, effects);
    for (const entry of entries) if (!isEnded(entry.record.status)) this.#place(entry, now);
    this.#notify();
    return { conflicts, unknown, effects: effects ? effectsOf(effects) : NO_EFFECTS };
  }

  async claim(claim: Claim): Promise<TaskRecord[]> {
    this.#use();
    if (this.#paused) return [];
    this.#promoteDue(claim.now);
    const entries = claim.filter?.ids ? this.#takeByIds(claim) : this.#ready.take(claim.limit, claim.filter);
    for (const entry of entries) this.#lease(entry, claim);
    if (entries.length > 0) this.#notify();
    return entries.map(copyOf);
  }

  async apply(changes: readonly Change[], now: number): Promise<(Applied | null)[]> {
    this.#use();
    const applied = changes.map((change) => this.#applyOne(change, now));
    this.#notify();
    return applied;
  }

  async get(ids: readonly string[]): Promise<(TaskRecord | null)[]> {
    this.#use();
    return ids.map((id) => {
      const entry = this.#byId.get(id);
      return entry ? copyOf(entry) : null;
    });
  }

  async list({ statuses, agentTypes, createdAfter, after, limit }: ListQuery): Promise<ListPage> {
    this.#use();
    const records: TaskRecord[] = [];
    for (let i = this.#indexAfter(after); i < this.#bySeq.length; i++) {
      const entry = this.#bySeq[i]!;
      const { record } = entry;
      const isWanted =
        this.#byId.get(record.id) === entry &&
        (statuses === null || statuses.includes(record.status)) &&
        (agentTypes === null || (record.agentType !== null && agentTypes.includes(record.agentType))) &&
        (createdAfter === null || record.createdAt >= createdAfter);
      if (!isWanted) continue;
      if (records.length === limit) return { records, next: records[limit - 1]!.seq };
      records.push(copyOf(entry));
    }
    return { records, next: null };
  }

  async history(id: string): Promise<TaskEvent[]> {
    this.#use();
    const entry = this.#byId.get(id);
    return entry ? eventsOf(entry) : [];
  }

  async expired(now: number, limit: number): Promise<TaskRecord[]> {
    this.#use();
    return [...this.#leased]
      .filter((entry) => (entry.record.leaseExpiresAt ?? 0) <= now)
      .sort(
        (a, b) =>
          (a.record.leaseExpiresAt ?? 0) - (b.record.leaseExpiresAt ?? 0) || a.record.seq - b.record.seq,
      )
      .slice(0, limit)
      .map(copyOf);
  }

  async nextDueAt(now: number): Promise<number | null> {
    this.#use();
    this.#promoteDue(now);
    this.#dropStaleDelayed();
    return this.#delayed.peek()?.at ?? null;
  }

  async unjudged(limit: number): Promise<UnjudgedEdge[]> {
    this.#use();
    return [...this.#unjudged]
      .slice(0, limit)
      .map(({ taskId, dependencyId, condition }) => ({ taskId, dependencyId, condition: condition ?? '' }));
  }

  async judge(verdicts: readonly Verdict[], now: number): Promise<Effects> {
    this.#use();
    const effects = newEffects();
    for (const { taskId, dependencyId, condition, holds, reason } of verdicts) {
      const entry = this.#byId.get(taskId);
      const edge = entry?.edges.find(
        (e) => e.verdict === 'unjudged' && e.dependencyId === dependencyId && e.condition === condition,
      );
      if (!entry || !edge) continue;
      this.#unjudged.delete(edge);
      edge.verdict = holds ? 'holds' : 'fails';
      this.#reconsider(entry, edge, reason, now, effects);
    }
    this.#notify();
    return effectsOf(effects);
  }

  async counts(now: number): Promise<StoreCounts> {
    this.#use();
    this.#promoteDue(now);
    return {
      byStatus: { ...this.#statusCounts },
      delayed: this.#stageCounts.delayed,
      blocked: this.#stageCounts.blocked,
      oldestReadyAt: this.#ready.oldestAt(),
      endedPerMinute: this.#endedSince(Math.floor(now / 60_000) - THROUGHPUT_MINUTES_MAX),
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

  async purge(endedBefore: number, limit: number): Promise<string[]> {
    this.#use();
    const purged: string[] = [];
    while (purged.length < limit) {
      const head = this.#ended.peek();
      if (!head || head.at >= endedBefore) break;
      this.#ended.pop();
      if (head.entry.record.completedAt !== head.at || this.#byId.get(head.entry.record.id) !== head.entry)
        continue;
      this.#remove(head.entry);
      purged.push(head.entry.record.id);
    }
    return purged;
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

  #conflicts(records: readonly NewRecord[]): TaskRecord[] {
    const conflicts: TaskRecord[] = [];
    for (const { id } of records) {
      const entry = this.#byId.get(id);
      if (entry) conflicts.push(copyOf(entry));
    }
    return conflicts;
  }

  #unknownDependencies(records: readonly NewRecord[]): { index: number; dependencyId: string }[] {
    const inBatch = new Set(records.map((record) => record.id));
    return records.flatMap((record, index) =>
      record.dependsOn
        .filter(({ dependencyId }) => !inBatch.has(dependencyId) && !this.#byId.has(dependencyId))
        .map(({ dependencyId }) => ({ index, dependencyId })),
    );
  }

  #add(record: NewRecord): MemoryEntry {
    const entry = newEntry(record, ++this.#lastSeq);
    this.#byId.set(record.id, entry);
    this.#bySeq.push(entry);
    this.#statusCounts.pending++;
    this.#stageCounts.none++;
    return entry;
  }

  /** Puts the new entry's edges in place; edges to tasks that have ended are decided at once. */
  #linkEdges(entry: MemoryEntry, now: number, effects: MutableEffects): void {
    for (const edge of entry.edges) {
      const dependency = this.#byId.get(edge.dependencyId)!;
      const { status } = dependency.record;
      if (isEnded(status)) this.#decide(entry, edge, status, now, effects);
      else dependency.dependents.push(edge);
    }
    if (entry.edges.length > 0) entry.record.blockedBy = undecidedIds(entry);
  }

  #decide(
    entry: MemoryEntry,
    edge: MemoryEdge,
    ended: EndStatus,
    now: number,
    effects: MutableEffects,
  ): void {
    if (isEnded(entry.record.status)) return;
    decideEdge(edge, ended);
    if (edge.verdict === 'unjudged') {
      this.#unjudged.add(edge);
      effects.unjudged = true;
    } else {
      this.#reconsider(entry, edge, skipReason(edge.dependencyId, edge.on, ended), now, effects);
    }
  }

  /** After an edge of a waiting task was decided: skip it, release it, or leave it blocked. */
  #reconsider(
    entry: MemoryEntry,
    edge: MemoryEdge,
    reason: string,
    now: number,
    effects: MutableEffects,
  ): void {
    const { record } = entry;
    if (record.status !== 'pending') return;
    if (edge.verdict === 'fails') {
      const next: TaskState = { ...record, status: 'skipped', completedAt: now };
      effects.skipped.push(record.id);
      this.#write(entry, next, { from: 'pending', to: 'skipped', at: now, reason }, now, effects);
      return;
    }
    record.blockedBy = undecidedIds(entry);
    record.version++;
    if (record.blockedBy.length === 0 && entry.stage === 'blocked') {
      effects.released.push(record.id);
      this.#place(entry, now);
    }
  }

  #applyOne({ id, version, next, event }: Change, now: number): Applied | null {
    const entry = this.#byId.get(id);
    if (!entry || entry.record.version !== version) return null;
    const effects = entry.dependents.length === 0 ? null : newEffects();
    this.#write(entry, next, event, now, effects);
    return { record: copyOf(entry), effects: effects ? effectsOf(effects) : NO_EFFECTS };
  }

  /** The one place where a task changes: state, history, counters, where it waits, and who waits for it. */
  #write(
    entry: MemoryEntry,
    next: TaskState,
    event: Change['event'],
    now: number,
    effects: MutableEffects | null,
  ): void {
    const { record } = entry;
    const before = record.status;
    const hasEnded = isEnded(next.status);
    if (event) appendEvent(entry, event);
    assignState(record, next);
    record.version++;
    if (hasEnded) record.blockedBy = [];
    this.#statusCounts[before]--;
    this.#statusCounts[next.status]++;
    if (isLeased(next.status)) this.#leased.add(entry);
    else this.#leased.delete(entry);
    this.#place(entry, now);
    if (hasEnded && !isEnded(before)) this.#end(entry, next.status as EndStatus, now, effects);
  }

  #end(entry: MemoryEntry, status: EndStatus, now: number, effects: MutableEffects | null): void {
    this.#countEnd(status, now);
    this.#ended.push({ at: entry.record.completedAt ?? now, entry });
    for (const edge of entry.edges) {
      this.#unjudged.delete(edge);
    }
    // Without dependents there are no effects to gather.
    if (effects && entry.dependents.length > 0) this.#cascade(entry, status, now, effects);
  }

  /** Decides the edges to a task that has ended, and to those this ends. A list, not recursion: chains are long. */
  #cascade(entry: MemoryEntry, status: EndStatus, now: number, effects: MutableEffects): void {
    effects.endings.push({ entry, status });
    if (effects.endings.length > 1) return;
    for (let i = 0; i < effects.endings.length; i++) {
      const ending = effects.endings[i]!;
      for (const edge of ending.entry.dependents.splice(0)) {
        const dependent = this.#byId.get(edge.taskId);
        if (dependent && edge.verdict === 'undecided')
          this.#decide(dependent, edge, ending.status, now, effects);
      }
    }
    effects.endings.length = 0;
  }

  #countEnd(status: EndStatus, now: number): void {
    const minute = Math.floor(now / 60_000);
    const key = minute * END_STATUSES.length + END_STATUSES.indexOf(status);
    const counted = this.#endedPerMinute.get(key);
    if (counted) {
      counted.count++;
      return;
    }
    this.#endedPerMinute.set(key, { minute, status, count: 1 });
    for (const [old, entry] of this.#endedPerMinute) {
      if (entry.minute <= minute - THROUGHPUT_MINUTES_MAX) this.#endedPerMinute.delete(old);
    }
  }

  #endedSince(minute: number): { minute: number; status: EndStatus; count: number }[] {
    return [...this.#endedPerMinute.values()]
      .filter((entry) => entry.minute > minute)
      .sort((a, b) => a.minute - b.minute || END_STATUSES.indexOf(a.status) - END_STATUSES.indexOf(b.status))
      .map((entry) => ({ ...entry }));
  }

  /** Puts a task where it waits, by what it waits for. */
  #place(entry: MemoryEntry, now: number): void {
    const { status, runAt, blockedBy } = entry.record;
    this.#stageCounts[entry.stage]--;
    if (status !== 'pending' && status !== 'retrying') {
      entry.stage = 'none';
    } else if (blockedBy.length > 0) {
      entry.stage = 'blocked';
    } else if (runAt > now) {
      entry.stage = 'delayed';
      this.#delayed.push({ at: runAt, entry });
    } else {
      this.#ready.add(entry);
    }
    this.#stageCounts[entry.stage]++;
  }

  #promoteDue(now: number): void {
    for (;;) {
      this.#dropStaleDelayed();
      const head = this.#delayed.peek();
      if (!head || head.at > now) return;
      this.#delayed.pop();
      this.#place(head.entry, now);
    }
  }

  #dropStaleDelayed(): void {
    for (;;) {
      const head = this.#delayed.peek();
      if (!head || (head.entry.stage === 'delayed' && head.entry.record.runAt === head.at)) return;
      this.#delayed.pop();
    }
  }

  #takeByIds({ filter, limit }: Claim): MemoryEntry[] {
    return [...new Set(filter?.ids ?? [])]
      .flatMap((id) => this.#byId.get(id) ?? [])
      .filter((entry) => entry.stage === 'ready' && laneMatches(entry.record, filter!))
      .sort((a, b) => (isBefore(a, b) ? -1 : 1))
      .slice(0, limit);
  }

  #lease(entry: MemoryEntry, { to, owner, leaseExpiresAt, now }: Claim): void {
    const { record } = entry;
    appendEvent(entry, { from: record.status, to, at: now, worker: owner });
    this.#statusCounts[record.status]--;
    this.#statusCounts[to]++;
    record.status = to;
    record.fence++;
    record.owner = owner;
    record.leaseExpiresAt = leaseExpiresAt;
    record.startedAt = to === 'in_progress' ? now : null;
    record.version++;
    this.#leased.add(entry);
    this.#stageCounts[entry.stage]--;
    entry.stage = 'none';
    this.#stageCounts.none++;
  }

  #remove(entry: MemoryEntry): void {
    const { id, status } = entry.record;
    this.#byId.delete(id);
    this.#statusCounts[status]--;
    this.#stageCounts[entry.stage]--;
    this.#holes++;
    if (this.#holes > 1_000 && this.#holes > this.#bySeq.length / 2) {
      this.#bySeq = this.#bySeq.filter((kept) => this.#byId.get(kept.record.id) === kept);
      this.#holes = 0;
    }
  }

  /** Where sequences above `after` begin, by binary search. */
  #indexAfter(after: number): number {
    let low = 0;
    let high = this.#bySeq.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.#bySeq[middle]!.record.seq > after) high = middle;
      else low = middle + 1;
    }
    return low;
  }
}

function newEffects(): MutableEffects {
  return { released: [], skipped: [], unjudged: false, endings: [] };
}

function effectsOf({ released, skipped, unjudged }: MutableEffects): Effects {
  return { released, skipped, unjudged };
}

function copyOf({ record }: MemoryEntry): TaskRecord {
  return { ...record, blockedBy: [...record.blockedBy] };
}

/** Field by field: a change must never carry identity fields into a record. */
function assignState(record: MemoryEntry['record'], next: TaskState): void {
  record.status = next.status;
  record.runAt = next.runAt;
  record.retryCount = next.retryCount;
  record.crashes = next.crashes;
  record.fence = next.fence;
  record.owner = next.owner;
  record.leaseExpiresAt = next.leaseExpiresAt;
  record.startedAt = next.startedAt;
  record.completedAt = next.completedAt;
  record.result = next.result;
  record.details = next.details;
}
