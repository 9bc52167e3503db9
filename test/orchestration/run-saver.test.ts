import { expect, test } from 'vitest';
import { FencedMemorySaver } from '../../src/checkpoint/memory-saver.ts';
import type { Checkpointer, GraphConfig } from '../../src/orchestration/graph.ts';
import { RunSaver } from '../../src/orchestration/run-saver.ts';

type Put = (config: GraphConfig, checkpoint: object, metadata: object, versions: object) => Promise<unknown>;

/** A saver whose writes are stored when the test says so; it has fences, so its order can be relied on. */
function slowSaver(isFenced = true) {
  const asked: string[] = [];
  const ends: End[] = [];
  const write = (name: string) => {
    asked.push(name);
    return new Promise<unknown>((resolve, reject) => ends.push({ resolve, reject }));
  };
  const saver = {
    getTuple: async () => {
      asked.push('getTuple');
      return undefined;
    },
    put: (_config: GraphConfig, { id }: { id: string }) => write(`put ${id}`),
    putWrites: () => write('putWrites'),
    ...(isFenced ? { advanceFence: async () => {} } : {}),
  };
  const runSaver = new RunSaver(saver as unknown as Checkpointer);
  const seen = runSaver.checkpointer as Checkpointer & { put: Put; putWrites(): Promise<void> };
  return { asked, ends, runSaver, seen };
}

interface End {
  resolve(value: unknown): void;
  reject(reason: unknown): void;
}

const THREAD: GraphConfig = { configurable: { thread_id: 't' } };
const put = (seen: { put: Put }, id: string, metadata: object) => seen.put(THREAD, { id }, metadata, {});

async function isSettled(promise: Promise<unknown>): Promise<boolean> {
  const pending = Symbol('pending');
  const turn = new Promise((resolve) => setImmediate(resolve, pending));
  return (await Promise.race([promise, turn])) !== pending;
}

test('a thread found empty is read once, until the run writes to it', async () => {
  const { asked, ends, seen } = slowSaver();

  await seen.getTuple(THREAD);
  await seen.getTuple({ configurable: { thread_id: 't', checkpoint_ns: '' } });
  expect(asked).toEqual(['getTuple']);

  await seen.getTuple({ configurable: { thread_id: 't', checkpoint_ns: 'child:1' } });
  const stored = put(seen, '0', { source: 'loop' });
  ends[0]?.resolve({});
  await stored;
  await seen.getTuple(THREAD);
  expect(asked).toEqual(['getTuple', 'getTuple', 'put 0', 'getTuple']);
});

test("the input's checkpoint is confirmed at once, and what follows only together with it", async () => {
  const { ends, runSaver, seen } = slowSaver();

  expect(await put(seen, 'input', { source: 'input' })).toEqual({
    configurable: { thread_id: 't', checkpoint_ns: '', checkpoint_id: 'input' },
  });
  const written = seen.putWrites();
  const next = put(seen, '0', { source: 'loop' });
  ends[1]?.resolve(undefined);
  ends[2]?.resolve({});
  expect(await isSettled(written)).toBe(false);
  expect(await isSettled(next)).toBe(false);
  expect(await isSettled(runSaver.stored())).toBe(false);

  ends[0]?.resolve({});
  await Promise.all([written, next, runSaver.stored()]);
});

test("where the input's checkpoint cannot be stored, nothing after it is confirmed or even tried", async () => {
  const { asked, ends, runSaver, seen } = slowSaver();
  const refusal = new Error('the disk is full');

  await put(seen, 'input', { source: 'input' });
  const next = put(seen, '0', { source: 'loop' });
  ends[1]?.resolve({});
  ends[0]?.reject(refusal);

  await expect(next).rejects.toBe(refusal);
  await expect(runSaver.stored()).rejects.toBe(refusal);
  await expect(put(seen, '1', { source: 'loop' })).rejects.toBe(refusal);
  await expect(seen.putWrites()).rejects.toBe(refusal);
  expect(asked).toEqual(['put input', 'put 0']);
});

test('each is waited for where the order is unknown, and where a channel is rebuilt from all before', async () => {
  const foreign = slowSaver(false);
  expect(await isSettled(put(foreign.seen, 'input', { source: 'input' }))).toBe(false);

  const deltas = slowSaver();
  const metadata = { source: 'input', delta_writes_versioned: true };
  expect(await isSettled(put(deltas.seen, 'input', metadata))).toBe(false);
});

test('everything else is the saver itself', async () => {
  const saver = new FencedMemorySaver();
  const { checkpointer } = new RunSaver(saver);
  const seen = checkpointer as unknown as FencedMemorySaver;

  expect(seen).toBeInstanceOf(FencedMemorySaver);
  expect(seen.serde).toBe(saver.serde);
  expect(seen.getNextVersion(1)).toBeGreaterThanOrEqual(2);
  await seen.advanceFence('t', 2);
  await expect(saver.advanceFence('t', 1)).rejects.toMatchObject({ code: 'LEASE_LOST' });
});
