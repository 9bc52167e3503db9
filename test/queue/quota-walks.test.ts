import { afterEach, expect, test } from 'vitest';
import { HybridTaskStore } from '../../src/queue/backends/hybrid/hybrid-task-store.ts';
import { RedisHoldingStore } from '../../src/queue/backends/hybrid/redis-holding-store.ts';
import { MemoryTaskStore } from '../../src/queue/backends/memory/memory-task-store.ts';
import { RedisTaskStore } from '../../src/queue/backends/redis/redis-task-store.ts';
import type { ClaimFilter } from '../../src/queue/claim-filter.ts';
import type { Quota } from '../../src/queue/quota.ts';
import type {
  Change,
  Claim,
  GateChange,
  NewRecord,
  TaskRecord,
  TaskState,
  TaskStore,
} from '../../src/queue/task-store.ts';
import { RedisConnection } from '../../src/redis/redis-connection.ts';
import { seededRandom } from '../../src/testing/seeded-random.ts';
import { ForgetfulConnection } from '../redis/forgetful-connection.ts';
import { sharedRedis } from '../redis/shared-redis.ts';

const redis = sharedRedis();
const NOW = 1_700_000_000_000;
const STEPS = 250;
const KEYS = ['k1', 'k2', 'k3', 'rate'];
const TYPES = ['x', 'y', null];

const closing: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0)) await close();
});

function redisStore(Connection = RedisConnection): TaskStore {
  const connection = new Connection({ url: redis.url });
  const store = new RedisTaskStore({ connection, prefix: redis.prefix() });
  closing.push(() => store.close().then(() => connection.close()));
  return store;
}

function hybridStore(): TaskStore {
  const connection = new RedisConnection({ url: redis.url });
  const remote = new RedisHoldingStore({ connection, prefix: redis.prefix() });
  const store = new HybridTaskStore(remote, { leaseMs: 30_000, node: 'n', prefetchTasksMin: 5 });
  closing.push(() => store.close().then(() => connection.close()));
  return store;
}

/** The same random steps on a store and on the one in memory: what they answer must be the same. */
class Walk {
  readonly #random: () => number;
  readonly #stores: readonly TaskStore[];
  readonly #isFairFree: boolean;
  readonly #ids: string[] = [];
  /** Those without a fair key: memory counts turns as long as it remembers that others were there. */
  readonly #plain = new Set<string>();
  #now = NOW;

  /** `isFairFree`: nothing keeps back tasks with a fair key, so that turns are counted by all alike. */
  constructor(seed: number, stores: readonly TaskStore[], isFairFree: boolean) {
    this.#isFairFree = isFairFree;
    this.#random = seededRandom(seed);
    this.#stores = stores;
  }

  async step(): Promise<void> {
    const dice = this.#random();
    if (dice < 0.25) await this.#insert();
    else if (dice < 0.6) await this.#claim();
    else if (dice < 0.85) await this.#apply();
    else if (dice < 0.93) await this.#setGates();
    else if (dice < 0.97) this.#now += Math.floor(this.#random() * 300);
    else await this.#purge();
    await this.#compare();
  }

  #pick<T>(from: readonly T[]): T {
    return from[Math.floor(this.#random() * from.length)]!;
  }

  async #both<T>(ask: (store: TaskStore) => Promise<T>): Promise<T> {
    const [expected, actual] = [await ask(this.#stores[0]!), await ask(this.#stores[1]!)];
    expect(actual).toEqual(expected);
    return expected;
  }

  async #insert(): Promise<void> {
    const count = 1 + Math.floor(this.#random() * 6);
    const records = Array.from({ length: count }, () => this.#record());
    const keys = [...new Set(records.flatMap(({ quota }) => quota?.limits.map(({ key }) => key) ?? []))];
    const rules = keys.map((key) => this.#rule(key));
    await this.#both((store) => store.insert(records, this.#now, rules));
    this.#ids.push(...records.map(({ id }) => id));
    for (const { id, quota } of records) if (!quota?.fairKey) this.#plain.add(id);
  }

  #record(): NewRecord {
    const next = this.#random;
    const id = `t${this.#ids.length}-${Math.floor(next() * 1e9)}`;
    const quota = this.#quota();
    return {
      id,
      submission: '{"payload":{}}',
      hash: 'h',
      priority: 5,
      agentType: quota?.fairKey && this.#isFairFree ? 'y' : this.#pick(TYPES),
      agent: null,
      rank: 1_000 + Math.floor(next() * 40),
      createdAt: this.#now,
      runAt: next() < 0.15 ? this.#now + Math.floor(next() * 200) : this.#now,
      alarmAt: next() < 0.2 ? this.#now + 500 : null,
      dependsOn: [],
      join: 'all',
      ...(quota && { quota }),
    };
  }

  #quota(): Quota | undefined {
    if (this.#random() < 0.3) return undefined;
    const keys = KEYS.filter(() => this.#random() < 0.35);
    const weight = () => (this.#random() < 0.8 ? 1 : 1 + Math.floor(this.#random() * 4));
    const fairKey = this.#random() < 0.4 ? this.#pick(['a', 'b', 'c']) : null;
    if (keys.length === 0 && fairKey === null) return undefined;
    const fairWeight = fairKey === 'b' ? 3 : 1;
    if (fairKey && this.#isFairFree) return { limits: [], fairKey, fairWeight };
    return { limits: keys.map((key) => ({ key, weight: weight() })), fairKey, fairWeight };
  }

  #rule(key: string): GateChange {
    if (key === 'rate') return { key, rule: { max: null, rate: { max: 6, perMs: 400 } } };
    return { key, rule: { max: 1 + Math.floor(this.#random() * 3), rate: null } };
  }

  async #claim(): Promise<void> {
    const claim: Claim = {
      limit: 1 + Math.floor(this.#random() * 5),
      owner: 'w',
      leaseExpiresAt: this.#now + 30_000,
      filter: this.#filter(),
      to: 'in_progress',
      now: this.#now,
    };
    await this.#both(async (store) => (await store.claim(claim)).map((record) => shown(record)));
  }

  #filter(): ClaimFilter | null {
    const filter = { agentTypes: null, priorityMin: null, ids: null, runnableBy: null };
    const dice = this.#random();
    if (dice < 0.6) return null;
    if (dice < 0.8) return { ...filter, agentTypes: [this.#pick(['x', 'y'])] };
    return { ...filter, ids: [...this.#plain].filter(() => this.#random() < 0.1) };
  }

  async #apply(): Promise<void> {
    const records = await this.#stores[0]!.get(this.#ids);
    const open = records.filter(
      (record) =>
        record && record.completedAt === null && (record.owner !== null || this.#plain.has(record.id)),
    ) as TaskRecord[];
    if (open.length === 0) return;
    const leased = open.filter(({ owner }) => owner !== null);
    const record = this.#pick(leased.length > 0 && this.#random() < 0.8 ? leased : open);
    const next = this.#next(record);
    const event = { from: record.status, to: next.status, at: this.#now };
    const change: Change = { id: record.id, version: 0, next, event, ...this.#corrections(record) };
    await this.#both(async (store) => {
      const [current] = await store.get([record.id]);
      const [applied] = await store.apply([{ ...change, version: current!.version }], this.#now);
      return applied && shown(applied.record);
    });
  }

  #next(record: TaskRecord): TaskState {
    const free = { ...record, owner: null, leaseExpiresAt: null, startedAt: null };
    const dice = this.#random();
    if (dice < 0.6) return { ...free, status: 'completed', alarmAt: null, completedAt: this.#now };
    if (dice < 0.7) return { ...free, status: 'cancelled', alarmAt: null, completedAt: this.#now };
    if (dice < 0.8) return { ...free, status: 'retrying', runAt: this.#now + 100, alarmAt: this.#now + 300 };
    return { ...free, status: 'pending' };
  }

  #corrections(record: TaskRecord): Pick<Change, 'spent' | 'closes'> {
    const use = record.quota?.limits.find(({ key }) => key === 'rate');
    if (!use || record.owner === null || this.#random() < 0.5) return {};
    if (this.#random() < 0.5) return { closes: [{ key: 'rate', until: this.#now + 120 }] };
    return { spent: [{ key: 'rate', weight: Math.floor(this.#random() * 4) }] };
  }

  async #setGates(): Promise<void> {
    const key = this.#pick([...KEYS, '@type:x']);
    const isPaused = this.#random() < 0.4;
    const change = this.#random() < 0.5 && key !== '@type:x' ? this.#rule(key) : { key, isPaused };
    await this.#both((store) => store.setGates([change], this.#now));
  }

  async #purge(): Promise<void> {
    await this.#both(async (store) => (await store.purge(this.#now - 100, 100)).tasks.toSorted());
    const known = await this.#stores[0]!.get(this.#ids);
    this.#ids.splice(0, this.#ids.length, ...this.#ids.filter((_, i) => known[i] !== null));
  }

  async #compare(): Promise<void> {
    await this.#both((store) =>
      store
        .gates(null)
        .then((all) =>
          all.map((gate) => ({ ...gate, starts: gate?.starts.filter(([from]) => from + 420 > this.#now) })),
        ),
    );
    await this.#both(async (store) => (await store.alarmed(this.#now, 100)).map(({ id }) => id).sort());
    await this.#both(async (store) => (await store.counts(this.#now)).byStatus);
  }
}

function shown({ id, status, fence, owner, alarmAt, quota }: TaskRecord) {
  return { id, status, fence, owner, alarmAt, quota };
}

const WAYS = [
  ['redis', () => redisStore(), false],
  ['redis with every script sent twice', () => redisStore(ForgetfulConnection), false],
  // Turns of held tasks are not counted while all backlogs are kept back.
  ['hybrid, always holding', hybridStore, true],
] as const;

for (const [name, open, isFairFree] of WAYS)
  test.each([1, 2, 3, 4, 5, 6])(
    `random walks under limits and turns: ${name} answers as memory does (%i)`,
    async (seed) => {
      const walk = new Walk(seed, [new MemoryTaskStore(), open()], isFairFree);
      for (let i = 0; i < STEPS; i++) await walk.step();
    },
  );
