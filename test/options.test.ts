import { expect, test } from 'vitest';
import { RedisSaver, SQLiteSaver } from '../src/checkpoint/index.ts';
import { Conductor, TaskQueueManager } from '../src/index.ts';
import { HybridTaskQueue, MemoryTaskQueue, RedisTaskQueue, SQLiteTaskQueue } from '../src/queue/index.ts';

const agents = { echo: { graph: { invoke: async () => 1 } } };

/** As somebody without types may call them. */
const CALLS: readonly [string, new (...options: never[]) => unknown, unknown[], RegExp][] = [
  ['SQLiteTaskQueue', SQLiteTaskQueue, [], /options: .* path/],
  ['SQLiteSaver', SQLiteSaver, [null], /options: .* path/],
  ['RedisTaskQueue', RedisTaskQueue, [], /options: .* url/],
  ['HybridTaskQueue', HybridTaskQueue, [], /options: .* url/],
  ['RedisSaver', RedisSaver, [], /options: .* url/],
  ['MemoryTaskQueue', MemoryTaskQueue, [null], /options: /],
  ['Conductor', Conductor, [], /options: .* agents/],
  ['Conductor without agents', Conductor, [{}], /agents: /],
  ['Conductor with something else for a queue', Conductor, [{ agents, queue: {} }], /queue: /],
  ['TaskQueueManager', TaskQueueManager, [], /conductor: /],
];

test.for(CALLS)('%s without what it needs says what that is', ([, made, options, message]) => {
  expect(() => new made(...(options as never[]))).toThrow(
    expect.objectContaining({ code: 'INVALID_OPTION', message: expect.stringMatching(message) }),
  );
});
