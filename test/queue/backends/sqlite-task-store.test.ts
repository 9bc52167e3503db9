import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { CHECKPOINT_COMPONENT } from '../../../src/checkpoint/component.ts';
import * as claiming from '../../../src/queue/backends/sqlite/claiming.ts';
import * as counting from '../../../src/queue/backends/sqlite/counting.ts';
import * as depending from '../../../src/queue/backends/sqlite/dependents.ts';
import * as gating from '../../../src/queue/backends/sqlite/gate-rows.ts';
import * as reading from '../../../src/queue/backends/sqlite/lane-cursor.ts';
import * as listing from '../../../src/queue/backends/sqlite/listing.ts';
import * as looking from '../../../src/queue/backends/sqlite/outlook.ts';
import * as laning from '../../../src/queue/backends/sqlite/quota-lane.ts';
import * as sourcing from '../../../src/queue/backends/sqlite/quota-lanes.ts';
import * as merging from '../../../src/queue/backends/sqlite/ready-lanes.ts';
import * as storing from '../../../src/queue/backends/sqlite/sqlite-task-store.ts';
import * as passing from '../../../src/queue/backends/sqlite/transaction-gates.ts';
import * as turning from '../../../src/queue/backends/sqlite/transaction-turns.ts';
import { SqliteDatabase } from '../../../src/sqlite/sqlite-database.ts';
import {
  aChange,
  aClaim,
  aFilter,
  aRecord,
  claimIds,
  claimOne,
  end,
  insert,
  insertIds,
  NOW,
  on,
  read,
} from '../../../src/testing/task-store-cases/steps.ts';

const CLAIMER = fileURLToPath(new URL('./sqlite-claimer.ts', import.meta.url));

/** A store in a folder of its own, and the database below it. */
class Bench {
  readonly folder = mkdtempSync(join(tmpdir(), 'jotty-sqlite-'));
  readonly path = join(this.folder, 'tasks.db');
  readonly database = SqliteDatabase.open(this.path, { components: [storing.TASK_COMPONENT] });
  readonly store = new storing.SQLiteTaskStore(() => this.database);

  sql(statement: string): Promise<unknown> {
    return this.database.write((connection) => connection.raw.exec(statement));
  }

  count(table: string): unknown {
    return this.database.read((connection) => connection.prepareValue(`SELECT count(*) FROM ${table}`).get());
  }

  start(owner: string, mode = 'claim') {
    return spawn(process.execPath, ['--import', 'tsx', CLAIMER, this.path, owner, mode], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.store.close();
    await this.database.close();
    rmSync(this.folder, { recursive: true });
  }
}

function ids(count: number, prefix = 't'): string[] {
  return Array.from({ length: count }, (_, i) => `${prefix}${i}`);
}

describe('query plans', () => {
  const exported: Record<string, unknown> = {
    ...claiming,
    ...reading,
    ...counting,
    ...depending,
    ...gating,
    ...laning,
    ...listing,
    ...merging,
    ...passing,
    ...sourcing,
    ...storing,
    ...turning,
  };
  const statements = Object.entries(exported).flatMap(([name, sql]): [string, string][] =>
    typeof sql === 'string' && /^[A-Z]+ /.test(sql) ? [[name, sql]] : [],
  );

  test.each(statements)(
    '%s goes by an index, without sorting and without reading a whole table',
    async (_, sql) => {
      await using bench = new Bench();
      const values = Array.from(sql.matchAll(/\?/g), () => 1);
      const plan = bench.database.read((connection) =>
        connection.prepare(`EXPLAIN QUERY PLAN ${sql}`).all(...values),
      ) as { detail: string }[];
      const details = plan.map((step) => step.detail);
      expect(details.filter((detail) => /TEMP B-TREE/.test(detail))).toEqual([]);
      // The first lane and the first ready tasks are the first entries of their tables, which nothing has to sort.
      // Nothing else may scan what grows with the queue.
      const scans = details.filter((detail) =>
        /^SCAN (states|tasks|s|t|edges|e|ready|ready_lanes|r|quota_lanes|lane_heads|l|gates|turns|alarms|a)\b/.test(
          detail,
        ),
      );
      expect(
        scans.filter((detail) => !/^SCAN (ready|ready_lanes|lane_heads|l|gates)\b/.test(detail)),
      ).toEqual([]);
      if (scans.length > 0) expect(sql).toMatch(/LIMIT (1|\+\?)|EXISTS/);
      expect(details.join('\n')).toMatch(/PRIMARY KEY|INDEX/);
      // A bare parameter there has the statement planned anew each time it is bound.
      expect(sql).not.toMatch(/LIMIT \?/);
    },
  );

  test('a claim reads the ready tasks in the order of their key, a filtered one the table of the lanes', async () => {
    await using bench = new Bench();
    const plan = (sql: string, ...values: (string | number)[]) =>
      bench.database.read((connection) =>
        (connection.prepare(`EXPLAIN QUERY PLAN ${sql}`).all(...values) as { detail: string }[]).map(
          (step) => step.detail,
        ),
      );
    expect(plan(claiming.SELECT_READY, 1)).toEqual([
      'SCAN ready',
      'SEARCH t USING INTEGER PRIMARY KEY (rowid=?)',
      'SEARCH s USING INDEX states_by_seq (seq=?) LEFT-JOIN',
    ]);
    expect(plan(merging.SELECT_LANE_HEADS, 'x', 1, 1, 1)).toEqual([
      'SEARCH ready_lanes USING PRIMARY KEY (lane=? AND (due,seq)>(?,?))',
    ]);
  });

  test('a claim goes by the heads of the lanes in the order of their turns, then by the places of one lane', async () => {
    await using bench = new Bench();
    const plan = (sql: string, ...values: (string | number)[]) =>
      bench.database.read((connection) =>
        (connection.prepare(`EXPLAIN QUERY PLAN ${sql}`).all(...values) as { detail: string }[]).map(
          (step) => step.detail,
        ),
      );
    expect(plan(reading.SELECT_SOURCE_HEADS, 'k|', 1, 1, 1, 1)).toEqual([
      'SEARCH lane_heads USING INDEX lane_heads_by_turn (source=? AND (turn,rank,seq)>(?,?,?))',
    ]);
    expect(plan(reading.SELECT_ALL_HEADS, 1, 1, 1, 1)).toEqual([
      'SEARCH lane_heads USING INDEX lane_heads_in_order ((turn,rank,seq)>(?,?,?))',
    ]);
    expect(plan(sourcing.FREE_KEPT, 1, 'k')).toEqual([
      'SEARCH lane_heads USING INDEX lane_heads_kept (kept_by=?)',
    ]);
    expect(plan(laning.SELECT_PLACES, 'x', 1, 1, 1)).toEqual([
      'SEARCH quota_lanes USING PRIMARY KEY (lane=? AND (rank,seq)>(?,?))',
    ]);
    expect(plan(storing.SELECT_ALARMED, 1, 1)).toEqual([
      'SEARCH a USING PRIMARY KEY (at<?)',
      'SEARCH s USING INDEX states_by_seq (seq=?)',
      'SEARCH t USING INTEGER PRIMARY KEY (rowid=?)',
    ]);
    expect(plan(looking.HAS_EXPIRED, 1)).toEqual(['SEARCH states USING PRIMARY KEY (stage=? AND due<?)']);
    expect(plan(looking.HAS_UNJUDGED)).toEqual(['SCAN edges USING COVERING INDEX edges_unjudged']);
  });
});

test('every commit reaches the disk: synchronous is FULL, the journal a WAL', async () => {
  await using bench = new Bench();
  const pragma = (name: string) =>
    bench.database.read((connection) => connection.raw.pragma(name, { simple: true }));
  expect(pragma('synchronous')).toBe(2);
  expect(pragma('journal_mode')).toBe('wal');
});

test('inserts, claims and changes in flight together share one commit', async () => {
  await using bench = new Bench();
  await insertIds(bench.store, ids(50, 'early'));
  const held = await bench.store.claim(aClaim({ limit: 50 }));
  const before = bench.database.commitCount;
  await Promise.all([
    ...ids(50).map((id) => bench.store.insert([aRecord({ id })], NOW)),
    ...held.map((record) =>
      bench.store.apply([aChange(record, { status: 'completed', completedAt: NOW })], NOW),
    ),
    bench.store.claim(aClaim({ limit: 10 })),
  ]);
  expect(bench.database.commitCount - before).toBe(1);
  const { byStatus } = await bench.store.counts(NOW);
  expect(byStatus).toMatchObject({ pending: 40, assigned: 10, completed: 50 });
});

test('an operation that breaks fails alone, what shared its commit is stored', async () => {
  await using bench = new Bench();
  const broken = { ...aRecord({ id: 'broken' }), rank: null as unknown as number };
  const outcomes = await Promise.allSettled([
    bench.store.insert([aRecord({ id: 'a' })], NOW),
    bench.store.insert([aRecord({ id: 'half' }), broken], NOW),
    bench.store.insert([aRecord({ id: 'b' })], NOW),
  ]);
  expect(outcomes.map((outcome) => outcome.status)).toEqual(['fulfilled', 'rejected', 'fulfilled']);
  expect(await bench.store.get(['half', 'broken'])).toEqual([null, null]);
  expect((await bench.store.counts(NOW)).byStatus.pending).toBe(2);
  expect(await claimIds(bench.store)).toEqual(['a', 'b']);
});

test('a refused large batch leaves nothing behind, neither rows nor counts', async () => {
  await using bench = new Bench();
  await insertIds(bench.store, ['t2999']);
  const outcome = await bench.store.insert(
    ids(3_000).map((id) => aRecord({ id })),
    NOW,
  );
  expect(outcome.conflicts.map((record) => record.id)).toEqual(['t2999']);
  expect((await bench.store.counts(NOW)).byStatus.pending).toBe(1);
  expect(await claimIds(bench.store)).toEqual(['t2999']);
});

test('several processes claim from one file, and no task is claimed twice', { timeout: 60_000 }, async () => {
  await using bench = new Bench();
  await insertIds(bench.store, ids(600));
  const children = ['a', 'b', 'c'].map((owner) => bench.start(owner));
  await Promise.all(children.map((child) => once(child.stdout, 'data')));
  const outputs = children.map((child) => text(child.stdout));
  for (const child of children) child.stdin.end('go\n');
  const claimed = (await Promise.all(outputs)).join('').trim().split('\n');
  expect(claimed).toHaveLength(600);
  expect(new Set(claimed)).toEqual(new Set(ids(600)));
  expect((await bench.store.counts(NOW)).byStatus.assigned).toBe(600);
});

test('a write of another process wakes this one without a poll', { timeout: 60_000 }, async () => {
  await using bench = new Bench();
  await insertIds(bench.store, ['first']);
  const child = bench.start('news', 'insert');
  await once(child.stdout, 'data');
  const woken = new Promise<void>((resolve) => {
    const stop = bench.store.watch(() => {
      stop();
      resolve();
    });
  });
  child.stdin.end('go\n');
  await woken;
  expect((await read(bench.store, 'news')).status).toBe('pending');
});

test.each([
  { what: 'status', statuses: ['failed'], agentTypes: null },
  { what: 'type', statuses: ['pending'], agentTypes: ['rare'] },
] as const)(
  'a rare $what among many tasks is looked for in slices, with turns of the loop between them',
  async (rare) => {
    await using bench = new Bench();
    await insertIds(bench.store, ids(9_000));
    await bench.store.claim(aClaim({ limit: 9_000 }));
    await insert(bench.store, [aRecord({ id: 'failed' }), aRecord({ id: 'pending', agentType: 'rare' })]);
    await end(bench.store, 'failed', 'failed');
    let turns = 0;
    let isListing = true;
    const countTurns = () => {
      turns++;
      if (isListing) setImmediate(countTurns);
    };
    setImmediate(countTurns);
    const { statuses, agentTypes } = rare;
    const page = await bench.store.list({ statuses, agentTypes, createdAfter: null, after: 0, limit: 10 });
    isListing = false;
    expect(page.records.map((record) => record.id)).toEqual(statuses);
    expect(page.next).toBeNull();
    expect(turns).toBeGreaterThanOrEqual(4);
  },
);

test('purge removes the checkpoints kept beside a task, and only its own', async () => {
  await using bench = new Bench();
  await bench.database.install(CHECKPOINT_COMPONENT);
  await insertIds(bench.store, ['gone', 'kept']);
  for (const id of ['gone', 'kept']) {
    await bench.sql(
      `INSERT INTO checkpoints (thread_id, checkpoint_ns, checkpoint_id, type, checkpoint, metadata_type, metadata)
       VALUES ('${id}', '', '1', 'json', x'7b7d', 'json', x'7b7d')`,
    );
  }
  await end(bench.store, 'gone', 'completed', NOW);
  expect((await bench.store.purge(NOW + 1, 10)).tasks).toEqual(['gone']);
  const threads = bench.database.read((connection) =>
    connection.prepareValue('SELECT thread_id FROM checkpoints').all(),
  );
  expect(threads).toEqual(['kept']);
});

test('a task whose result somebody still has to judge is not purged', async () => {
  await using bench = new Bench();
  await insertIds(bench.store, ['a']);
  await insert(bench.store, [aRecord({ id: 'b', dependsOn: [on('a', 'custom', 'good')] })]);
  await end(bench.store, 'a', 'completed', NOW);
  expect((await bench.store.purge(NOW + 1, 10)).tasks).toEqual([]);
  await bench.store.judge(
    [{ taskId: 'b', dependencyId: 'a', condition: 'good', holds: true, reason: '' }],
    NOW,
  );
  expect((await bench.store.purge(NOW + 1, 10)).tasks).toEqual(['a']);
});

test('a sequence is never given again, also when the newest task was purged', async () => {
  await using bench = new Bench();
  await insertIds(bench.store, ['a']);
  const { seq } = await read(bench.store, 'a');
  await end(bench.store, 'a', 'completed', NOW);
  await bench.store.purge(NOW + 1, 10);
  await insertIds(bench.store, ['a']);
  expect((await read(bench.store, 'a')).seq).toBeGreaterThan(seq);
});

test('a held task that another store has changed is refused, whatever this one remembers of it', async () => {
  await using bench = new Bench();
  const other = new storing.SQLiteTaskStore(() =>
    SqliteDatabase.open(bench.path, { components: [storing.TASK_COMPONENT] }),
  );
  await insertIds(bench.store, ['a']);
  const held = await claimOne(bench.store);
  await other.apply([aChange(held, { status: 'cancelled', completedAt: NOW })], NOW);
  expect(await bench.store.apply([aChange(held, { status: 'completed', completedAt: NOW })], NOW)).toEqual([
    null,
  ]);
  await other.close();
});

test('a filtered claim takes from several lanes in one order, more than one portion of each', async () => {
  await using bench = new Bench();
  const types = ['x', 'y', 'z'];
  await insert(
    bench.store,
    ids(90).map((id, i) => aRecord({ id, agentType: types[(i * i) % 3]!, rank: (i * 37) % 90 })),
  );
  const wanted = ids(90)
    .map((id, i) => ({ id, type: types[(i * i) % 3]!, rank: (i * 37) % 90 }))
    .filter(({ type }) => type !== 'x')
    .sort((a, b) => a.rank - b.rank)
    .map(({ id }) => id);
  const filter = aFilter({ agentTypes: ['z', 'y'] });
  expect(await claimIds(bench.store, { filter, limit: 40 })).toEqual(wanted.slice(0, 40));
});

test('garbage in a row stops nobody: everything else runs, lists and counts still answer', async () => {
  await using bench = new Bench();
  await insertIds(bench.store, ['status', 'lane', 'history', 'numbers', 'good']);
  // Written back by a release, so that there is a state to damage.
  for (const record of await bench.store.claim(aClaim({ limit: 4 }))) {
    await bench.store.apply([aChange(record, { status: 'pending', owner: null, leaseExpiresAt: null })], NOW);
  }
  const garble = (id: string, set: string) =>
    bench.sql(`UPDATE states SET ${set} WHERE seq = (SELECT seq FROM tasks WHERE id = '${id}')`);
  await garble('status', "status = 'gibberish'");
  await bench.sql("UPDATE tasks SET lane = x'ff00ff' WHERE id = 'lane'");
  await garble('history', "history = 'zz' || char(10) || x'ff'");
  await garble('numbers', "fence = 'many', retry_count = x'00', run_at = 'soon', events = 'none'");
  await bench.sql("UPDATE tasks SET submission = x'ff', hash = x'00' WHERE id = 'good'");
  expect((await read(bench.store, 'status')).status).toBe('failed');
  for (const id of ['status', 'lane', 'history', 'numbers', 'good']) await bench.store.history(id);
  await bench.store.counts(NOW);
  expect(await claimIds(bench.store, { filter: aFilter({ priorityMin: 1 }) })).toContain('good');
  await claimIds(bench.store);
  const query = { agentTypes: null, createdAfter: null, after: 0, limit: 10 };
  expect((await bench.store.list({ ...query, statuses: null })).records).toHaveLength(5);
  await bench.store.list({ ...query, statuses: ['assigned'], agentTypes: ['x'] });
});

test('places in the lists of ready tasks that no task confirms are passed over, and cleared away', async () => {
  await using bench = new Bench();
  const { store } = bench;
  await insert(store, [
    aRecord({ id: 'other', agentType: 'y', rank: 1 }),
    ...ids(5).map((id) => aRecord({ id, agentType: 'x' })),
    aRecord({ id: 'gone', agentType: 'x', rank: 1 }),
    aRecord({ id: 'moved', agentType: 'x', rank: 2 }),
  ]);
  const filter = aFilter({ agentTypes: ['x'] });
  expect(await claimIds(store, { filter, limit: 1 })).toEqual(['gone']);
  // As after damage: places of a task that is taken, of nobody, of one that stands elsewhere; a lane that is none.
  await bench.sql(`INSERT INTO ready_lanes SELECT lane, -1, seq FROM tasks WHERE id = 'gone';
    UPDATE tasks SET lane = 'damaged' WHERE id = 'moved';
    INSERT INTO ready_lanes SELECT lane, -2, 999 FROM tasks WHERE id = 't0' UNION SELECT lane, -3, seq FROM tasks WHERE id = 't2';
    INSERT INTO ready SELECT -5, 998 UNION SELECT -4, seq FROM tasks WHERE id = 'gone'`);
  expect(await claimIds(store, { filter, limit: 1 })).toEqual(['t0']);
  expect(await claimIds(store, { filter, limit: 2 })).toEqual(['t1', 't2']);
  expect(await claimIds(store, { limit: 10 })).toEqual(['other', 'moved', 't3', 't4']);
  expect(bench.count('ready')).toBe(0);
  expect(await claimIds(store, { filter, limit: 10 })).toEqual([]);
  expect(bench.count('ready_lanes')).toBe(0);
});

test('without its counters a store goes on, and gives no sequence twice that it can see', async () => {
  await using bench = new Bench();
  await insertIds(bench.store, ['a']);
  await bench.sql('DELETE FROM totals');
  await insertIds(bench.store, ['b']);
  expect((await read(bench.store, 'b')).seq).toBeGreaterThan((await read(bench.store, 'a')).seq);
  expect(await claimIds(bench.store)).toEqual(['a', 'b']);
});
