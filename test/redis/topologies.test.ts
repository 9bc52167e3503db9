import { Annotation, START, StateGraph } from '@langchain/langgraph';
import { Cluster, Redis } from 'ioredis';
import { Cluster as Cluster5, Redis as Redis5 } from 'ioredis-5';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { RedisSaver } from '../../src/checkpoint/redis-saver.ts';
import { Conductor } from '../../src/index.ts';
import { HybridTaskQueue, RedisTaskQueue } from '../../src/queue/index.ts';
import { RedisCluster } from './redis-cluster.ts';
import { RedisServer } from './redis-server.ts';
import { PAIR_NAME, WatchedPair } from './watched-pair.ts';

let server: RedisServer;
let pair: WatchedPair;
let cluster: RedisCluster;

beforeAll(async () => {
  [server, pair, cluster] = await Promise.all([
    RedisServer.start(),
    WatchedPair.start(1),
    RedisCluster.start(),
  ]);
});
afterAll(() => Promise.all([server, pair, cluster].map((place) => place?.stop())));

const CLIENTS = {
  '5.11': { Redis: Redis5 as unknown as typeof Redis, Cluster: Cluster5 as unknown as typeof Cluster },
  '6': { Redis, Cluster },
};
type Version = keyof typeof CLIENTS;

const PLACES = {
  'one server': (version: Version) => new CLIENTS[version].Redis(server.url, { lazyConnect: true }),
  sentinels: (version: Version) =>
    new CLIENTS[version].Redis({ sentinels: pair.startNodes, name: PAIR_NAME, lazyConnect: true }),
  'a cluster': (version: Version) =>
    new CLIENTS[version].Cluster(cluster.startNodes, { lazyConnect: true }) as unknown as Redis,
};
type Place = keyof typeof PLACES;

const PAIRS = (Object.keys(PLACES) as Place[]).flatMap((place) =>
  (Object.keys(CLIENTS) as Version[]).map((version) => [place, version] as const),
);
const QUEUES = [RedisTaskQueue, HybridTaskQueue];

const Trail = Annotation.Root({
  goal: Annotation<string>,
  trail: Annotation<string[]>({ reducer: (a, b) => [...a, ...b], default: () => [] }),
});
const twoSteps = new StateGraph(Trail)
  .addNode('one', () => ({ trail: ['one'] }))
  .addNode('two', () => ({ trail: ['two'] }))
  .addEdge(START, 'one')
  .addEdge('one', 'two');

let prefixes = 0;

test.each(
  PAIRS.flatMap(([place, version]) => QUEUES.map((Queue) => [Queue.name, place, version, Queue] as const)),
)(
  '%s on %s, over ioredis %s: goals run with their checkpoints, and news come from elsewhere',
  async (_, place, version, Queue) => {
    const redis = PLACES[place](version);
    const at = { redis, prefix: `topology-${prefixes++}`, durability: { atLeast: 'none' } } as const;
    await using queue = new Queue(at);
    await using other = new RedisTaskQueue(at);
    await using conductor = new Conductor({ agents: { steps: twoSteps.compile() }, queue });
    const stop = new AbortController();
    const errors: unknown[] = [];
    const working = conductor.processQueue({ signal: stop.signal, onError: (error) => errors.push(error) });
    // Most of these come when the worker is idle: what wakes it is heard on a connection of its own.
    for (let n = 0; n < 3; n++) {
      const id = await other.enqueue({ payload: { goal: 'go' } });
      expect(await other.waitFor(id)).toMatchObject({ status: 'completed' });
      expect(await conductor.result(id)).toMatchObject({ trail: ['one', 'two'] });
    }
    stop.abort();
    await working;
    expect(errors).toEqual([]);
    expect((await other.stats()).counts.completed).toBe(3);
    redis.disconnect();
  },
);

test.each(PAIRS)('RedisSaver on %s, over ioredis %s', async (place, version) => {
  const redis = PLACES[place](version);
  await using saver = new RedisSaver({ redis, prefix: `topology-${prefixes++}` });
  const graph = twoSteps.compile({ checkpointer: saver, interruptBefore: ['two'] });
  const config = { configurable: { thread_id: 'thread' } };
  await graph.invoke({ trail: [] }, config);
  expect((await graph.invoke(null, config)).trail).toEqual(['one', 'two']);
  await saver.deleteThread('thread');
  expect((await graph.getState(config)).createdAt).toBeUndefined();
  redis.disconnect();
});
