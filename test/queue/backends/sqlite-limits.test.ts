import { copyFileSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { expect, test } from 'vitest';
import { MemoryTaskStore } from '../../../src/queue/backends/memory/memory-task-store.ts';
import { SQLiteTaskStore, TASK_COMPONENT } from '../../../src/queue/backends/sqlite/sqlite-task-store.ts';
import type { Quota } from '../../../src/queue/quota.ts';
import type { GateChange, NewRecord, TaskRecord, TaskStore } from '../../../src/queue/task-store.ts';
import { SqliteDatabase } from '../../../src/sqlite/sqlite-database.ts';
import { seededRandom } from '../../../src/testing/seeded-random.ts';
import {
  aChange,
  aClaim,
  aFilter,
  aRecord,
  claimIds,
  end,
  insert,
  NOW,
  on,
  read,
} from '../../../src/testing/task-store-cases/steps.ts';

/** A store in a folder of its own, and the database below it. */
class Bench {
  readonly folder = mkdtempSync(join(tmpdir(), 'jotty-limits-'));
  readonly path = join(this.folder, 'tasks.db');
  readonly store = new SQLiteTaskStore(() => this.database);
  #database: SqliteDatabase | undefined;

  get database(): SqliteDatabase {
    this.#database ??= SqliteDatabase.open(this.path, { components: [TASK_COMPONENT] });
    return this.#database;
  }

  sql(statement: string): Promise<unknown> {
    return this.database.write((connection) => connection.raw.exec(statement));
  }

  rows(sql: string): unknown[] {
    return this.database.read((connection) => connection.prepare(sql).all());
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.store.close();
    await this.database.close();
    rmSync(this.folder, { recursive: true });
  }
}

function quota(keys: readonly string[], fairKey: string | null = null, weight = 1): Quota {
  return { limits: keys.map((key) => ({ key, weight })), fairKey, fairWeight: 1 };
}

function many(prefix: string, count: number, record: (i: number) => Partial<NewRecord>): NewRecord[] {
  return Array.from({ length: count }, (_, i) => aRecord({ id: `${prefix}${i}`, ...record(i) }));
}

/** What must agree: the one place of each ready task, the head of each lane, and what each gate counts. */
async function expectConsistent(bench: Bench): Promise<void> {
  expect(bench.rows('SELECT lane, rank, seq FROM lane_heads ORDER BY lane')).toEqual(
    bench.rows(`SELECT lane, rank, seq FROM quota_lanes q WHERE NOT EXISTS (SELECT 1 FROM quota_lanes p
      WHERE p.lane = q.lane AND (p.rank, p.seq) < (q.rank, q.seq)) ORDER BY lane`),
  );
  const seqs = (sql: string) => bench.rows(`${sql} ORDER BY 1`).map((row) => (row as { seq: number }).seq);
  expect(seqs('SELECT seq FROM ready UNION ALL SELECT seq FROM quota_lanes')).toEqual(
    seqs(
      'SELECT t.seq AS seq FROM tasks t LEFT JOIN states s ON s.seq = t.seq WHERE s.stage IS NULL OR s.stage = 1',
    ),
  );
  expect(seqs('SELECT seq FROM ready_lanes')).toEqual(
    seqs('SELECT seq FROM ready WHERE seq <= (SELECT laned FROM totals)'),
  );
  const tasks = await bench.store.list({
    statuses: null,
    agentTypes: null,
    createdAfter: null,
    after: 0,
    limit: 10_000,
  });
  for (const row of bench.rows('SELECT key, used, tasks FROM gates')) {
    const { key, used, tasks: counted } = row as { key: string; used: number; tasks: number };
    const named = tasks.records.filter(({ quota }) => quota?.limits.some((limit) => limit.key === key));
    const leased = named.filter(({ status }) => status === 'assigned' || status === 'in_progress');
    expect([key, used]).toEqual([key, leased.length]);
    expect([key, counted]).toEqual([key, named.filter(({ completedAt }) => completedAt === null).length]);
  }
}

/** What the limits of a walk are like. */
interface Mix {
  readonly keys: readonly string[];
  readonly named: number;
  readonly fair: number;
  readonly full: number;
  readonly rated: number;
  readonly rateMin: number;
  readonly heavy: number;
}

const MANY: Mix = {
  keys: ['a', 'b', 'c', 'd'],
  named: 0.3,
  fair: 0.4,
  full: 0.6,
  rated: 0.4,
  rateMin: 4,
  heavy: 3,
};
/** Nearly all stand in a few lanes, and weights decide who passes. */
const WEIGHTY: Mix = {
  keys: ['a', 'b'],
  named: 0.35,
  fair: 0.05,
  full: 0.2,
  rated: 0.8,
  rateMin: 8,
  heavy: 9,
};

/** Does the same random things to both stores; all that claims take, and all gates, must be the same. */
async function walk(bench: Bench, seed: number, mix: Mix): Promise<void> {
  const random = seededRandom(seed);
  const below = (n: number) => Math.floor(random() * n);
  const pick = <T>(items: readonly T[]): T => items[below(items.length)]!;
  const memory = new MemoryTaskStore();
  const both: readonly TaskStore[] = [memory, bench.store];
  let now = NOW;
  let held: string[] = [];
  const aQuota = (): Partial<NewRecord> => {
    if (random() < 0.2) return {};
    const keys = mix.keys.filter(() => random() < mix.named);
    const limits = keys.map((key) => ({ key, weight: random() < 0.3 ? mix.heavy : 1 }));
    const fairKey = random() < mix.fair ? pick(['x', 'y', 'z']) : null;
    return { quota: { limits, fairKey, fairWeight: fairKey === 'x' ? 2 : 1 } };
  };
  const aRule = (): GateChange => ({
    key: pick(mix.keys),
    rule: {
      max: random() < mix.full ? 1 + below(4) : null,
      rate: random() < mix.rated ? { max: mix.rateMin + below(mix.rateMin), perMs: 200 } : null,
    },
  });
  for (let step = 0; step < 200; step++) {
    now += below(30);
    const dice = random();
    if (dice < 0.4) {
      const records = many(`t${step}-`, 1 + below(5), () => ({
        ...aQuota(),
        rank: below(8),
        agentType: pick(['p', 'q', null]),
        runAt: random() < 0.2 ? now + below(60) : now,
      }));
      const rules = random() < 0.3 ? [aRule()] : [];
      for (const store of both) await store.insert(records, now, rules);
    } else if (dice < 0.7) {
      const filter = random() < 0.3 ? aFilter({ agentTypes: ['p'] }) : null;
      const limit = 1 + below(6);
      const [expected = [], taken = []] = await Promise.all(
        both.map((store) => claimIds(store, { limit, now, filter })),
      );
      expect(taken, `step ${step}`).toEqual(expected);
      held.push(...taken);
    } else if (dice < 0.95) {
      const some = held.filter(() => random() < 0.4);
      held = held.filter((id) => !some.includes(id));
      const over = some.map(() => pick(['completed', 'retrying', 'pending'] as const));
      const delays = some.map(() => below(40));
      const spent = random() < 0.5 ? [{ key: pick(mix.keys), weight: 5 }] : undefined;
      const closes = random() < 0.1 ? [{ key: pick(mix.keys), until: now + 50 }] : undefined;
      for (const store of both) {
        const records = await store.get(some);
        const changes = records.map((record, i) => {
          const status = over[i]!;
          const next = { status, owner: null, leaseExpiresAt: null, startedAt: null };
          const when = status === 'completed' ? { completedAt: now } : { runAt: now + delays[i]! };
          return { ...aChange(record as TaskRecord, { ...next, ...when }, now), spent, closes };
        });
        expect(await store.apply(changes, now)).not.toContain(null);
      }
    } else {
      const changes: GateChange[] =
        random() < 0.5 ? [aRule()] : [{ key: pick([...mix.keys, '@type:p']), isPaused: random() < 0.4 }];
      for (const store of both) await store.setGates(changes, now);
    }
    if (step % 10 === 0) {
      expect(await bench.store.gates(null)).toEqual(await memory.gates(null));
      await expectConsistent(bench);
    }
  }
}

const WALKS = (
  [
    ['many keys', MANY],
    ['weights', WEIGHTY],
  ] as const
).flatMap(([name, mix]) => [1, 2, 3, 4, 5, 6].map((seed) => ({ name, seed, mix })));
test.each(WALKS)(
  'claims and gates are those of the memory store all along a random walk ($name, $seed)',
  async ({ seed, mix }) => {
    await using bench = new Bench();
    await walk(bench, seed, mix);
  },
);

test('a file of the release before is brought up to date: its tasks run, and limits work in it', async () => {
  await using bench = new Bench();
  const migrations = join(bench.folder, 'migrations');
  mkdirSync(migrations);
  copyFileSync(new URL('001_tasks.sql', TASK_COMPONENT.migrations), join(migrations, '001_tasks.sql'));
  const before = { name: TASK_COMPONENT.name, migrations: pathToFileURL(`${migrations}/`) };
  const old = SqliteDatabase.open(bench.path, { components: [before] });
  await old.write((connection) =>
    connection.raw.exec(`INSERT INTO tasks VALUES (1, 5, ${NOW}, ${NOW}, '5||', 'fresh', 'h', '{}'),
        (2, 6, ${NOW}, ${NOW}, '5|x|', 'blocked', 'h', '{}');
      INSERT INTO ready VALUES (5, 1);
      INSERT INTO states (stage, due, seq, run_at, blocked) VALUES (3, 0, 2, ${NOW}, 1);
      INSERT INTO edges VALUES (2, 0, 'fresh', 'success', NULL, 0);
      UPDATE totals SET seq = 2, pending = 2, blocked = 1`),
  );
  await old.close();
  await bench.store.insert([aRecord({ id: 'limited', rank: 7, quota: quota(['k']) })], NOW, [
    { key: 'k', rule: { max: 1, rate: null } },
  ]);
  expect((await read(bench.store, 'fresh')).alarmAt).toBeNull();
  expect(await claimIds(bench.store)).toEqual(['fresh', 'limited']);
  expect((await end(bench.store, 'fresh', 'completed')).effects.released).toEqual(['blocked']);
  expect(await claimIds(bench.store)).toEqual(['blocked']);
  await expectConsistent(bench);
});

test('an insert that breaks leaves no trace in gates and lanes, what shared its commit counts', async () => {
  await using bench = new Bench();
  const limited = quota(['k'], 'acme');
  const broken = { ...aRecord({ id: 'broken', quota: limited }), rank: null as unknown as number };
  const alarm = { alarmAt: NOW + 1 };
  const outcomes = await Promise.allSettled([
    bench.store.insert([aRecord({ id: 'a', quota: limited })], NOW),
    bench.store.insert([...many('half', 10, () => ({ quota: limited, rank: 1, ...alarm })), broken], NOW, [
      { key: 'k', rule: { max: 0, rate: null } },
    ]),
    bench.store.insert([aRecord({ id: 'b', quota: limited })], NOW),
    bench.store.insert([aRecord({ id: 'a', quota: limited, rank: 2 })], NOW),
  ]);
  expect(outcomes.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled', 'fulfilled']);
  await expectConsistent(bench);
  expect(bench.rows('SELECT * FROM alarms')).toEqual([]);
  expect(await claimIds(bench.store)).toEqual(['a', 'b']);
  await expectConsistent(bench);
});

test('claims, changes and inserts of one commit see each other: a place given back is taken again', async () => {
  await using bench = new Bench();
  const { store } = bench;
  await store.insert(
    many('t', 30, () => ({ quota: quota(['k']) })),
    NOW,
    [{ key: 'k', rule: { max: 2, rate: null } }],
  );
  const held = await store.claim(aClaim({ limit: 5 }));
  const before = bench.database.commitCount;
  const done = { status: 'completed', owner: null, leaseExpiresAt: null, completedAt: NOW } as const;
  const [none, , one, , none2, , first] = await Promise.all([
    store.claim(aClaim({ limit: 5 })),
    store.apply([aChange(held[0]!, done)], NOW),
    store.claim(aClaim({ limit: 5 })),
    store.insert([aRecord({ id: 'first', rank: 1, quota: quota(['k']) })], NOW),
    store.claim(aClaim({ limit: 5 })),
    store.apply([aChange(held[1]!, done)], NOW),
    store.claim(aClaim({ limit: 5 })),
    store.setGates([{ key: 'k', rule: { max: 3, rate: null } }], NOW),
  ]);
  expect(bench.database.commitCount - before).toBe(1);
  const taken = [none, one, none2, first].map((records) => records.map(({ id }) => id));
  expect(taken).toEqual([[], ['t2'], [], ['first']]);
  expect(await claimIds(store)).toEqual(['t3']);
  await expectConsistent(bench);
});

test('more limits than are looked at one by one: tasks go in one order, and full ones are passed over', async () => {
  await using bench = new Bench();
  const { store } = bench;
  const rules = Array.from({ length: 60 }, (_, i) => ({
    key: `k${i}`,
    rule: { max: i % 3 === 0 ? 0 : 1, rate: null },
  }));
  await store.insert(
    many('t', 180, (i) => ({ rank: (i * 7) % 180, quota: quota([`k${i % 60}`]) })),
    NOW,
    rules,
  );
  const wanted = Array.from({ length: 180 }, (_, i) => ({ i, rank: (i * 7) % 180 })).sort(
    (a, b) => a.rank - b.rank,
  );
  const seen = new Set<number>();
  const expected = wanted.filter(({ i }) => (i % 60) % 3 !== 0 && seen.size < seen.add(i % 60).size);
  expect(await claimIds(store, { limit: 15 })).toEqual(expected.slice(0, 15).map(({ i }) => `t${i}`));
  expect(await claimIds(store)).toEqual(expected.slice(15).map(({ i }) => `t${i}`));
  await expectConsistent(bench);
});

test('tasks under limits stand among all others, until a claim finds their key full', async () => {
  await using bench = new Bench();
  const { store } = bench;
  const rule = { max: 2, rate: null };
  await store.insert(
    [...many('k', 6, (i) => ({ rank: i, quota: quota(['k']) })), ...many('free', 6, () => ({ rank: 9 }))],
    NOW,
    [{ key: 'k', rule }],
  );
  const places = (table: string) => bench.rows(`SELECT count(*) AS n FROM ${table}`);
  expect(places('quota_lanes')).toEqual([{ n: 0 }]);
  expect(await claimIds(store, { limit: 3 })).toEqual(['k0', 'k1', 'free0']);
  expect(places('quota_lanes')).toEqual([{ n: 4 }]);
  expect(places('ready')).toEqual([{ n: 5 }]);
  await end(store, 'k0', 'completed');
  expect(await claimIds(store, { limit: 2, filter: aFilter({ priorityMin: 1 }) })).toEqual(['k2', 'free1']);
  await expectConsistent(bench);
});

test('a rate that all fit under leaves its tasks among all others; more go to their lane at once', async () => {
  await using bench = new Bench();
  const { store } = bench;
  const rules = [{ key: 'r', rule: { max: null, rate: { max: 100, perMs: 1_000 } } }];
  const places = () =>
    bench.rows('SELECT (SELECT count(*) FROM ready) AS r, (SELECT count(*) FROM quota_lanes) AS q');
  const light = (prefix: string, count: number) =>
    many(prefix, count, (i) => ({ rank: i, quota: quota(['r']) }));
  await store.insert(light('a', 100), NOW, rules);
  expect(places()).toEqual([{ r: 100, q: 0 }]);
  await store.insert(light('b', 50), NOW);
  expect(places()).toEqual([{ r: 100, q: 50 }]);
  expect(await claimIds(store, { limit: 200 })).toHaveLength(100);
  await expectConsistent(bench);
});

test('under a rate no light task overtakes a heavy one of its lane, wherever the two stand', async () => {
  await using bench = new Bench();
  const { store } = bench;
  const rules = [{ key: 'r', rule: { max: null, rate: { max: 100, perMs: 1_000 } } }];
  const weighing = (id: string, rank: number, weight: number) =>
    aRecord({ id, rank, quota: { limits: [{ key: 'r', weight }], fairKey: null, fairWeight: 1 } });
  const other = aRecord({ id: 'other', rank: 5 });
  const batch = [
    weighing('first', 1, 30),
    weighing('heavy', 2, 40),
    weighing('light', 3, 1),
    weighing('late', 6, 1),
  ];
  await store.insert([...batch, other], NOW, rules);
  expect(bench.rows('SELECT count(*) AS n FROM ready')).toEqual([{ n: 5 }]);
  expect(await claimIds(store, { limit: 1 })).toEqual(['first']);
  const first = await read(store, 'first');
  await store.apply([{ ...aChange(first, {}, NOW), spent: [{ key: 'r', weight: 70 }] }], NOW);
  expect(await claimIds(store, { limit: 1 })).toEqual(['other']);
  expect(await claimIds(store, { limit: 5 })).toEqual([]);
  await store.insert([weighing('ahead', 0, 1), weighing('behind', 4, 1)], NOW);
  expect(await claimIds(store, { limit: 5 })).toEqual(['ahead']);
  expect(await claimIds(store, { limit: 5, now: NOW + 2_000 })).toEqual(['heavy', 'light', 'behind', 'late']);
  await expectConsistent(bench);
});

test('a thousand that could not start stand behind one another in their lane, and a claim goes on beyond them', async () => {
  await using bench = new Bench();
  const { store } = bench;
  await insert(
    store,
    many('t', 5_000, (i) => ({ rank: i, quota: quota(['k']) })),
  );
  await insert(store, [aRecord({ id: 'other', rank: 9_000 })]);
  expect(await claimIds(store, { limit: 2 })).toEqual(['t0', 't1']);
  await store.setGates([{ key: 'k', isPaused: true }], NOW);
  expect(await claimIds(store, { limit: 2 })).toEqual(['other']);
  await store.setGates([{ key: 'k', isPaused: false }], NOW);
  expect(await claimIds(store, { limit: 2 })).toEqual(['t2', 't3']);
  await expectConsistent(bench);
});

test('many tasks submitted under a full key never stand where claims look', async () => {
  await using bench = new Bench();
  const rules = [{ key: 'k', rule: { max: 5, rate: null } }];
  await bench.store.insert(
    many('t', 2_500, () => ({ quota: quota(['k']) })),
    NOW,
    rules,
  );
  expect(bench.rows('SELECT count(*) < 200 AS few FROM ready')).toEqual([{ few: 1 }]);
  expect(await claimIds(bench.store, { limit: 10 })).toHaveLength(5);
  await expectConsistent(bench);
});

test('claims look at no lane behind a full key until a place of it is free', async () => {
  await using bench = new Bench();
  const { store } = bench;
  const keys = Array.from({ length: 200 }, (_, i) => `k${i}`);
  const limited = (prefix: string) => many(prefix, 200, (i) => ({ rank: i, quota: quota([`k${i}`]) }));
  const rules = keys.map((key) => ({ key, rule: { max: 1, rate: null } }));
  await store.insert(limited('first'), NOW, rules);
  await claimIds(store, { limit: 200 });
  await store.insert([...limited('then'), ...limited('last')], NOW);
  const kept = () => bench.rows('SELECT count(*) AS n FROM lane_heads WHERE kept_by IS NOT NULL');
  expect(await claimIds(store, { limit: 1 })).toEqual([]);
  expect(kept()).toEqual([{ n: 200 }]);
  await end(store, 'first7', 'completed');
  expect(kept()).toEqual([{ n: 199 }]);
  expect(await claimIds(store, { limit: 2 })).toEqual(['then7']);
  await store.setGates([{ key: 'k9', rule: { max: 3, rate: null } }], NOW);
  expect(await claimIds(store, { limit: 5 })).toEqual(['then9', 'last9']);
  const done = { status: 'completed', owner: null, leaseExpiresAt: null, completedAt: NOW } as const;
  const held = await read(store, 'first11');
  const [, again] = await Promise.all([
    store.apply([aChange(held, done)], NOW),
    claimIds(store, { limit: 2 }),
  ]);
  expect(again).toEqual(['then11']);
  await expectConsistent(bench);
});

test('one tenant with a large backlog delays the single task of another by one at most, among hundreds', async () => {
  await using bench = new Bench();
  const { store } = bench;
  await insert(
    store,
    many('big', 1_000, () => ({ rank: 1, quota: quota([], 'big') })),
  );
  await claimIds(store, { limit: 50 });
  await insert(
    store,
    many('t', 300, (i) => ({ rank: 2, quota: quota([], `tenant${i}`) })),
  );
  const served = [...(await claimIds(store, { limit: 1 })), ...(await claimIds(store, { limit: 310 }))];
  expect(served.filter((id) => id.startsWith('t'))).toHaveLength(300);
  await insert(store, [aRecord({ id: 'late', rank: 9, quota: quota([], 'tenant1') })]);
  expect(await claimIds(store, { limit: 2 })).toContain('late');
  await expectConsistent(bench);
});

test('a damaged gate, or head of a lane, stops nobody else', async () => {
  await using bench = new Bench();
  const { store } = bench;
  await store.insert(
    [
      ...many('k', 2, () => ({ quota: quota(['k']) })),
      ...many('l', 2, () => ({ quota: quota(['l']) })),
      ...many('m', 2, () => ({ quota: quota(['m']) })),
      aRecord({ id: 'free' }),
    ],
    NOW,
    [{ key: 'l', rule: { max: 1, rate: { max: 5, perMs: 1_000 } } }],
  );
  await bench.sql(`UPDATE gates SET max = 'many', used = x'ff', starts = 'soon 1:x', closed_until = 'never', tasks = 'n'
      WHERE key = 'k';
    UPDATE gates SET starts = x'00ff', opens_at = 1 WHERE key = 'l';
    INSERT INTO gates (key, starts, opens_at) VALUES (x'ff', 'x', 5);
    UPDATE lane_heads SET rank = -5, seq = 999 WHERE source = 'm|';
    INSERT INTO lane_heads VALUES (x'ff00', x'00', x'01', 'x', 'y', 'z', x'00', NULL), ('gone', 'k|', '', 0, 0, 1, '9', NULL)`);
  expect((await store.outlook(NOW)).nextDueAt).toBeNull();
  await store.gates(null);
  await store.counts(NOW);
  expect((await claimIds(store)).sort()).toEqual(['free', 'k0', 'k1', 'l0', 'm0', 'm1']);
  await end(store, 'l0', 'completed');
  expect(await claimIds(store)).toEqual(['l1']);
});

test('the next opening of a rate is found though nobody has claimed since the last', async () => {
  await using bench = new Bench();
  const { store } = bench;
  const heavy = { limits: [{ key: 'k', weight: 2 }], fairKey: null, fairWeight: 1 };
  await store.insert(
    many('t', 2, () => ({ quota: quota(['k']) })).concat(many('u', 1, () => ({ rank: 2_000, quota: heavy }))),
    NOW,
    [{ key: 'k', rule: { max: null, rate: { max: 2, perMs: 1_000 } } }],
  );
  await claimIds(store, { limit: 1 });
  await claimIds(store, { limit: 1, now: NOW + 500 });
  const first = (await store.outlook(NOW + 500)).nextDueAt;
  expect(first).toBe(NOW + 1_050);
  expect(await claimIds(store, { now: first! })).toEqual([]);
  const second = (await store.outlook(first!)).nextDueAt;
  expect(second).toBe(NOW + 1_550);
  expect(await claimIds(store, { now: second! })).toEqual(['u0']);
});

test('tasks with a limit that wait for their time, a dependency or an alarm lie in their lane once that has come', async () => {
  await using bench = new Bench();
  const { store } = bench;
  const limited = quota(['k'], 'acme');
  await store.insert(
    [
      aRecord({ id: 'a', quota: limited, alarmAt: NOW + 5 }),
      aRecord({ id: 'b', quota: limited, dependsOn: [on('a')] }),
      aRecord({ id: 'c', quota: limited, runAt: NOW + 50 }),
    ],
    NOW,
  );
  expect((await store.alarmed(NOW + 5, 5)).map(({ id }) => id)).toEqual(['a']);
  expect(await claimIds(store)).toEqual(['a']);
  await end(store, 'a', 'completed');
  await expectConsistent(bench);
  expect(await claimIds(store, { now: NOW + 50 })).toEqual(['b', 'c']);
  await expectConsistent(bench);
});

test('what another process lets through, sets, or forgets at a gate counts in the very next claim', async () => {
  await using bench = new Bench();
  const other = new SQLiteTaskStore(() => SqliteDatabase.open(bench.path, { components: [TASK_COMPONENT] }));
  const { store } = bench;
  await insert(
    store,
    many('t', 4, () => ({ quota: quota(['k']) })),
  );
  await store.setGates([{ key: 'k', rule: { max: 2, rate: null } }], NOW);
  const [own] = await store.claim(aClaim({ limit: 1 }));
  const [its] = await other.claim(aClaim({ limit: 5 }));
  expect([own?.id, its?.id]).toEqual(['t0', 't1']);
  expect(await claimIds(store)).toEqual([]);
  await end(other, 't1', 'completed');
  expect(await claimIds(store, { limit: 5 })).toEqual(['t2']);
  await other.setGates([{ key: 'k', rule: { max: 3, rate: null } }], NOW);
  expect(await claimIds(store, { limit: 5 })).toEqual(['t3']);
  await other.close();
});

test('a claim bears the time when it has the write lock, by the clock of its process', async () => {
  await using bench = new Bench();
  const late = new SQLiteTaskStore(() => bench.database, { now: () => NOW + 400 });
  await insert(
    late,
    many('t', 1, () => ({})),
  );
  const [claimed] = await late.claim(aClaim({ limit: 1, now: NOW, leaseExpiresAt: NOW + 1_000 }));
  expect(claimed?.leaseExpiresAt).toBe(NOW + 1_400);
  expect((await late.history('t0')).at(-1)?.at).toBe(NOW + 400);
});
