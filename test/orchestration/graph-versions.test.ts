import { Annotation, END, interrupt, Send, START, StateGraph } from '@langchain/langgraph';
import { describe, expect, test } from 'vitest';
import { Conductor, type Migrate, type OldThread } from '../../src/index.ts';
import { fingerprintOf } from '../../src/orchestration/graph-fingerprint.ts';
import { MemoryTaskQueue } from '../../src/queue/index.ts';
import { FakeClock } from '../../src/testing/fake-clock.ts';

const State = Annotation.Root({
  goal: Annotation<string>(),
  notes: Annotation<string[]>({ reducer: (a, b) => [...a, ...b], default: () => [] }),
});

/** A chain of nodes that each leave their name; one called `ask…` asks first. */
function chain(...names: string[]) {
  const builder = new StateGraph(State);
  for (const name of names)
    builder.addNode(name, () => {
      if (name.startsWith('ask')) return { notes: [`${name}: ${interrupt('well?')}`] };
      return { notes: [name] };
    });
  const graph = builder as unknown as { addEdge(from: string, to: string): unknown };
  for (const [i, name] of [START, ...names].entries()) graph.addEdge(name, names[i] ?? END);
  return builder.compile();
}

type Agents = ConstructorParameters<typeof Conductor>[0]['agents'];

async function begunBy(agent: Agents[string]) {
  const clock = new FakeClock();
  const queue = new MemoryTaskQueue({ clock });
  const deploy = (next: Agents[string]) => new Conductor({ agents: { agent: next }, queue });
  const process = (next: Agents[string]) => deploy(next).processQueue({ untilEmpty: true });
  await deploy(agent).enqueueGoal('go', { id: 't' });
  await process(agent);
  const task = async () => (await queue.getTask('t'))!;
  const answer = async () => queue.answer('t', (await task()).interrupts![0]!.id, 'yes');
  return { clock, queue, process, task, answer };
}

describe('a thread that another version of its graph began', () => {
  test('goes on where nothing it needs is missing', async () => {
    const { process, task, answer } = await begunBy(chain('a', 'b', 'ask', 'c'));
    await answer();
    // A node before it renamed, one after it added, one removed.
    await process(chain('first', 'ask', 'd', 'e'));
    expect((await task()).result).toMatchObject({ notes: ['a', 'b', 'ask: yes', 'd', 'e'] });
  });

  test('waits with a reason where its node is gone, uncharged, and ends by the version that has it', async () => {
    const old = chain('a', 'ask', 'b');
    const { clock, queue, process, task, answer } = await begunBy(old);
    await answer();
    expect(await process(chain('a', 'question', 'b'))).toEqual({ completed: 0, failed: 0, waiting: 0 });
    expect(await task()).toMatchObject({
      status: 'pending',
      retryCount: 0,
      error: { code: 'GRAPH_CHANGED' },
    });
    const [blocker] = (await queue.explain('t')).blockers;
    expect(blocker).toMatchObject({ code: 'GRAPH_CHANGED', until: clock.now() + 2_000 });
    expect(blocker?.message).toContain('node ask');
    expect((await queue.history('t')).at(-1)?.reason).toMatch(/^GRAPH_CHANGED: .*node ask/);
    await clock.advance(2_000);
    expect((await queue.explain('t')).blockers).toEqual([]);
    await process(old);
    expect(await task()).toMatchObject({ status: 'completed', result: { notes: ['a', 'ask: yes', 'b'] } });
    expect((await task()).error).toBeUndefined();
  });

  test('is moved by the function given with the agent', async () => {
    const { process, task, answer } = await begunBy(chain('a', 'ask', 'b'));
    await answer();
    const seen: OldThread[] = [];
    const migrate: Migrate = (thread) => {
      seen.push(thread);
      return { after: 'a', values: { notes: ['moved'] } };
    };
    await process({ graph: chain('a', 'question', 'b'), migrate });
    expect((await task()).result).toMatchObject({ notes: ['a', 'moved', 'question', 'b'] });
    expect(seen).toMatchObject([{ threadId: 't', values: { notes: ['a'] }, lost: ['node ask'] }]);
    expect(seen[0]?.from).toMatch(/^[0-9a-f]{16}$/);
    expect(seen[0]?.to).not.toBe(seen[0]?.from);
  });

  test('waits where migrate does not know, and fails where it names no node', async () => {
    const { clock, process, task, answer } = await begunBy(chain('a', 'ask'));
    await answer();
    await process({ graph: chain('a', 'b'), migrate: () => null });
    expect(await task()).toMatchObject({ status: 'pending', error: { code: 'GRAPH_CHANGED' } });
    await clock.advance(2_000);
    const done = process({ graph: chain('a', 'b'), migrate: () => ({ after: 'nowhere' }) });
    for (let i = 0; i < 20 && (await task()).status !== 'failed'; i++) await clock.advance(30_000);
    await done;
    expect(await task()).toMatchObject({ error: { code: 'INVALID_OPTION' } });
  });

  test('does not lose a channel that holds a value', async () => {
    const Wider = Annotation.Root({ ...State.spec, draft: Annotation<string>() });
    const wider = new StateGraph(Wider)
      .addNode('a', () => ({ draft: 'text' }))
      .addNode('ask', () => ({ notes: [String(interrupt('well?'))] }))
      .addEdge(START, 'a')
      .addEdge('a', 'ask')
      .addEdge('ask', END)
      .compile();
    const { process, task, answer } = await begunBy(wider);
    await answer();
    await process(chain('a', 'ask'));
    expect(await task()).toMatchObject({ status: 'pending' });
    expect((await task()).error?.message).toContain('channel draft');
  });

  test('does not lose what was sent to a node, nor what a graph inside has left to do', async () => {
    const sending = (target: string, inner: ReturnType<typeof chain>) =>
      new StateGraph(State)
        .addNode('a', () => ({}))
        .addNode(target, inner)
        .addNode('ask', () => ({ notes: [String(interrupt('well?'))] }))
        .addEdge(START, 'a')
        .addConditionalEdges('a', () => [new Send(target, { notes: [] }), new Send('ask', {})], [
          target,
          'ask',
        ])
        .compile();
    const sent = await begunBy(sending('work', chain('x')));
    await sent.answer();
    await sent.process(sending('labour', chain('x')));
    expect((await sent.task()).error?.message).toContain('node work');

    const within = (inner: ReturnType<typeof chain>) =>
      new StateGraph(State).addNode('sub', inner).addEdge(START, 'sub').addEdge('sub', END).compile();
    const inside = await begunBy(within(chain('x', 'ask', 'y')));
    await inside.answer();
    await inside.process(within(chain('x', 'question', 'y')));
    expect(await inside.task()).toMatchObject({ status: 'pending' });
    expect((await inside.task()).error?.message).toContain('node ask inside sub');
  });

  test('without a queue it is refused', async () => {
    await using queue = new MemoryTaskQueue();
    const first = new Conductor({ agents: { agent: chain('a', 'ask') }, queue });
    await first.run('go', { threadId: 'th' });
    const second = new Conductor({ agents: { agent: chain('a', 'b') }, queue });
    await expect(second.run('go', { threadId: 'th' })).rejects.toMatchObject({ code: 'GRAPH_CHANGED' });
  });
});

describe('the fingerprint', () => {
  test('is one of what the graph is made of, not of the order in which that was said', () => {
    const make = (flip: boolean, target = 'b') => {
      const builder = new StateGraph(State);
      for (const name of flip ? ['b', 'a'] : ['a', 'b']) builder.addNode(name, () => ({}));
      const graph = builder as unknown as { addEdge(from: string, to: string): unknown };
      graph.addEdge(START, 'a');
      graph.addEdge('a', target);
      if (target === END) graph.addEdge(START, 'b');
      return fingerprintOf(builder.compile());
    };
    expect(make(false)).toBe(make(true));
    expect(make(false)).not.toBe(make(false, END));
  });

  test('counts the graphs inside', () => {
    const within = (inner: ReturnType<typeof chain>) =>
      fingerprintOf(new StateGraph(State).addNode('sub', inner).addEdge(START, 'sub').compile());
    expect(within(chain('x'))).toBe(within(chain('x')));
    expect(within(chain('x'))).not.toBe(within(chain('y')));
  });
});
