import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { Annotation, END, START, StateGraph } from '@langchain/langgraph';
import { emptyCheckpoint, uuid6 } from '@langchain/langgraph-checkpoint';
import { expect, test } from 'vitest';
import { CHECKPOINT_COMPONENT } from '../../src/checkpoint/component.ts';
import { purgeCheckpoints } from '../../src/checkpoint/purge.ts';
import { SQLiteSaver } from '../../src/checkpoint/sqlite-saver.ts';
import { SqliteDatabase } from '../../src/sqlite/sqlite-database.ts';
import { NOTES } from '../sqlite/notes.ts';
import { SaverBench } from './savers.ts';

const METADATA = { source: 'loop' as const, step: 0, parents: {} };
const State = Annotation.Root({ value: Annotation<unknown>, steps: Annotation<number> });
const RUNNER = fileURLToPath(new URL('./graph-runner.ts', import.meta.url));

const config = (threadId: string) => ({ configurable: { thread_id: threadId, checkpoint_ns: '' } });
const checkpointOf = (value: unknown) => ({
  ...emptyCheckpoint(),
  id: uuid6(0),
  channel_values: { value },
  channel_versions: { value: 1 },
});

function graphWith(checkpointer: SQLiteSaver, produce: () => unknown) {
  return new StateGraph(State)
    .addNode('one', () => ({ steps: 1 }))
    .addNode('two', () => ({ value: produce() }))
    .addEdge(START, 'one')
    .addEdge('one', 'two')
    .addEdge('two', END)
    .compile({ checkpointer });
}

test('nothing is opened before the first call', async () => {
  await using bench = new SaverBench();
  const saver = bench.sqlite();
  expect(existsSync(bench.path)).toBe(false);
  expect(await saver.getTuple(config('t'))).toBeUndefined();
  expect(existsSync(bench.path)).toBe(true);
});

test('user data that looks like a class survives in the state of a real graph', async () => {
  await using bench = new SaverBench();
  const evil = JSON.parse(
    '{"lc":1,"type":"constructor","id":["os","system"],"kwargs":{},"__proto__":{"a":1}}',
  );
  const graph = graphWith(bench.sqlite(), () => evil);
  await graph.invoke({ steps: 0 }, { ...config('t'), durability: 'sync' });

  const { values } = await graph.getState(config('t'));
  expect(JSON.stringify(values.value)).toBe(JSON.stringify(evil));
});

test('a BigInt is refused, and the thread can still be read and resumed', async () => {
  await using bench = new SaverBench();
  let produced: unknown = { deep: [1n] };
  const graph = graphWith(bench.sqlite(), () => produced);

  await expect(graph.invoke({ steps: 0 }, { ...config('t'), durability: 'sync' })).rejects.toMatchObject({
    code: 'STATE_NOT_SERIALIZABLE',
    message: expect.stringContaining('state.deep[0]'),
  });
  expect((await graph.getState(config('t'))).next).toEqual(['two']);
  produced = 'fine';
  expect(await graph.invoke(null, { ...config('t'), durability: 'sync' })).toEqual({
    steps: 1,
    value: 'fine',
  });
});

test('a branch forked from an old checkpoint keeps its own values', async () => {
  await using bench = new SaverBench();
  let value = 'first';
  const graph = graphWith(bench.sqlite(), () => value);
  await graph.invoke({ steps: 0 }, { ...config('t'), durability: 'sync' });
  const first = await graph.getState(config('t'));
  const history = [];
  for await (const state of graph.getStateHistory(config('t'))) history.push(state);
  value = 'second';
  await graph.invoke(null, { ...history.find(({ next }) => next[0] === 'two')!.config, durability: 'sync' });

  expect((await graph.getState(first.config)).values.value).toBe('first');
  expect((await graph.getState(config('t'))).values.value).toBe('second');
});

test('writes of many runs share commits with each other and with what else is in the file', async () => {
  await using bench = new SaverBench();
  const database = SqliteDatabase.open(bench.path, { components: [NOTES] });
  const saver = new SQLiteSaver({ database: () => database });
  await saver.getTuple(config('t'));
  const before = database.commitCount;

  await Promise.all([
    database.write((connection) => connection.prepare('INSERT INTO notes (text) VALUES (?)').run('a')),
    ...Array.from({ length: 50 }, (_, i) =>
      saver.put(config(`t${i}`), checkpointOf(i), METADATA, { value: 1 }),
    ),
  ]);

  expect(database.commitCount - before).toBe(1);
  await database.close();
  expect((await saver.getTuple(config('t7')))?.checkpoint.channel_values).toEqual({ value: 7 });
  await saver.close();
  await expect(saver.getTuple(config('t7'))).rejects.toMatchObject({ code: 'CLOSED' });
});

test('a purge inside the caller’s transaction removes all of a thread, and nothing where there are no checkpoints', async () => {
  await using bench = new SaverBench();
  const database = SqliteDatabase.open(bench.path, { components: [NOTES] });
  await database.write((connection) => purgeCheckpoints(connection, ['a']));
  const saver = new SQLiteSaver({ database });
  for (const id of ['a', 'b']) {
    const saved = await saver.put(
      { configurable: { ...config(id).configurable, jotty_fence: 1 } },
      checkpointOf(id),
      METADATA,
      { value: 1 },
    );
    await saver.putWrites(saved, [['value', 2]], 'task');
  }
  await database.write((connection) => purgeCheckpoints(connection, ['a']));

  const counts = ['checkpoints', 'checkpoint_blobs', 'checkpoint_writes', 'checkpoint_fences'].map((table) =>
    database.read((connection) => connection.prepareValue(`SELECT count(*) FROM ${table}`).get()),
  );
  expect(counts).toEqual([1, 1, 1, 1]);
  expect(database.has(CHECKPOINT_COMPONENT)).toBe(true);
  await saver.deleteThreads(['b', 'never seen']);
  expect(await saver.getTuple(config('b'))).toBeUndefined();
  await saver.close();
  await database.close();
});

test('two processes run graphs on one file', async () => {
  await using bench = new SaverBench();
  const saver = bench.sqlite();
  const graph = graphWith(saver, () => 'here');
  await saver.getTuple(config('t'));
  const runner = spawn(process.execPath, ['--import', 'tsx', RUNNER, bench.path, '30'], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  // Listened for from the start: the other process may be the first to end.
  const exit = once(runner, 'exit');
  await once(runner.stdout, 'data');

  await Promise.all(
    Array.from({ length: 30 }, (_, i) =>
      graph.invoke({ steps: 0 }, { ...config(`here-${i}`), durability: 'sync' }),
    ),
  );
  const [exitCode] = await exit;

  expect(exitCode).toBe(0);
  for (let i = 0; i < 30; i++) {
    expect((await graph.getState(config(`here-${i}`))).values).toEqual({ steps: 1, value: 'here' });
    expect((await graph.getState(config(`there-${i}`))).values).toEqual({ steps: 1, value: 'there' });
  }
});

test('a damaged file is STORE_CORRUPT', async () => {
  await using bench = new SaverBench();
  const first = bench.sqlite();
  await first.put(config('t'), checkpointOf('x'), METADATA, { value: 1 });
  await first.close();
  const bytes = readFileSync(bench.path);
  writeFileSync(bench.path, bytes.fill(0xff, 4096));
  await expect(bench.sqlite().getTuple(config('t'))).rejects.toMatchObject({ code: 'STORE_CORRUPT' });
  writeFileSync(bench.path, '');
  await expect(bench.sqlite().getTuple(config('t'))).rejects.toMatchObject({ code: 'STORE_CORRUPT' });
});

test('a filter is compared as data', async () => {
  await using bench = new SaverBench();
  const saver = bench.sqlite();
  const key = `x') OR 1=1 --"`;
  await saver.put(config('t'), checkpointOf(1), { ...METADATA, [key]: { a: [1] } } as typeof METADATA, {});
  await saver.put(config('t'), checkpointOf(2), METADATA, {});
  const found = [];
  for await (const tuple of saver.list(config('t'), { filter: { [key]: { a: [1] } } })) found.push(tuple);
  expect(found).toHaveLength(1);
});

test('a listing longer than a page is complete and in order', async () => {
  await using bench = new SaverBench();
  const saver = bench.sqlite();
  const ids: string[] = [];
  for (let i = 0; i < 120; i++) {
    const checkpoint = { ...checkpointOf(i), id: uuid6(i) };
    ids.unshift(checkpoint.id);
    await saver.put(config('t'), checkpoint, METADATA, {});
  }
  const listed = [];
  for await (const tuple of saver.list(config('t'))) listed.push(tuple.checkpoint.id);
  expect(listed).toEqual(ids);
});
