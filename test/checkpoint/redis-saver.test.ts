import { Annotation, END, Send, START, StateGraph } from '@langchain/langgraph';
import { emptyCheckpoint, uuid6 } from '@langchain/langgraph-checkpoint';
import { Redis } from 'ioredis';
import { Redis as Redis5 } from 'ioredis-5';
import { describe, expect, test } from 'vitest';
import { FENCE_KEY } from '../../src/checkpoint/fence.ts';
import { purgeRedisCheckpoints } from '../../src/checkpoint/redis-keys.ts';
import { RedisSaver } from '../../src/checkpoint/redis-saver.ts';
import { RedisConnection } from '../../src/redis/redis-connection.ts';
import { RedisServer } from '../redis/redis-server.ts';
import { sharedRedis } from '../redis/shared-redis.ts';
import { until } from '../redis/until.ts';

const redis = sharedRedis();

const METADATA = { source: 'loop' as const, step: 0, parents: {} };
const State = Annotation.Root({
  value: Annotation<unknown>,
  trail: Annotation<string[]>({ reducer: (a, b) => [...a, ...b], default: () => [] }),
});

const config = (threadId: string, more: object = {}) => ({
  configurable: { thread_id: threadId, checkpoint_ns: '', ...more },
});
const run = (threadId: string) => ({ ...config(threadId), durability: 'sync' as const });
const checkpointOf = (value: unknown) => ({
  ...emptyCheckpoint(),
  id: uuid6(0),
  channel_values: { value },
  channel_versions: { value: 1 },
});

function graphWith(checkpointer: RedisSaver, second: () => unknown = () => 'done') {
  return new StateGraph(State)
    .addNode('one', () => ({ trail: ['one'] }))
    .addNode('two', async () => ({ value: await second(), trail: ['two'] }))
    .addEdge(START, 'one')
    .addEdge('one', 'two')
    .addEdge('two', END)
    .compile({ checkpointer });
}

/** How many scripts ran while `work` did. */
async function scriptsDuring(work: () => Promise<unknown>): Promise<number> {
  const count = async () => {
    const info = await redis.server.ask<string>('INFO', 'commandstats');
    return [...info.matchAll(/cmdstat_eval(?:sha)?:calls=(\d+).*?failed_calls=(\d+)/g)]
      .map(([, calls, failed]) => Number(calls) - Number(failed))
      .reduce((a, b) => a + b, 0);
  };
  const before = await count();
  await work();
  return (await count()) - before;
}

/** All that Redis holds under a prefix. */
async function everything(server: RedisServer, prefix: string): Promise<string> {
  const keys = (await server.ask<string[]>('KEYS', `${prefix}:*`)).sort();
  const held = keys.map((key) =>
    key.endsWith(':index') ? server.ask('ZRANGE', key, 0, -1) : server.ask('HGETALL', key).then(sortedPairs),
  );
  return JSON.stringify([keys, await Promise.all(held)]);
}

/** Redis gives the fields of a hash in no order. */
function sortedPairs(flat: unknown): string[] {
  const texts = flat as string[];
  return texts.flatMap((field, i) => (i % 2 === 0 ? [JSON.stringify([field, texts[i + 1]])] : [])).sort();
}

describe('round trips', () => {
  test('a put, a putWrites, a read and a history take one each; those of one turn share one', async () => {
    await using saver = new RedisSaver({ url: redis.url, prefix: redis.prefix() });
    await saver.getTuple(config('t'));
    let saved = config('t');
    const put = async () => {
      saved = (await saver.put(saved, checkpointOf('x'), METADATA, { value: 1 })) as typeof saved;
    };
    await put();
    expect(await scriptsDuring(put)).toBe(1);
    expect(await scriptsDuring(() => saver.putWrites(saved, [['value', 1]], 'task'))).toBe(1);
    expect(await scriptsDuring(() => saver.getTuple(config('t')))).toBe(1);
    expect(
      await scriptsDuring(() => saver.getDeltaChannelHistory({ config: config('t'), channels: ['other'] })),
    ).toBe(1);
    const many = () =>
      Promise.all([
        ...Array.from({ length: 50 }, (_, i) =>
          saver.put(config(`t${i}`), checkpointOf(i), METADATA, { value: 1 }),
        ),
        saver.putWrites(saved, [['value', 2]], 'another'),
        put(),
      ]);
    expect(await scriptsDuring(many)).toBe(1);
    expect((await saver.getTuple(config('t7')))?.checkpoint.channel_values).toEqual({ value: 7 });
  });

  test('no run asks for the keys of Redis', async () => {
    await using saver = new RedisSaver({ url: redis.url, prefix: redis.prefix() });
    await redis.server.ask('CONFIG', 'RESETSTAT');
    const graph = graphWith(saver);
    await graph.invoke({ value: 1 }, run('t'));
    await graph.getState(config('t'));
    for await (const _ of graph.getStateHistory(config('t')));
    await saver.prune({ threadId: 't' });
    await saver.deleteThread('t');
    expect(await redis.server.ask('INFO', 'commandstats')).not.toMatch(/cmdstat_(keys|scan)/);
  });
});

describe('what is kept', () => {
  test('user data that looks like a class comes back, and a BigInt is refused', async () => {
    await using saver = new RedisSaver({ url: redis.url, prefix: redis.prefix() });
    const evil = JSON.parse(
      '{"lc":1,"type":"constructor","id":["os","system"],"__proto__":{"a":"\\n\\t\\ud800"}}',
    );
    let produced: unknown = { deep: [1n] };
    const graph = graphWith(saver, () => produced);
    await expect(graph.invoke({ value: 0 }, run('t'))).rejects.toMatchObject({
      code: 'STATE_NOT_SERIALIZABLE',
      message: expect.stringContaining('state.deep[0]'),
    });
    produced = evil;
    await graph.invoke(null, run('t'));
    const { values } = await graph.getState(config('t'));
    expect(JSON.stringify(values.value)).toBe(JSON.stringify(evil));
    expect(values.trail).toEqual(['one', 'two']);
  });

  test('ids, namespaces and channels may hold anything', async () => {
    await using saver = new RedisSaver({ url: redis.url, prefix: redis.prefix() });
    const odd = ['a}b', '}', '{', 'x"y', 'n\newline', 't\tab', 'ünïcödé 😀', '\u0000', '*?[a]', '\\'];
    for (const id of odd) {
      const channel = `channel ${id}`;
      const checkpoint = {
        ...checkpointOf(0),
        id: `${uuid6(0)} ${id}`,
        channel_values: { [channel]: id },
        channel_versions: { [channel]: `version ${id}` },
      };
      const saved = await saver.put(
        config(id, { checkpoint_ns: `ns ${id}` }),
        checkpoint,
        METADATA,
        checkpoint.channel_versions,
      );
      await saver.putWrites(saved, [[channel, id]], `task ${id}`, `path ${id}`);
    }
    for (const id of odd) {
      const tuple = await saver.getTuple(config(id, { checkpoint_ns: `ns ${id}` }));
      expect(tuple?.checkpoint.channel_values).toEqual({ [`channel ${id}`]: id });
      expect(tuple?.pendingWrites).toEqual([[`task ${id}`, `channel ${id}`, id]]);
    }
    const found = [];
    for await (const { config } of saver.list({})) found.push(config.configurable?.thread_id);
    expect(found.sort()).toEqual([...odd].sort());
  });

  test('the writes of many tasks come back in the order of their paths, each once', async () => {
    await using saver = new RedisSaver({ url: redis.url, prefix: redis.prefix() });
    const saved = await saver.put(config('t'), checkpointOf(0), METADATA, { value: 1 });
    const path = (i: number) => `~__pregel_push, ${String(999 - i).padStart(3, '0')}`;
    const tasks = Array.from({ length: 300 }, (_, i) => i);
    await Promise.all(tasks.map((i) => saver.putWrites(saved, [['value', i]], `task ${i}`, path(i))));
    // Written again by a second attempt, with more: the first counts, what is new is added, a special one replaced.
    await saver.putWrites(
      saved,
      [
        ['value', 'again'],
        ['more', 1],
      ],
      'task 0',
      path(0),
    );
    await saver.putWrites(saved, [['__error__', 'first']], 'task 7', path(7));
    await saver.putWrites(saved, [['__error__', 'second']], 'task 7', path(7));
    await saver.putWrites(saved, [['value', 'again']], 'task 9', path(9));

    const writes = (await saver.getTuple(config('t')))?.pendingWrites ?? [];
    const values = writes.filter(([, channel]) => channel === 'value').map(([, , value]) => value);
    expect(values).toEqual([...tasks].reverse());
    expect(writes.filter(([, channel]) => channel !== 'value')).toEqual([
      ['task 7', '__error__', 'second'],
      ['task 0', 'more', 1],
    ]);
  });

  test('a graph with many sends and more channels than one command takes', async () => {
    await using saver = new RedisSaver({ url: redis.url, prefix: redis.prefix() });
    const graph = new StateGraph(State)
      .addNode('work', ({ value }) => ({ trail: [`item ${value}`] }))
      .addConditionalEdges(START, () => Array.from({ length: 60 }, (_, i) => new Send('work', { value: i })))
      .addEdge('work', END)
      .compile({ checkpointer: saver });
    const { trail } = await graph.invoke({ value: 0 }, run('t'));
    expect(trail).toHaveLength(60);
    const names = Array.from({ length: 2_500 }, (_, i) => `channel ${i}`);
    const checkpoint = {
      ...emptyCheckpoint(),
      channel_values: Object.fromEntries(names.map((name) => [name, name])),
      channel_versions: Object.fromEntries(names.map((name) => [name, 1])),
    };
    await saver.put(config('wide'), checkpoint, METADATA, checkpoint.channel_versions);
    expect((await saver.getTuple(config('wide')))?.checkpoint).toEqual(checkpoint);
  });

  test('a listing longer than a page is complete and in order, with any filter', async () => {
    await using saver = new RedisSaver({ url: redis.url, prefix: redis.prefix() });
    const ids: string[] = [];
    for (let i = 0; i < 120; i++) {
      const checkpoint = { ...checkpointOf(i), id: uuid6(i) };
      ids.unshift(checkpoint.id);
      await saver.put(config(i % 2 === 0 ? 't' : 'u'), checkpoint, { ...METADATA, step: i }, {});
    }
    const listed = async (...args: Parameters<RedisSaver['list']>) => {
      const found = [];
      for await (const tuple of saver.list(...args)) found.push(tuple.checkpoint.id);
      return found;
    };
    expect(await listed({})).toEqual(ids);
    expect(await listed({ configurable: { thread_id: 't' } })).toEqual(ids.filter((_, i) => i % 2 === 1));
    expect(await listed(config('t'))).toEqual(ids.filter((_, i) => i % 2 === 1));
    expect(await listed(config('u'), { before: config('u', { checkpoint_id: ids[10]! }), limit: 3 })).toEqual(
      [ids[12], ids[14], ids[16]],
    );
    expect(await listed(config('t'), { filter: { step: 4 } })).toEqual([ids[115]]);
  });
});

describe('a fence', () => {
  test('a refused write leaves no trace, and what else is in its round trip passes', async () => {
    const prefix = redis.prefix();
    await using saver = new RedisSaver({ url: redis.url, prefix });
    const saved = await saver.put(config('t', { [FENCE_KEY]: 1 }), checkpointOf(1), METADATA, { value: 1 });
    await saver.advanceFence('t', 2);
    const before = await everything(redis.server, prefix);
    const zombie = config('t', { [FENCE_KEY]: 1, checkpoint_id: saved.configurable?.checkpoint_id });
    const outcomes = await Promise.allSettled([
      saver.put(zombie, checkpointOf(2), METADATA, { value: 2 }),
      saver.putWrites(zombie, [['value', 2]], 'task'),
      saver.advanceFence('t', 1),
    ]);
    for (const outcome of outcomes)
      expect(outcome).toMatchObject({
        status: 'rejected',
        reason: { code: 'LEASE_LOST', taskId: 't', fence: 1 },
      });
    expect(await everything(redis.server, prefix)).toBe(before);

    const [refused, heir, other] = await Promise.allSettled([
      saver.put(zombie, checkpointOf(3), METADATA, { value: 3 }),
      saver.put(config('t', { [FENCE_KEY]: 2 }), checkpointOf(4), METADATA, { value: 4 }),
      saver.put(config('u', { [FENCE_KEY]: 1 }), checkpointOf(5), METADATA, { value: 5 }),
    ]);
    expect([refused.status, heir.status, other.status]).toEqual(['rejected', 'fulfilled', 'fulfilled']);
  });

  test('two processes: the heir raises the fence on its own connection before it reads', async () => {
    const prefix = redis.prefix();
    await using first = new RedisSaver({ url: redis.url, prefix });
    await using heir = new RedisSaver({ url: redis.url, prefix });
    const fence = Number.MAX_SAFE_INTEGER - 1;
    await first.put(config('t', { [FENCE_KEY]: fence }), checkpointOf('first'), METADATA, { value: 1 });
    await heir.advanceFence('t', fence + 1);
    const seen = await heir.getTuple(config('t'));
    await expect(
      first.put(config('t', { [FENCE_KEY]: fence }), checkpointOf('late'), METADATA, { value: 1 }),
    ).rejects.toMatchObject({ code: 'LEASE_LOST' });
    expect(await heir.getTuple(config('t'))).toEqual(seen);
  });
});

/** Sends each script twice, as after a lost reply, and compares what is stored. */
class TwiceConnection extends RedisConnection {
  repeats = 0;
  readonly #state: () => Promise<string>;

  constructor(url: string, state: () => Promise<string>) {
    super({ url });
    this.#state = state;
  }

  override async run(...args: Parameters<RedisConnection['run']>): Promise<unknown> {
    await super.run(...args);
    const before = await this.#state();
    const reply = await super.run(...args);
    expect(await this.#state()).toBe(before);
    this.repeats++;
    return reply;
  }
}

test('every script may be sent twice', async () => {
  const prefix = redis.prefix();
  const connection = new TwiceConnection(redis.url, () => everything(redis.server, prefix));
  const saver = new RedisSaver({ connection, prefix });
  const graph = graphWith(saver);
  await saver.advanceFence('t', 3);
  for (let i = 0; i < 3; i++)
    await graph.invoke({ value: i }, { ...config('t', { [FENCE_KEY]: 3 }), durability: 'sync' });
  const { config: saved } = (await saver.getTuple(config('t')))!;
  await saver.putWrites(saved, [['value', 1]], 'a');
  await saver.putWrites(
    saved,
    [
      ['__error__', 1],
      ['value', 2],
    ],
    'b',
  );
  await saver.putWrites(
    saved,
    [
      ['__error__', 2],
      ['value', 3],
      ['value', 4],
    ],
    'b',
  );
  const { values } = await graph.getState(config('t'));
  await saver.prune({ threadId: 't' });
  expect((await graph.getState(config('t'))).values).toEqual(values);
  const left = [];
  for await (const tuple of saver.list(config('t'))) left.push(tuple.pendingWrites?.length);
  expect(left).toEqual([4]);
  await saver.deleteThread('t');
  expect(connection.repeats).toBeGreaterThan(20);
  expect(await everything(redis.server, prefix)).toBe('[[],[]]');
  connection.close();
});

describe('what goes', () => {
  test('deleted and purged threads leave no key, others stay', async () => {
    const prefix = redis.prefix();
    await using saver = new RedisSaver({ url: redis.url, prefix });
    const graph = graphWith(saver);
    for (const id of ['a', 'b', 'c', 'd']) {
      await saver.advanceFence(id, 1);
      await graph.invoke({ value: 1 }, run(id));
    }
    await saver.deleteThreads(['a', 'b', 'never seen']);
    await saver.deleteThreads([]);
    const connection = new RedisConnection({ url: redis.url });
    await purgeRedisCheckpoints(connection, prefix, ['c', 'never seen']);
    connection.close();
    const keys = await redis.server.ask<string[]>('KEYS', `${prefix}:*`);
    expect(keys.sort()).toEqual([`${prefix}:{thread:d}:index`, `${prefix}:{thread:d}:state`]);
    await saver.put(config('a', { [FENCE_KEY]: 0 }), checkpointOf(1), METADATA, { value: 1 });
  });

  test('a pruned thread holds no field of what is gone, also in subgraphs, and an empty one has none', async () => {
    const prefix = redis.prefix();
    await using saver = new RedisSaver({ url: redis.url, prefix });
    const graph = graphWith(saver);
    const outer = new StateGraph(State)
      .addNode('inner', graphWith(saver))
      .addEdge(START, 'inner')
      .addEdge('inner', END)
      .compile({ checkpointer: saver });
    for (let i = 0; i < 6; i++) await graph.invoke({ value: i }, run('t'));
    await outer.invoke({ value: 1 }, run('u'));
    await outer.invoke({ value: 2 }, run('u'));
    const fieldsOf = (id: string) => redis.server.ask<string[]>('HKEYS', `${prefix}:{thread:${id}}:state`);
    const before = (await graph.getState(config('t'))).values;

    await saver.prune({ threadIds: ['t', 'u', 'never seen'] });

    expect((await graph.getState(config('t'))).values).toEqual(before);
    const fields = await fieldsOf('t');
    expect(fields.filter((field) => field.startsWith('c'))).toHaveLength(1);
    // The newest checkpoint names at most these channels; each has one value or none.
    expect(fields.length).toBeLessThan(12);
    expect((await outer.getState(config('u'))).values.trail).toEqual([
      'one',
      'two',
      'one',
      'two',
      'one',
      'two',
    ]);
    await saver.prune({ threadId: 't' });
    expect(await fieldsOf('t')).toEqual(fields);
  });

  test('a thread of many checkpoints is pruned while another run writes to it', async () => {
    const prefix = redis.prefix();
    await using saver = new RedisSaver({ url: redis.url, prefix });
    let saved = config('t');
    const put = async (i: number) => {
      const checkpoint = { ...checkpointOf(i), id: uuid6(i), channel_versions: { value: i } };
      saved = (await saver.put(saved, checkpoint, METADATA, { value: i })) as typeof saved;
    };
    for (let i = 1; i <= 450; i++) await put(i);
    await Promise.all([saver.prune({ threadId: 't', keep: 2 }), put(451), put(452)]);
    await saver.prune({ threadId: 't', keep: 2 });
    const left = [];
    for await (const { checkpoint } of saver.list(config('t'))) left.push(checkpoint.channel_values.value);
    expect(left).toEqual([452, 451]);
    expect(await redis.server.ask('HLEN', `${prefix}:{thread:t}:state`)).toBe(4);
  });

  test('an index that names what is gone neither stops a listing nor a prune', async () => {
    const prefix = redis.prefix();
    await using saver = new RedisSaver({ url: redis.url, prefix });
    const graph = graphWith(saver);
    await graph.invoke({ value: 1 }, run('t'));
    for (const member of ['"""9"', '"""0"'])
      await redis.server.ask('ZADD', `${prefix}:{thread:t}:index`, 0, member);
    const listed = [];
    for await (const { checkpoint } of saver.list({ configurable: { thread_id: 't' } }))
      listed.push(checkpoint.id);
    expect(listed).toHaveLength(4);
    await saver.prune({ threadId: 't' });
    const left = [];
    for await (const { checkpoint } of saver.list(config('t'))) left.push(checkpoint.id);
    expect(left).toEqual(listed.slice(0, 1));
  });

  test('a thread expires as a whole, a while after its last write', async () => {
    const prefix = redis.prefix();
    await using saver = new RedisSaver({ url: redis.url, prefix, ttlMs: 60_000 });
    const keys = [`${prefix}:{thread:t}:state`, `${prefix}:{thread:t}:index`];
    const expiries = () => Promise.all(keys.map((key) => redis.server.ask<number>('PEXPIRETIME', key)));
    const saved = await saver.put(config('t'), checkpointOf(1), METADATA, { value: 1 });
    const [first, second] = await expiries();
    expect(first).toBe(second);
    expect(first! - Date.now()).toBeGreaterThan(50_000);
    for (const key of keys) await redis.server.ask('PEXPIRE', key, 10_000);
    await saver.putWrites(saved, [['value', 2]], 'task');
    const renewed = await expiries();
    expect(Math.min(...renewed) - Date.now()).toBeGreaterThan(50_000);

    await using short = new RedisSaver({ url: redis.url, prefix, ttlMs: 1 });
    await short.putWrites(saved, [['value', 3]], 'task');
    await until(async () => (await redis.server.ask('EXISTS', ...keys)) === 0, 'the thread is there');
    expect(await short.getTuple(config('t'))).toBeUndefined();
  });
});

test('a thread whose keys hold something else is STORE_CORRUPT, and does not stop its neighbours', async () => {
  const prefix = redis.prefix();
  await using saver = new RedisSaver({ url: redis.url, prefix });
  await redis.server.ask('SET', `${prefix}:{thread:bad}:state`, 'garbage');
  await redis.server.ask('SET', `${prefix}:{thread:worse}:index`, 'garbage');
  const outcomes = await Promise.allSettled(
    ['a', 'bad', 'worse', 'b'].map((id) => saver.put(config(id), checkpointOf(id), METADATA, { value: 1 })),
  );
  const corrupt = { status: 'rejected', reason: { code: 'STORE_CORRUPT' } };
  expect(outcomes).toMatchObject([{ status: 'fulfilled' }, corrupt, corrupt, { status: 'fulfilled' }]);
  expect(await redis.server.ask('EXISTS', `${prefix}:{thread:worse}:state`)).toBe(0);
  const reads = await Promise.allSettled(['a', 'bad', 'worse'].map((id) => saver.getTuple(config(id))));
  expect(reads).toMatchObject([{ status: 'fulfilled' }, corrupt, corrupt]);
});

describe('connections', () => {
  test('nothing is connected before the first call, and nothing is left after the last', async () => {
    const clients = async () => (await redis.server.ask<string>('CLIENT', 'LIST')).split('\n').length;
    const before = await clients();
    const saver = new RedisSaver({ url: redis.url, prefix: redis.prefix() });
    expect(await clients()).toBe(before);
    const put = saver.put(config('t'), checkpointOf(1), METADATA, { value: 1 });
    const closed = saver.close();
    await put;
    await closed;
    await until(async () => (await clients()) === before, 'a connection is left');
    for (const call of [
      () => saver.getTuple(config('t')),
      () => saver.put(config('t'), checkpointOf(1), METADATA, {}),
      () => saver.prune({ threadId: 't' }),
      () => saver.deleteThread('t'),
    ])
      await expect(call()).rejects.toMatchObject({ code: 'CLOSED' });
  });

  test.each([
    ['6', () => new Redis(redis.url, { keyPrefix: 'app:' })],
    ['5.11', () => new Redis5(redis.url, { keyPrefix: 'app:' })],
  ])(
    'a client of ioredis %s lends its settings, and a connection of others stays open',
    async (_, connect) => {
      const prefix = redis.prefix();
      const client = connect();
      const saver = new RedisSaver({ redis: client, prefix });
      expect((await graphWith(saver).invoke({ value: 1 }, run('t'))).trail).toEqual(['one', 'two']);
      expect(await client.exists(`${prefix}:{thread:t}:state`)).toBe(1);
      const found = [];
      for await (const tuple of saver.list({ configurable: { checkpoint_ns: '' } })) found.push(tuple);
      expect(found).toHaveLength(4);
      await saver.close();
      expect(await client.ping()).toBe('PONG');
      client.disconnect();

      const connection = new RedisConnection({ url: redis.url });
      await new RedisSaver({ connection, prefix }).close();
      expect(await connection.call('PING')).toBe('PONG');
      connection.close();
    },
  );

  test.each([
    [{ url: 'http://x' }],
    [{}],
    [{ url: 'redis://x', prefix: '' }],
    [{ url: 'redis://x', ttlMs: 0 }],
    [{ url: 'redis://x', ttlMs: 1.5 }],
  ])('options %j are refused', (options) => {
    expect(() => new RedisSaver(options)).toThrow(expect.objectContaining({ code: 'INVALID_OPTION' }));
  });
});

describe('outages', () => {
  test('a run whose Redis is killed between two checkpoints fails in time, and goes on from there', async () => {
    await using server = await RedisServer.start({ appendonly: true, appendfsync: 'always' });
    await using saver = new RedisSaver({ url: server.url, commandTimeoutMs: 1_200 });
    let kills = 1;
    const graph = graphWith(saver, async () => {
      if (kills-- > 0) await server.kill9();
      return 'survived';
    });
    const failed = graph
      .invoke({ value: 0 }, run('t'))
      .catch((error: unknown) => ({ error, at: performance.now() }));
    await until(async () => !server.running, 'the server runs');
    const killedAt = performance.now();
    const { error, at } = (await failed) as { error: unknown; at: number };
    expect(error).toMatchObject({ code: 'STORE_UNAVAILABLE', retryable: true });
    // Not for ever: the deadline is of one call, and what is left of the run takes its turn on a busy machine.
    expect(at - killedAt).toBeLessThan(8_000);
    const waiting = [saver.getTuple(config('t')), saver.put(config('t'), checkpointOf(1), METADATA, {})];
    for (const { reason } of (await Promise.allSettled(waiting)) as PromiseRejectedResult[])
      expect(reason).toMatchObject({ code: 'STORE_UNAVAILABLE' });

    await server.restart();
    expect((await graph.getState(config('t'))).next).toEqual(['two']);
    const { trail, value } = await graph.invoke(null, run('t'));
    expect({ trail, value }).toEqual({ trail: ['one', 'two'], value: 'survived' });
  });

  test('a restart shorter than the deadline is not noticed', async () => {
    await using server = await RedisServer.start({ appendonly: true, appendfsync: 'always' });
    await using saver = new RedisSaver({ url: server.url, commandTimeoutMs: 20_000 });
    const graph = graphWith(saver, async () => {
      await server.kill9();
      await server.restart();
      return 'survived';
    });
    expect((await graph.invoke({ value: 0 }, run('t'))).value).toBe('survived');
  });

  test('a full memory refuses the whole round trip, and nothing of it is written', async () => {
    await using server = await RedisServer.start({ maxmemoryPolicy: 'noeviction' });
    await using saver = new RedisSaver({ url: server.url });
    await saver.put(config('t'), checkpointOf(1), METADATA, { value: 1 });
    const before = await everything(server, 'jotty');
    await server.ask('CONFIG', 'SET', 'maxmemory', '1');
    const refused = ['t', 'u'].map((id) => saver.put(config(id), checkpointOf(2), METADATA, { value: 2 }));
    for (const outcome of await Promise.allSettled(refused))
      expect(outcome).toMatchObject({ status: 'rejected', reason: { code: 'STORE_UNAVAILABLE' } });
    await server.ask('CONFIG', 'SET', 'maxmemory', '0');
    expect(await everything(server, 'jotty')).toBe(before);
    await saver.put(config('t'), checkpointOf(3), METADATA, { value: 3 });
  });
});
