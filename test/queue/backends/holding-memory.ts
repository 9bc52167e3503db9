import { StoreUnavailableError } from '../../../src/errors.ts';
import { isAfter } from '../../../src/queue/backends/hybrid/lane-deques.ts';
import { MemoryTaskStore } from '../../../src/queue/backends/memory/memory-task-store.ts';
import { type ClaimFilter, laneMatches } from '../../../src/queue/claim-filter.ts';
import type {
  Beside,
  Held,
  HeldChange,
  HoldingStore,
  HoldRequest,
  Place,
  Quotas,
} from '../../../src/queue/holding-store.ts';
import type { Registry } from '../../../src/queue/registry.ts';
import { isLeased } from '../../../src/queue/task.ts';
import type { Applied, Change, Claim, TaskRecord, TaskStore } from '../../../src/queue/task-store.ts';
import { TurnTaking } from './turn-taking.ts';

interface Hold {
  readonly node: string;
  /** Reserved for the node's claim. */
  readonly fence: number;
}

const NO_FILTER: ClaimFilter = { agentTypes: null, priorityMin: null, ids: null, runnableBy: null };

/** A shared store in memory, with holds: the storage behind any number of `RemoteMemory` objects. */
export class HoldingMemory {
  readonly tasks: TaskStore = new MemoryTaskStore();
  readonly watchers = new Map<() => void, object>();
  readonly #holds = new Map<string, Hold>();
  readonly #nodes = new Map<string, number>();
  readonly #dropped = new Map<string, string[]>();
  #wanted: string | null = null;
  #latest = Number.NEGATIVE_INFINITY;
  readonly #now: () => number;
  readonly #turns = new TurnTaking(this.tasks);
  readonly #recalled = new Set<string>();
  #turn: Promise<unknown> = Promise.resolve();

  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
  }

  get holds(): number {
    return this.#holds.size;
  }

  /** Whole methods are atomic, though they are made of several calls. */
  atomically<T>(work: () => Promise<T>): Promise<T> {
    const done = this.#turn.then(work);
    this.#turn = done.catch(() => {});
    return done;
  }

  /**
   * The time as all callers together know it: a node's own is as old as its last claim, and what the tasks have found
   * due by a later one is not in their outlook any more.
   */
  at(now: number): number {
    this.#latest = Math.max(this.#latest, now);
    return this.#latest;
  }

  async claim(claim: Claim): Promise<TaskRecord[]> {
    const { records } = await this.#claimAmong(claim, () => true, []);
    return [...records];
  }

  claimBeside(claim: Claim, held: readonly Place[]): Promise<Beside> {
    return this.#claimAmong(claim, ({ quota }) => quota !== undefined, held);
  }

  async #claimAmong(
    claim: Claim,
    isWanted: (record: TaskRecord) => boolean,
    held: readonly Place[],
  ): Promise<Beside> {
    this.at(claim.now);
    await this.#expireNodes();
    const records: TaskRecord[] = [];
    const heldAfter: number[] = [];
    while (records.length + heldAfter.length < claim.limit && !(await this.tasks.isPaused())) {
      const waiting = (await this.#claimable(claim.filter, claim.now)).filter(isWanted);
      const next = await this.#turns.next(waiting, held[heldAfter.length], claim.now);
      if (!next) break;
      this.#turns.served(next, waiting);
      const filter = { ...NO_FILTER, ids: [next.record?.id ?? ''] };
      if (!next.record) heldAfter.push(records.length);
      else records.push(...(await this.tasks.claim({ ...claim, limit: 1, filter })));
    }
    return { records, heldAfter, quotas: await this.#quotas(claim.now) };
  }

  async #quotas(now: number): Promise<Quotas> {
    const waiting = await this.#claimable(null, now);
    return waiting.some(({ quota }) => quota) ? 'ready' : 'later';
  }

  /** Nodes that were told to give back what they hold, since their kind was paused. */
  async recalled(): Promise<number> {
    await this.#expireNodes();
    return [...this.#recalled].filter((node) => this.#nodes.has(node)).length;
  }

  recall(): void {
    for (const node of this.#nodes.keys()) this.#recalled.add(node);
  }

  async apply(changes: readonly HeldChange[], now: number): Promise<(Applied | null)[]> {
    const results: (Applied | null)[] = [];
    for (const change of changes) results.push(await this.#applyOne(change, now));
    return results;
  }

  async hold({ node, holdMs, filter, limit, last, now: asked }: HoldRequest): Promise<Held> {
    const now = this.at(asked);
    await this.#expireNodes();
    const isPaused = (await this.tasks.isPaused()) || this.#recalled.has(node);
    const isKnown = this.#nodes.has(node);
    const waiting = isPaused ? [] : await this.#holdable(filter, now);
    const records = waiting.filter((record) => last === null || !isAfter(record, last)).slice(0, limit);
    for (const { id, fence } of records) this.#holds.set(id, { node, fence: fence + 1 });
    if (!isPaused || isKnown) this.#nodes.set(node, this.#now() + holdMs);
    const areHeldElsewhere = [...this.#holds.values()].some((hold) => hold.node !== node);
    const isWanted = this.#wanted !== null && this.#wanted !== node;
    if (isWanted && this.#holdsOf(node).length > 0) this.#wanted = null;
    if (records.length < limit && last === null && areHeldElsewhere) {
      this.#wanted = node;
    }
    const dropped = this.#dropped.get(node) ?? [];
    this.#dropped.delete(node);
    const quotas = await this.#quotas(now);
    const { nextDueAt } = await this.tasks.outlook(now);
    return { records, dropped, isKnown, isPaused, isWanted, quotas, nextDueAt };
  }

  async giveBack(node: string, ids: readonly string[]): Promise<void> {
    for (const id of ids) if (this.#holds.get(id)?.node === node) this.#holds.delete(id);
  }

  async leave(node: string): Promise<void> {
    await this.giveBack(node, this.#holdsOf(node));
    this.#nodes.delete(node);
    this.#recalled.delete(node);
    this.#dropped.delete(node);
  }

  async nodes(): Promise<number> {
    await this.#expireNodes();
    return this.#nodes.size;
  }

  #holdsOf(node: string): string[] {
    return [...this.#holds].filter(([, hold]) => hold.node === node).map(([id]) => id);
  }

  /** Of somebody's writes all others are told. */
  tell(writer: object): void {
    for (const [listener, owner] of [...this.watchers]) if (owner !== writer) listener();
  }

  async #applyOne({ claimed, ...change }: HeldChange, now: number): Promise<Applied | null> {
    const hold = this.#holds.get(change.id);
    const isClaim = claimed !== undefined || (hold && isLeased(change.next.status));
    if (isClaim && hold && change.next.fence !== hold.fence) return null;
    const next = hold ? { ...change.next, fence: hold.fence } : change.next;
    const steps = claimed ? inTwo({ ...change, next }, claimed) : [{ ...change, next }];
    const applied = (await this.tasks.apply(steps, now)).at(-1);
    if (!applied) return null;
    this.#holds.delete(change.id);
    if (hold && !isClaim) this.#dropped.set(hold.node, [...(this.#dropped.get(hold.node) ?? []), change.id]);
    return { ...applied, opened: applied.record.quota !== undefined && !isLeased(applied.record.status) };
  }

  async #holdable(filter: ClaimFilter | null, now: number): Promise<TaskRecord[]> {
    const holdable: TaskRecord[] = [];
    for (const record of await this.#claimable(filter, now)) {
      if (!record.quota && (await this.#turns.admits(record, now))) holdable.push(record);
    }
    return holdable;
  }

  async #claimable(filter: ClaimFilter | null, now: number): Promise<TaskRecord[]> {
    const { records } = await this.tasks.list({
      statuses: ['pending', 'retrying'],
      agentTypes: null,
      createdAfter: null,
      after: 0,
      limit: 1_000_000,
    });
    const isWanted = (record: TaskRecord) =>
      record.blockedBy.length === 0 &&
      record.runAt <= now &&
      !this.#holds.has(record.id) &&
      (filter?.ids == null || filter.ids.includes(record.id)) &&
      (filter === null || laneMatches(record, filter));
    return records.filter(isWanted).sort((a, b) => a.rank - b.rank || a.seq - b.seq);
  }

  async #expireNodes(): Promise<void> {
    for (const [node, until] of this.#nodes) {
      if (until > this.#now()) continue;
      for (const id of this.#holdsOf(node)) await this.#useUp(id);
      this.#nodes.delete(node);
    }
  }

  async #useUp(id: string): Promise<void> {
    const hold = this.#holds.get(id)!;
    this.#holds.delete(id);
    const [record] = await this.tasks.get([id]);
    if (record)
      await this.tasks.apply([{ id, version: record.version, next: { ...record, fence: hold.fence } }], 0);
  }
}

/** A claim, and what followed it. */
function inTwo(change: Change, claimed: NonNullable<Change['event']>): Change[] {
  const { id, version, next } = change;
  const claim = { id, version, next: { ...next, status: claimed.to }, event: claimed };
  return [claim, { ...change, version: version + 1 }];
}

/** One process's way to the storage: each call takes a turn of the loop, and fails while the store is away. */
export class RemoteMemory implements HoldingStore {
  readonly #storage: HoldingMemory;
  calls = 0;
  isAway = false;
  /** Fails calls after they have been carried out. */
  isDeaf = false;

  constructor(storage: HoldingMemory) {
    this.#storage = storage;
  }

  get registry(): Registry {
    return this.#storage.tasks.registry;
  }

  insert: HoldingStore['insert'] = (records, now, rules) =>
    this.#call((tasks) => tasks.insert(records, now, rules), true);
  claim: HoldingStore['claim'] = (claim) => this.#call(() => this.#storage.claim(claim), true);
  apply: HoldingStore['apply'] = (changes, now) => this.#call(() => this.#storage.apply(changes, now), true);
  get: HoldingStore['get'] = (ids) => this.#call((tasks) => tasks.get(ids));
  list: HoldingStore['list'] = (query) => this.#call((tasks) => tasks.list(query));
  history: HoldingStore['history'] = (id) => this.#call((tasks) => tasks.history(id));
  appendLogs: HoldingStore['appendLogs'] = (loggings) =>
    this.#call((tasks) => tasks.appendLogs(loggings), true);
  log: HoldingStore['log'] = (id, after, limit) => this.#call((tasks) => tasks.log(id, after, limit));
  expired: HoldingStore['expired'] = (now, limit) => this.#call((tasks) => tasks.expired(now, limit));
  outlook: HoldingStore['outlook'] = (now) => this.#call((tasks) => tasks.outlook(this.#storage.at(now)));
  alarmed: HoldingStore['alarmed'] = (now, limit) => this.#call((tasks) => tasks.alarmed(now, limit));
  gates: HoldingStore['gates'] = (keys) => this.#call((tasks) => tasks.gates(keys));
  setGates: HoldingStore['setGates'] = (changes, now) =>
    this.#call((tasks) => {
      if (changes.some(({ key, isPaused }) => isPaused && key.startsWith('@'))) this.#storage.recall();
      return tasks.setGates(changes, now);
    }, true);
  unjudged: HoldingStore['unjudged'] = (limit) => this.#call((tasks) => tasks.unjudged(limit));
  judge: HoldingStore['judge'] = (verdicts, now) => this.#call((tasks) => tasks.judge(verdicts, now), true);
  counts: HoldingStore['counts'] = (now) => this.#call((tasks) => tasks.counts(now));
  setPaused: HoldingStore['setPaused'] = (paused) => this.#call((tasks) => tasks.setPaused(paused), true);
  isPaused: HoldingStore['isPaused'] = () => this.#call((tasks) => tasks.isPaused());
  purge: HoldingStore['purge'] = (before, limit) => this.#call((tasks) => tasks.purge(before, limit));
  hold: HoldingStore['hold'] = (request) => this.#call(() => this.#storage.hold(request), true);
  giveBack: HoldingStore['giveBack'] = (node, ids) =>
    this.#call(() => this.#storage.giveBack(node, ids), true);
  leave: HoldingStore['leave'] = (node) => this.#call(() => this.#storage.leave(node), true);
  claimBeside: HoldingStore['claimBeside'] = (claim, held) =>
    this.#call(() => this.#storage.claimBeside(claim, held), true);
  recalled: HoldingStore['recalled'] = () => this.#call(() => this.#storage.recalled());
  nodes: HoldingStore['nodes'] = () => this.#call(() => this.#storage.nodes());

  watch(listener: (isNew?: boolean) => void): () => void {
    const heard = () => {
      if (!this.isAway) listener(true);
    };
    this.#storage.watchers.set(heard, this);
    return () => this.#storage.watchers.delete(heard);
  }

  async close(): Promise<void> {
    for (const [listener, owner] of this.#storage.watchers)
      if (owner === this) this.#storage.watchers.delete(listener);
  }

  async #call<T>(work: (tasks: TaskStore) => Promise<T>, isWrite = false): Promise<T> {
    this.calls++;
    await turn();
    this.#check(this.isAway);
    const result = await this.#storage.atomically(() => work(this.#storage.tasks));
    if (isWrite) this.#storage.tell(this);
    this.#check(this.isDeaf);
    return withoutAbsent(result);
  }

  #check(isDown: boolean): void {
    if (isDown) throw new StoreUnavailableError('the store is away');
  }
}

/** A store elsewhere says nothing of what is not there; one in memory may say undefined. */
function withoutAbsent<T>(value: T): T {
  if (Array.isArray(value)) return value.map(withoutAbsent) as T;
  if (typeof value !== 'object' || value === null) return value;
  const known = Object.entries(value).filter(([, item]) => item !== undefined);
  return Object.fromEntries(known.map(([key, item]) => [key, withoutAbsent(item)])) as T;
}

function turn(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve);
  });
}
