import { Annotation, END, START, StateGraph } from '@langchain/langgraph';
import { Cluster } from 'ioredis';
import { Cluster as Cluster5 } from 'ioredis-5';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { RedisSaver } from '../../src/checkpoint/redis-saver.ts';
import { RedisCluster } from '../redis/redis-cluster.ts';

let cluster: RedisCluster;
beforeAll(async () => {
  cluster = await RedisCluster.start();
});
afterAll(() => cluster.stop());

const State = Annotation.Root({
  trail: Annotation<string[]>({ reducer: (a, b) => [...a, ...b], default: () => [] }),
});
const THREADS = Array.from({ length: 24 }, (_, i) => `thread-${i}`);
const config = (threadId: string) => ({ configurable: { thread_id: threadId } });

function graphWith(checkpointer: RedisSaver) {
  return new StateGraph(State)
    .addNode('one', () => ({ trail: ['one'] }))
    .addNode('two', () => ({ trail: ['two'] }))
    .addEdge(START, 'one')
    .addEdge('one', 'two')
    .addEdge('two', END)
    .compile({ checkpointer });
}

const sizes = () => Promise.all(cluster.masters.map((master) => master.ask<number>('DBSIZE')));

test.each([
  ['6', Cluster],
  ['5.11', Cluster5],
])('with ioredis %s threads spread over the cluster, each in one slot', async (_, Client) => {
  const client = new Client(cluster.startNodes);
  await using saver = new RedisSaver({ redis: client });
  const graph = graphWith(saver);
  await Promise.all(THREADS.map((id) => graph.invoke({ trail: [] }, { ...config(id), durability: 'sync' })));

  for (const count of await sizes()) expect(count).toBeGreaterThan(0);
  for (const id of THREADS) expect((await graph.getState(config(id))).values.trail).toEqual(['one', 'two']);
  const listed = new Set<string>();
  for await (const tuple of saver.list({ configurable: {} }))
    listed.add(tuple.config.configurable?.thread_id);
  expect([...listed].sort()).toEqual([...THREADS].sort());

  await saver.prune({ threadIds: THREADS });
  expect((await graph.invoke({ trail: ['more'] }, config(THREADS[0]!))).trail).toEqual([
    'one',
    'two',
    'more',
    'one',
    'two',
  ]);
  await saver.deleteThreads(THREADS);
  expect(await sizes()).toEqual([0, 0, 0]);
  client.disconnect();
});
