import { afterEach, expect, test } from 'vitest';
import { RedisHoldingStore } from '../../../src/queue/backends/hybrid/redis-holding-store.ts';
import type { HeldChange } from '../../../src/queue/holding-store.ts';
import type { Quota } from '../../../src/queue/quota.ts';
import { isEnded, isLeased, type TaskStatus } from '../../../src/queue/task.ts';
import type { Claim, GateChange, NewRecord, TaskRecord, TaskState } from '../../../src/queue/task-store.ts';
import { RedisConnection } from '../../../src/redis/redis-connection.ts';
import { seededRandom } from '../../../src/testing/seeded-random.ts';
import { sharedRedis } from '../../redis/shared-redis.ts';

const redis = sharedRedis();
const NOW = 1_700_000_000_000;
const STEPS = 200;
const NODES = ['n', 'm'];
/** `WALKS=300 WALK_SEED=1000` walks that often, from that seed on. */
const WALKS = Number(process.env.WALKS ?? 6);
const FIRST_SEED = Number(process.env.WALK_SEED ?? 1);

const closing: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0)) await close();
});

function opened(Connection: typeof RedisConnection): RedisHoldingStore {
  const connection = new Connection({ url: redis.url });
  const store = new RedisHoldingStore({ connection, prefix: redis.prefix() });
  closing.push(() => store.close().then(() => connection.close()));
  return store;
}

/** Nodes hold, claim, end and give back tasks under limits, others write them, and nodes die. */
class Walk {
  readonly #store: RedisHoldingStore;
  readonly #random: () => number;
  readonly #ids: string[] = [];
  /** Of each held task, who holds it; the record is as it was when it was held. */
  readonly #held = new Map<string, { readonly node: string; readonly record: TaskRecord }>();
  readonly #max = new Map([
    ['a', 2],
    ['b', 7],
    ['c', 300],
  ]);
  #now = NOW;
  #isLimited = false;

  constructor(seed: number, store: RedisHoldingStore) {
    this.#random = seededRandom(seed);
    this.#store = store;
  }

  async step(): Promise<void> {
    const before = await this.#taken();
    const [name, act] = this.#pick(this.#acts);
    await act();
    const after = await this.#taken();
    for (const [key, max] of this.#max) {
      const [used, was] = [after.get(key) ?? 0, before.get(key) ?? 0];
      expect(used <= Math.max(max, was), `${name}: ${key} has ${used} of ${max}, had ${was}`).toBe(true);
    }
    const gates = await this.#store.gates([...this.#max.keys()]);
    this.#isLimited ||= gates.some((gate) => gate !== null);
    for (const gate of gates)
      if (gate) expect([name, gate.key, gate.used]).toEqual([name, gate.key, after.get(gate.key) ?? 0]);
  }

  /** With all gates open every task ends, and nobody is left in a place. */
  async end(): Promise<void> {
    for (const node of NODES) await this.#store.leave(node, this.#now);
    this.#held.clear();
    const keys = [...this.#max.keys(), 'rate'];
    this.#now += 10_000;
    await this.#store.setGates(
      keys.map((key) => ({ key, rule: { max: null, rate: null }, isPaused: false, closedUntil: 0 })),
      this.#now,
    );
    for (let isAny = true; isAny; ) {
      isAny = (await this.#store.claim(this.#asked(50))).length > 0;
      for (const record of await this.#records(isLeased)) await this.#apply([ended(record, this.#now)]);
    }
    expect((await this.#records((status) => !isEnded(status))).map(({ id }) => id)).toEqual([]);
    await this.#store.purge(this.#now + 1, 10_000);
    expect(await this.#store.gates(keys)).toEqual(keys.map(() => null));
  }

  readonly #acts: readonly (readonly [string, () => Promise<unknown>])[] = [
    ['insert', () => this.#insert()],
    ['hold', () => this.#hold()],
    ['hold', () => this.#hold()],
    ['claim held', () => this.#claimHeld()],
    ['claim held', () => this.#claimHeld()],
    ['claim', () => this.#claim()],
    ['claim beside', () => this.#claimBeside()],
    ['end', () => this.#end()],
    ['end', () => this.#end()],
    ['give back', () => this.#giveBack()],
    ['write', () => this.#write()],
    ['set', () => this.#set()],
    ['die', () => this.#die()],
  ];

  async #insert(): Promise<void> {
    const records = Array.from({ length: 3 + this.#upTo(8) }, () => this.#record());
    const used = new Set(records.flatMap(({ quota }) => quota?.limits.map(({ key }) => key) ?? []));
    await this.#store.insert(
      records,
      this.#now,
      [...used].map((key) => this.#rule(key)),
    );
    this.#ids.push(...records.map(({ id }) => id));
  }

  #record(): NewRecord {
    const quota = this.#quota();
    const id = `t${this.#ids.length}-${this.#upTo(1e9)}`;
    const plain = { id, submission: '{"payload":{}}', hash: 'h', priority: 5, agentType: null, agent: null };
    const times = { createdAt: this.#now, runAt: this.#now, alarmAt: null };
    const record = { ...plain, ...times, rank: 1_000 + this.#upTo(30), dependsOn: [], join: 'all' } as const;
    return quota ? { ...record, quota } : record;
  }

  #quota(): Quota | null {
    const keys = ['a', 'b', 'c'].filter(() => this.#random() < 0.4);
    if (this.#random() < 0.1) keys.push('rate');
    const limits = keys.map((key) => ({ key, weight: 1 }));
    const fairKey = this.#random() < 0.1 ? 'fair' : null;
    return keys.length === 0 && fairKey === null ? null : { limits, fairKey, fairWeight: 1 };
  }

  #rule(key: string): GateChange {
    const max = this.#max.get(key) ?? null;
    return { key, rule: { max, rate: max === null ? { max: 3, perMs: 400 } : null } };
  }

  async #hold(): Promise<void> {
    const node = this.#pick(NODES);
    const request = { node, holdMs: 60_000, filter: null, limit: 1 + this.#upTo(12), last: null };
    const { records, isPaused, dropped } = await this.#store.hold({ ...request, now: this.#now });
    for (const id of dropped) expect(this.#held.get(id)?.node).not.toBe(node);
    for (const record of records) {
      expect(this.#held.has(record.id)).toBe(false);
      expect(record.quota?.fairKey ?? null).toBe(null);
      expect(record.quota?.limits.some(({ key }) => key === 'rate') ?? false).toBe(false);
      this.#held.set(record.id, { node, record });
    }
    if (isPaused) await this.#leave(node);
  }

  async #leave(node: string): Promise<void> {
    await this.#store.leave(node, this.#now);
    for (const [id, held] of this.#held) if (held.node === node) this.#held.delete(id);
  }

  async #claimHeld(): Promise<void> {
    const records = this.#someHeld();
    const changes = records.map((record) =>
      this.#random() < 0.5 ? claimed(record, this.#now) : endedAtOnce(record, this.#now),
    );
    for (const { id } of records) this.#held.delete(id);
    expect((await this.#apply(changes)).map((answer) => answer !== null)).toEqual(records.map(() => true));
  }

  #asked(limit: number): Claim {
    const now = this.#now;
    return { limit, owner: 'w', leaseExpiresAt: now + 30_000, filter: null, to: 'in_progress', now };
  }

  async #claim(): Promise<void> {
    for (const { id } of await this.#store.claim(this.#asked(1 + this.#upTo(5))))
      expect(this.#held.has(id)).toBe(false);
  }

  async #claimBeside(): Promise<void> {
    if (!this.#isLimited) return;
    const places = [...this.#held.values()]
      .filter(({ node }) => node === 'n')
      .map(({ record: { rank, seq } }) => ({ rank, seq }))
      .sort((a, b) => a.rank - b.rank || a.seq - b.seq);
    const { records } = await this.#store.claimBeside(this.#asked(1 + this.#upTo(5)), places);
    for (const { id } of records) expect(this.#held.has(id)).toBe(false);
  }

  async #end(): Promise<void> {
    const leased = await this.#records(isLeased);
    const some = leased.filter(() => this.#random() < 0.5);
    const retried = (record: TaskRecord) =>
      changed(record, { ...record, ...FREE, status: 'retrying' }, this.#now);
    await this.#apply(
      some.map((record) => (this.#random() < 0.3 ? retried(record) : ended(record, this.#now))),
    );
  }

  async #giveBack(): Promise<void> {
    const node = this.#pick(NODES);
    if (this.#random() < 0.2) return this.#leave(node);
    const ids = [...this.#held].filter(([, held]) => held.node === node && this.#random() < 0.4);
    for (const [id] of ids) this.#held.delete(id);
    await this.#store.giveBack(
      node,
      ids.map(([id]) => id),
      this.#now,
    );
  }

  /** Somebody cancels or changes what waits, held or not. */
  async #write(): Promise<void> {
    const waiting = await this.#records((status) => status === 'pending' || status === 'retrying');
    const record = waiting[this.#upTo(waiting.length)];
    if (!record) return;
    const holder = this.#held.get(record.id);
    this.#held.delete(record.id);
    const isOver = this.#random() < 0.5;
    const next = isOver ? { ...record, status: 'cancelled' as const, completedAt: this.#now } : record;
    await this.#apply([changed(record, next, this.#now)]);
    if (holder) expect(await this.#apply([claimed(holder.record, this.#now)])).toEqual([null]);
  }

  async #set(): Promise<void> {
    const key = this.#pick([...this.#max.keys()]);
    if (this.#random() < 0.4) this.#max.set(key, key === 'c' ? 200 + this.#upTo(200) : 1 + this.#upTo(9));
    const isPaused = this.#random() < 0.3;
    this.#now += this.#upTo(200);
    await this.#store.setGates([{ ...this.#rule(key), isPaused }], this.#now);
  }

  /** It is silent for too long: what it held goes on, and it hears that it holds nothing. */
  async #die(): Promise<void> {
    const node = this.#pick(NODES);
    const lost = [...this.#held.values()].filter((held) => held.node === node);
    const silent = { node, holdMs: 0, filter: null, limit: 0, last: null, now: this.#now };
    await this.#store.hold(silent);
    await this.#store.nodes();
    for (const { record } of lost) this.#held.delete(record.id);
    // Nobody stands in places any more that a late claim would need.
    const isLimited = ({ quota }: TaskRecord) => quota !== undefined && quota.limits.length > 0;
    const late = lost
      .filter(({ record }) => isLimited(record))
      .map(({ record }) => claimed(record, this.#now));
    expect(await this.#apply(late)).toEqual(late.map(() => null));
  }

  async #apply(changes: readonly HeldChange[]) {
    return changes.length === 0 ? [] : this.#store.apply(changes, this.#now);
  }

  #someHeld(): TaskRecord[] {
    return [...this.#held.values()].filter(() => this.#random() < 0.5).map(({ record }) => record);
  }

  async #records(isWanted: (status: TaskStatus) => boolean): Promise<TaskRecord[]> {
    const records = await this.#store.get(this.#ids);
    return records.filter((record) => record !== null).filter(({ status }) => isWanted(status));
  }

  /** How many stand in the places of each key: they run, or are held. */
  async #taken(): Promise<Map<string, number>> {
    const taken = new Map<string, number>();
    const held = [...this.#held.values()].map(({ record }) => record);
    for (const { quota } of [...held, ...(await this.#records(isLeased))])
      for (const { key } of quota?.limits ?? []) taken.set(key, (taken.get(key) ?? 0) + 1);
    return taken;
  }

  #pick<T>(from: readonly T[]): T {
    return from[this.#upTo(from.length)]!;
  }

  #upTo(most: number): number {
    return Math.floor(this.#random() * most);
  }
}

const FREE = { owner: null, leaseExpiresAt: null, startedAt: null, alarmAt: null } as const;

function changed(record: TaskRecord, next: TaskState, now: number): HeldChange {
  const event = { from: record.status, to: next.status, at: now };
  return { id: record.id, version: record.version, next, event };
}

function ended(record: TaskRecord, now: number): HeldChange {
  return changed(record, { ...record, ...FREE, status: 'completed', completedAt: now }, now);
}

function leased(record: TaskRecord, now: number): TaskState {
  const lease = { owner: 'w', leaseExpiresAt: now + 30_000, startedAt: now, alarmAt: null };
  return { ...record, ...lease, status: 'in_progress', fence: record.fence + 1 };
}

function claimed(record: TaskRecord, now: number): HeldChange {
  return { ...changed(record, leased(record, now), now), identity: record };
}

function endedAtOnce(record: TaskRecord, now: number): HeldChange {
  const next = { ...leased(record, now), ...FREE, status: 'completed', completedAt: now } as const;
  const claim = { from: record.status, to: 'in_progress', at: now } as const;
  const event = { from: 'in_progress', to: 'completed', at: now } as const;
  return { id: record.id, version: record.version, next, event, claimed: claim, identity: record };
}

/** Every answer is lost once. */
class LossyConnection extends RedisConnection {
  override async run(...call: Parameters<RedisConnection['run']>): Promise<unknown> {
    await super.run(...call);
    return super.run(...call);
  }
}

const CONNECTIONS = [
  ['', RedisConnection],
  ['every script sent twice, ', LossyConnection],
] as const;

for (const [name, Connection] of CONNECTIONS)
  test.each(Array.from({ length: WALKS }, (_, i) => FIRST_SEED + i))(
    `held tasks stand in the places of their limits: ${name}walk %i`,
    async (seed) => {
      const walk = new Walk(seed, opened(Connection));
      for (let i = 0; i < STEPS; i++) await walk.step();
      await walk.end();
    },
  );
