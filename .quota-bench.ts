// usage: tsx quota.ts <worktree> ; measures on a private server: CPU of node + redis per task
const root = process.argv[2]!;
const mode = process.argv[3] ?? 'all';
const { RedisServer } = await import(`${root}/test/redis/redis-server.ts`);
const { RedisTaskStore } = await import(`${root}/src/queue/backends/redis/redis-task-store.ts`);
const { RedisConnection } = await import(`${root}/src/redis/redis-connection.ts`);
const server = await RedisServer.start();
const NOW = 1_700_000_000_000;
let seqs = 0;
const TYPES = ['research', 'write', 'review', 'publish'];
const submission = JSON.stringify({ payload: { goal: 'x'.repeat(315) } });
function record(i: number, quota?: any, extra: any = {}) {
  const priority = 1 + (i % 10);
  return { id: `t${++seqs}-${i}`, submission, hash: 'n4bQgYhMfWWaL+qgxVrQFaO/TxsrC4Is0V1sFbDwCgg=', priority, agentType: TYPES[i % 4], agent: null,
    rank: NOW + Math.floor(i / 100) - priority * 60000, createdAt: NOW, runAt: NOW, alarmAt: null, dependsOn: [], join: 'all', ...(quota && { quota }), ...extra };
}
function open() {
  const prefix = `q${Math.random().toString(36).slice(2)}`;
  const connection = new RedisConnection({ url: server.url });
  const store = new RedisTaskStore({ connection, prefix });
  return { store, close: async () => { await store.close(); connection.close(); } };
}
async function redisCpu() { const t = await server.ask('INFO', 'cpu'); return Number(/used_cpu_user:([\d.]+)/.exec(t)![1]) + Number(/used_cpu_sys:([\d.]+)/.exec(t)![1]); }
async function measure(work: () => Promise<number>) {
  const r0 = await redisCpu(); const c0 = process.cpuUsage(); const t0 = performance.now();
  const n = await work();
  const wall = performance.now() - t0; const c = process.cpuUsage(c0); const r = (await redisCpu()) - r0;
  return { wall: (wall * 1000) / n, node: (c.user + c.system) / n, redis: (r * 1e6) / n };
}
const claim = (limit: number, n = NOW) => ({ limit, owner: 'w1', leaseExpiresAt: n + 30_000, filter: null, to: 'in_progress' as const, now: n });
async function end(store: any, records: any[]) {
  await store.apply(records.map((r) => ({ id: r.id, version: r.version, next: { ...r, status: 'completed', owner: null, leaseExpiresAt: null, completedAt: NOW, result: '{"ok":true}' }, event: { from: 'in_progress', to: 'completed', at: NOW, worker: 'w1' } })), NOW);
}
const one = { limits: [{ key: 'k', weight: 1 }], fairKey: null, fairWeight: 1 };
async function cycle(quota: any, rules: any, batch: number, n: number, q2?: (i: number) => any) {
  const { store, close } = open();
  await store.counts(NOW);
  const m = await measure(async () => {
    for (let i = 0; i < n; i += batch) await store.insert(Array.from({ length: batch }, (_, j) => record(i + j, q2 ? q2(i + j) : quota)), NOW, rules);
    let done = 0;
    for (;;) { const got = await store.claim(claim(batch)); if (got.length === 0) break; await end(store, got); done += got.length; }
    if (done !== n) throw new Error(`${done} of ${n}`);
    return n;
  });
  await close();
  return m;
}
async function parked(count: number, quota: any, rules: any, limit: number, rounds: number) {
  const { store, close } = open();
  for (let i = 0; i < count; i += 1000) await store.insert(Array.from({ length: 1000 }, (_, j) => record(i + j, typeof quota === 'function' ? quota(i + j) : quota, { rank: i + j })), NOW, rules);
  const n = limit * rounds;
  for (let i = 0; i < n; i += 1000) await store.insert(Array.from({ length: Math.min(1000, n) }, (_, j) => record(i + j)), NOW);
  await store.claim(claim(1));
  const m = await measure(async () => { for (let i = 0; i < rounds - 1; i++) { const got = await store.claim(claim(limit)); if (got.length !== limit) { throw new Error(`${got.length} of ${limit} in round ${i}`); } } return rounds; });
  await close();
  return m;
}
const fmt = (m: any) => `wall ${m.wall.toFixed(1)} node ${m.node.toFixed(1)} redis ${m.redis.toFixed(1)} µs`;
const median = (a: any[], by: string) => a.map((m) => m[by]).sort((x, y) => x - y)[a.length >> 1];
async function alternate(named: Record<string, () => Promise<any>>, rounds: number) {
  const got: Record<string, any[]> = {};
  for (let i = 0; i < rounds; i++) for (const [name, run] of Object.entries(named)) (got[name] ??= []).push(await run());
  const base = Object.keys(named)[0]!;
  for (const name of Object.keys(named)) {
    const m = Object.fromEntries(['wall', 'node', 'redis'].map((by) => [by, median(got[name]!, by)]));
    const ratio = ['wall', 'node', 'redis'].map((by) => (m[by]! / median(got[base]!, by)).toFixed(2)).join(' / ');
    console.log(name.padEnd(34), fmt(m), ' ratio', ratio);
  }
}
const rules = [{ key: 'k', rule: { max: 1000, rate: null } }];
const rate = [{ key: 'k', rule: { max: null, rate: { max: 1e9, perMs: 60000 } } }];
const full = [{ key: 'k', rule: { max: 0, rate: null } }];
if (mode === 'plain' || mode === 'all') await alternate({ 'plain 100': () => cycle(undefined, undefined, 100, 5_000), 'plain 1': () => cycle(undefined, undefined, 1, 2_000) }, 3);
if (mode === 'limit' || mode === 'all') await alternate({ none: () => cycle(undefined, undefined, 100, 5_000), 'one key': () => cycle(one, rules, 100, 5_000), 'one key, rate': () => cycle(one, rate, 100, 5_000),
  '100 tenants': () => cycle(undefined, undefined, 100, 5_000, (i) => ({ limits: [{ key: `t${i % 100}`, weight: 1 }], fairKey: null, fairWeight: 1 })),
  '10 fair': () => cycle(undefined, undefined, 100, 5_000, (i) => ({ limits: [], fairKey: `f${i % 10}`, fairWeight: 1 })),
  '1000 fair': () => cycle(undefined, undefined, 100, 5_000, (i) => ({ limits: [], fairKey: `f${i % 1000}`, fairWeight: 1 })) }, 3);
if (mode === 'parked' || mode === 'all') for (const limit of [1, 100]) {
  const rounds = limit === 1 ? 1500 : 60;
  await alternate({ [`empty, claims of ${limit}`]: () => parked(0, undefined, undefined, limit, rounds), '100k behind one key': () => parked(100_000, one, full, limit, rounds),
   '100k behind 1000 keys': () => parked(100_000, (i: number) => ({ limits: [{ key: `k${i % 1000}`, weight: 1 }], fairKey: null, fairWeight: 1 }), Array.from({length: 1000}, (_, i) => ({ key: `k${i}`, rule: { max: 0, rate: null } })), limit, rounds) }, 3);
}
if (mode === 'fair1') {
  await alternate({ 'plain 1': () => cycle(undefined, undefined, 1, 2_000), '1000 fair 1': () => cycle(undefined, undefined, 1, 2_000, (i) => ({ limits: [], fairKey: `f${i % 1000}`, fairWeight: 1 })), 'one key 1': () => cycle(one, rules, 1, 2_000) }, 3);
}
await server.stop();
process.exit(0);
