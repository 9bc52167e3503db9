import { Annotation, END, START, StateGraph } from '@langchain/langgraph';
import { emptyCheckpoint, uuid6 } from '@langchain/langgraph-checkpoint';
import { describe, expect, test } from 'vitest';
import { FENCE_KEY, isFenced } from '../../src/checkpoint/fence.ts';
import type { IncrementalSaver } from '../../src/checkpoint/incremental-saver.ts';
import { KINDS, SaverBench } from './savers.ts';

const LEASE_LOST = { code: 'LEASE_LOST' };
const METADATA = { source: 'loop' as const, step: 0, parents: {} };
const State = Annotation.Root({
  trail: Annotation<string[]>({ reducer: (a, b) => [...a, ...b], default: () => [] }),
});

const config = (fence?: number, more: object = {}) => ({
  configurable: {
    thread_id: 't',
    checkpoint_ns: '',
    ...(fence === undefined ? {} : { [FENCE_KEY]: fence }),
    ...more,
  },
});
const newCheckpoint = () => ({
  ...emptyCheckpoint(),
  id: uuid6(0),
  channel_values: { a: 1 },
  channel_versions: { a: 1 },
});

function gate(): { readonly promise: Promise<void>; readonly resolve: () => void } {
  let resolve = (): void => undefined;
  const promise = new Promise<void>((open) => {
    resolve = open;
  });
  return { promise, resolve };
}

async function everything(saver: IncrementalSaver): Promise<string> {
  const tuples = [];
  for await (const tuple of saver.list({ configurable: { thread_id: 't' } })) tuples.push(tuple);
  return JSON.stringify(tuples);
}

describe.each(KINDS)('with the %s saver', (kind) => {
  test('a write with an old fence is refused and changes nothing', async () => {
    await using bench = new SaverBench();
    const saver = bench.of(kind);
    const saved = await saver.put(config(1), newCheckpoint(), METADATA, { a: 1 });
    await saver.advanceFence('t', 2);
    const before = await everything(saver);
    const old = config(1, { checkpoint_id: saved.configurable?.checkpoint_id });

    await expect(saver.put(old, newCheckpoint(), METADATA, { a: 1 })).rejects.toMatchObject({
      ...LEASE_LOST,
      taskId: 't',
      fence: 1,
    });
    await expect(saver.putWrites(old, [['a', 2]], 'task')).rejects.toMatchObject(LEASE_LOST);
    await expect(saver.putWrites(old, [['__error__', 'x']], 'task')).rejects.toMatchObject(LEASE_LOST);
    await expect(saver.advanceFence('t', 1)).rejects.toMatchObject(LEASE_LOST);
    expect(await everything(saver)).toBe(before);
  });

  test('the same fence and a higher one pass, and the higher is kept', async () => {
    await using bench = new SaverBench();
    const saver = bench.of(kind);
    await saver.advanceFence('t', 1);
    await saver.advanceFence('t', 1);
    await saver.put(config(1), newCheckpoint(), METADATA, {});
    await saver.put(config(5), newCheckpoint(), METADATA, {});
    await expect(saver.put(config(4), newCheckpoint(), METADATA, {})).rejects.toMatchObject(LEASE_LOST);
  });

  test('of holders who saw the same fence one raises it, and what the others write is refused', async () => {
    await using bench = new SaverBench();
    const saver = bench.of(kind);
    expect((await Promise.all([0, 0, 0].map((seen) => saver.raiseFence('t', seen)))).sort()).toEqual([
      0, 1, 1,
    ]);
    expect(await saver.raiseFence('t', 1)).toBe(1);
    await expect(saver.put(config(1), newCheckpoint(), METADATA, { a: 1 })).rejects.toMatchObject(LEASE_LOST);
    await saver.put(config(2), newCheckpoint(), METADATA, { a: 1 });
    await saver.deleteThread('t');
    expect(await saver.raiseFence('t', 0)).toBe(0);
  });

  test('plain use without a fence goes on, and a fence that is no count is refused', async () => {
    await using bench = new SaverBench();
    const saver = bench.of(kind);
    await saver.advanceFence('t', 9);
    await saver.put(config(), newCheckpoint(), METADATA, {});
    await expect(saver.put(config(1.5), newCheckpoint(), METADATA, {})).rejects.toMatchObject({
      code: 'INVALID_OPTION',
    });
    expect(isFenced(saver)).toBe(true);
    expect(isFenced({})).toBe(false);
  });

  test('a zombie run stops at its next write, in a subgraph too, and the new holder’s lineage stands', async () => {
    await using bench = new SaverBench();
    const saver = bench.of(kind);
    const reached = gate();
    const released = gate();
    let zombie = true;
    const inner = new StateGraph(State)
      .addNode('slow', async () => {
        if (!zombie) return { trail: ['slow by the holder'] };
        zombie = false;
        reached.resolve();
        await released.promise;
        return { trail: ['slow by the zombie'] };
      })
      .addNode('after', () => ({ trail: ['after'] }))
      .addEdge(START, 'slow')
      .addEdge('slow', 'after')
      .addEdge('after', END)
      .compile();
    const graph = new StateGraph(State)
      .addNode('first', () => ({ trail: ['first'] }))
      .addNode('inner', inner)
      .addEdge(START, 'first')
      .addEdge('first', 'inner')
      .addEdge('inner', END)
      .compile({ checkpointer: saver });

    const lost = graph.invoke({ trail: [] }, { ...config(1), durability: 'sync' });
    const refused = expect(lost).rejects.toMatchObject(LEASE_LOST);
    await reached.promise;
    await saver.advanceFence('t', 2);
    const before = await everything(saver);
    released.resolve();
    await refused;
    expect(await everything(saver)).toBe(before);

    const result = await graph.invoke(null, { ...config(2), durability: 'sync' });
    expect(result.trail.filter((step: string) => step.includes('zombie'))).toEqual([]);
    expect(result.trail).toContain('slow by the holder');
  });

  test('LangGraph hands the fence to every put and putWrites, those of subgraphs included', async () => {
    await using bench = new SaverBench();
    const saver = bench.of(kind);
    const seen: string[] = [];
    const spy = Object.assign(Object.create(saver) as IncrementalSaver, {
      put: (...args: Parameters<IncrementalSaver['put']>) => {
        seen.push(
          `put ${args[0].configurable?.checkpoint_ns === '' ? 'root' : 'sub'} ${args[0].configurable?.[FENCE_KEY]}`,
        );
        return saver.put(...args);
      },
      putWrites: (...args: Parameters<IncrementalSaver['putWrites']>) => {
        seen.push(
          `putWrites ${args[0].configurable?.checkpoint_ns === '' ? 'root' : 'sub'} ${args[0].configurable?.[FENCE_KEY]}`,
        );
        return saver.putWrites(...args);
      },
      getTuple: (...args: Parameters<IncrementalSaver['getTuple']>) => saver.getTuple(...args),
      list: (...args: Parameters<IncrementalSaver['list']>) => saver.list(...args),
    });
    const inner = new StateGraph(State)
      .addNode('a', () => ({ trail: ['a'] }))
      .addNode('b', () => ({ trail: ['b'] }))
      .addEdge(START, 'a')
      .addEdge('a', 'b')
      .addEdge('b', END)
      .compile();
    const graph = new StateGraph(State)
      .addNode('inner', inner)
      .addEdge(START, 'inner')
      .addEdge('inner', END)
      .compile({ checkpointer: spy });

    await graph.invoke({ trail: [] }, { ...config(3), durability: 'sync' });
    await graph.updateState(config(3), { trail: ['by hand'] });

    expect(new Set(seen)).toEqual(
      new Set(['put root 3', 'put sub 3', 'putWrites root 3', 'putWrites sub 3']),
    );
  });
});
