import { AIMessage, HumanMessage } from '@langchain/core/messages';
import * as langgraph from '@langchain/langgraph';
import { Annotation, END, START, StateGraph } from '@langchain/langgraph';
import { emptyCheckpoint, uuid6 } from '@langchain/langgraph-checkpoint';
import { describe, expect, test } from 'vitest';
import type { IncrementalSaver } from '../../src/checkpoint/incremental-saver.ts';
import { KINDS, SaverBench } from './savers.ts';

const config = (threadId: string) => ({ configurable: { thread_id: threadId } });

async function countOf(saver: IncrementalSaver, threadId: string): Promise<number> {
  let count = 0;
  for await (const _ of saver.list(config(threadId))) count++;
  return count;
}

describe.each(KINDS)('with the %s saver', (kind) => {
  test('pruning keeps the newest checkpoints, the state and the way on', async () => {
    await using bench = new SaverBench();
    const saver = bench.of(kind);
    const State = Annotation.Root({
      once: Annotation<string>,
      trail: Annotation<string[]>({ reducer: (a, b) => [...a, ...b], default: () => [] }),
    });
    const graph = new StateGraph(State)
      .addNode('a', () => ({ trail: ['a'] }))
      .addNode('b', () => ({ trail: ['b'] }))
      .addEdge(START, 'a')
      .addEdge('a', 'b')
      .addEdge('b', END)
      .compile({ checkpointer: saver });
    await graph.invoke({ once: 'kept', trail: [] }, { ...config('t'), durability: 'sync' });
    await graph.invoke({ trail: ['again'] }, { ...config('t'), durability: 'sync' });
    await graph.invoke({ once: 'other', trail: [] }, { ...config('u'), durability: 'sync' });
    const before = await graph.getState(config('t'));
    const others = await countOf(saver, 'u');

    await saver.prune({ threadId: 't', keep: 2 });
    expect(await countOf(saver, 't')).toBe(2);
    await saver.prune({ threadIds: ['t'] });

    expect(await countOf(saver, 't')).toBe(1);
    expect(await countOf(saver, 'u')).toBe(others);
    expect((await graph.getState(config('t'))).values).toEqual(before.values);
    const next = await graph.invoke({ trail: ['third'] }, { ...config('t'), durability: 'sync' });
    expect(next).toEqual({ once: 'kept', trail: ['a', 'b', 'again', 'a', 'b', 'third', 'a', 'b'] });
    await expect(saver.prune({ threadId: 't', keep: 0 })).rejects.toMatchObject({ code: 'INVALID_OPTION' });
  });

  test('a delta channel stays readable', async () => {
    await using bench = new SaverBench();
    const saver = bench.of(kind);
    const { MessagesDeltaValue, StateSchema } = langgraph;
    const graph = new StateGraph(new StateSchema({ messages: MessagesDeltaValue }))
      .addNode('reply', ({ messages }) => ({ messages: [new AIMessage(`reply ${messages.length}`)] }))
      .addEdge(START, 'reply')
      .addEdge('reply', END)
      .compile({ checkpointer: saver });
    for (let turn = 0; turn < 5; turn++) {
      await graph.invoke(
        { messages: [new HumanMessage(`turn ${turn}`)] },
        { ...config('t'), durability: 'sync' },
      );
    }
    const texts = async () =>
      (await graph.getState(config('t'))).values.messages.map(({ text }: { text: string }) => text);
    const before = await texts();
    expect(before).toHaveLength(10);

    await saver.prune({ threadId: 't' });

    expect(await texts()).toEqual(before);
    await graph.invoke({ messages: [new HumanMessage('more')] }, { ...config('t'), durability: 'sync' });
    expect(await texts()).toEqual([...before, 'more', 'reply 11']);
  });

  test('ancestors go once a snapshot makes them unnecessary', async () => {
    await using bench = new SaverBench();
    const saver = bench.of(kind);
    let parent = config('t') as { configurable: Record<string, unknown> };
    for (let i = 0; i < 6; i++) {
      const snapshot = i === 3;
      parent = (await saver.put(
        { configurable: { ...parent.configurable, checkpoint_ns: '' } },
        {
          ...emptyCheckpoint(),
          id: uuid6(i),
          channel_values: snapshot ? { log: ['s'] } : {},
          channel_versions: { log: i + 1 },
        },
        { source: 'loop', step: i, parents: {} },
        { log: i + 1 },
      )) as typeof parent;
      await saver.putWrites(parent, [['log', `w${i}`]], `task ${i}`);
    }
    const before = await saver.getDeltaChannelHistory({ config: parent, channels: ['log'] });

    await saver.prune({ threadId: 't' });

    expect(await countOf(saver, 't')).toBe(3);
    expect(await saver.getDeltaChannelHistory({ config: parent, channels: ['log'] })).toEqual(before);
  });

  test('a branch that starts from an old checkpoint while it is pruned keeps its values', async () => {
    await using bench = new SaverBench();
    const saver = bench.of(kind);
    const metadata = { source: 'loop' as const, step: 0, parents: {} };
    const put = (parent: object, index: number, version: number, isNew: boolean) =>
      saver.put(
        { configurable: { ...config('t').configurable, checkpoint_ns: '', ...parent } },
        {
          ...emptyCheckpoint(),
          id: uuid6(index),
          channel_values: { a: version },
          channel_versions: { a: version },
        },
        metadata,
        isNew ? { a: version } : {},
      );
    const old = await put({}, 0, 1, true);
    await put({ checkpoint_id: old.configurable?.checkpoint_id }, 1, 2, true);

    const [, branch] = await Promise.all([
      saver.prune({ threadId: 't' }),
      put({ checkpoint_id: old.configurable?.checkpoint_id }, 2, 1, false),
    ]);

    expect((await saver.getTuple(branch))?.checkpoint.channel_values).toEqual({ a: 1 });
  });
});
