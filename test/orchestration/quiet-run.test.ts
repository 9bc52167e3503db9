import { AsyncLocalStorageProviderSingleton } from '@langchain/core/singletons';
import {
  Annotation,
  Command,
  END,
  getConfig,
  type LangGraphRunnableConfig,
  MemorySaver,
  Send,
  START,
  StateGraph,
} from '@langchain/langgraph';
import { afterEach, describe, expect, test } from 'vitest';
import { Conductor } from '../../src/index.ts';

const State = Annotation.Root({
  goal: Annotation<string>,
  path: Annotation<string[]>({ reducer: (path, more) => path.concat(more), default: () => [] }),
});

const open: Conductor[] = [];
afterEach(async () => {
  await Promise.all(open.splice(0).map((conductor) => conductor.close()));
});

function conductorOf(graph: object, checkpointer?: MemorySaver): Conductor {
  const conductor = new Conductor({
    agents: { worker: graph as never },
    ...(checkpointer !== undefined && { checkpointer }),
  });
  open.push(conductor);
  return conductor;
}

/** Keeps what nodes wrote, and loses the step that they were, until somebody makes room. */
class ForgetfulSaver extends MemorySaver {
  isFull = true;

  override async put(...args: Parameters<MemorySaver['put']>): ReturnType<MemorySaver['put']> {
    if (this.isFull && args[2].step === 1) throw new Error('the disk is full');
    return super.put(...args);
  }
}

/** What a node, or an edge, finds in its config: names, and the values that can be compared. */
function shown(config: LangGraphRunnableConfig) {
  const {
    metadata,
    tags,
    recursionLimit,
    runName: ___,
    configurable,
    ...rest
  } = config as Record<string, unknown>;
  const { langgraph_checkpoint_ns: _, checkpoint_ns: __, ...told } = metadata as Record<string, unknown>;
  const own = Object.keys(configurable as object).filter((key) => !OURS.has(key));
  return { told, tags, recursionLimit, keys: Object.keys(rest).sort(), configurable: own.sort() };
}
const OURS = new Set(['jotty', 'jotty_fence', '__pregel_strict_resume']);

describe('a graph that runs without traces', () => {
  test('gives its nodes and edges the config that they have without a conductor', async () => {
    const seen: unknown[] = [];
    const look = (what: string, config: LangGraphRunnableConfig) => {
      const { callbacks: _, control: __, signal: ___, ...own } = config as Record<string, unknown>;
      seen.push([what, shown(own), getConfig()?.configurable?.thread_id]);
    };
    const builder = new StateGraph(State)
      .addNode('first', (_, config) => {
        look('first', config);
        expect(getConfig()).toBe(config);
        return {};
      })
      .addNode('second', (_, config) => look('second', config) as never)
      .addEdge(START, 'first')
      .addConditionalEdges('first', (_, config) => {
        look('edge', config);
        return 'second';
      });
    const configurable = { thread_id: 'thread' };
    await builder
      .compile({ checkpointer: new MemorySaver() })
      .invoke({ goal: 'look' }, { configurable, durability: 'sync' });
    const bare = seen.splice(0);
    await conductorOf(builder.compile()).run('look', { threadId: 'thread' });
    expect(seen).toHaveLength(3);
    expect(seen).toEqual(bare);
  });

  test('goes where its edges, commands and sends lead it', async () => {
    const builder = new StateGraph(State)
      .addNode('commands', () => new Command({ goto: ['left', new Send('right', { goal: 'sent' })] }), {
        ends: ['left', 'right'],
      })
      .addNode('left', () => ({ path: ['left'] }))
      .addNode('right', ({ goal }) => ({ path: [`right ${goal}`] }))
      .addNode('list', () => [new Command({ update: { path: ['listed'] }, goto: 'last' })] as never, {
        ends: ['last'],
      })
      .addNode('last', () => ({ path: ['last'] }))
      .addEdge(START, 'commands')
      .addConditionalEdges('left', () => [new Send('right', { goal: 'from the edge' })])
      .addConditionalEdges('right', ({ goal }) => (goal === 'sent' ? END : 'list'), ['list', END]);
    const bare = await builder.compile().invoke({ goal: 'go' });
    const { result } = (await conductorOf(builder.compile()).run('go')) as { result: unknown };
    expect(result).toEqual(bare);
    expect((result as { path: string[] }).path).toContain('last');
  });

  test('tells the starts and ends of its nodes as LangGraph does, also of steps that were done and not counted', async () => {
    const told: string[][] = [];
    for (const isOurs of [true, false]) {
      const saver = new ForgetfulSaver();
      const graph = new StateGraph(State)
        .addNode('left', () => ({ path: ['left'] }))
        .addNode('right', () => ({ path: ['right'] }))
        .addNode('last', () => ({ path: ['last'] }))
        .addEdge(START, 'left')
        .addEdge(START, 'right')
        .addEdge(['left', 'right'], 'last')
        .addEdge('last', END);
      const conductor = isOurs ? conductorOf(graph.compile(), saver) : undefined;
      const bare = graph.compile({ checkpointer: saver });
      const config = { configurable: { thread_id: 't' }, durability: 'sync' as const };
      const events: string[] = [];
      for (const input of [{ goal: 'g' }, null]) {
        const run = async () => {
          if (conductor !== undefined) {
            for await (const event of conductor.stream('g', { threadId: 't' }))
              if (event.type === 'node') events.push(`${event.node} ${event.phase}`);
          } else {
            for await (const [, chunk] of await bare.stream(input, { ...config, streamMode: ['tasks'] }))
              events.push(
                `${(chunk as { name: string }).name} ${'result' in (chunk as object) ? 'ended' : 'started'}`,
              );
          }
        };
        if (input === null) await run();
        else await expect(run()).rejects.toThrow('the disk is full');
        saver.isFull = false;
      }
      told.push(events);
    }
    expect(told[0]).toEqual(told[1]);
    expect(told[0]).toEqual([
      'left started',
      'right started',
      'left ended',
      'right ended',
      'last started',
      'last ended',
    ]);
  });

  test('shares one trace that nobody reads; a callback of the graph hears of all nodes as ever', async () => {
    const traces: unknown[] = [];
    const node = async () => {
      traces.push(
        (AsyncLocalStorageProviderSingleton.getInstance().getStore() as { id?: string } | undefined)?.id,
      );
      return {};
    };
    const builder = new StateGraph(State)
      .addNode('first', node)
      .addNode('second', node)
      .addEdge(START, 'first')
      .addEdge('first', 'second');
    await conductorOf(builder.compile()).run('quiet');
    expect(new Set(traces).size).toBe(1);
    expect(traces[0]).toEqual(expect.any(String));

    const heard: (string | undefined)[] = [];
    const callbacks = [
      { handleChainStart: (...start: unknown[]) => void heard.push(start[7] as string | undefined) },
    ];
    await conductorOf(builder.compile().withConfig({ callbacks })).run('heard');
    expect(heard).toEqual(expect.arrayContaining(['first', 'second']));
  });

  test('is traced where the environment asks for it', async () => {
    const runs: unknown[] = [];
    const builder = new StateGraph(State)
      .addNode('first', async (_, config) => {
        runs.push(
          (config as { callbacks?: { handlers?: { name: string }[] } }).callbacks?.handlers?.map(
            (h) => h.name,
          ),
        );
        return {};
      })
      .addEdge(START, 'first');
    process.env.LANGCHAIN_VERBOSE = 'true';
    const { log } = console;
    console.log = () => {};
    try {
      await conductorOf(builder.compile()).run('loud');
    } finally {
      console.log = log;
      delete process.env.LANGCHAIN_VERBOSE;
    }
    expect(runs).toEqual([expect.arrayContaining(['console_callback_handler'])]);
  });

  test('fails with the error of a node, and does not wait for one beside it', async () => {
    let end: () => void = () => {};
    const graph = new StateGraph(State)
      .addNode('fails', async () => {
        throw new RangeError('out of range');
      })
      .addNode('hangs', () => new Promise<object>((resolve) => (end = () => resolve({}))))
      .addEdge(START, 'fails')
      .addEdge(START, 'hangs')
      .compile();
    await expect(conductorOf(graph).run('fail')).rejects.toThrow('out of range');
    end();
  });

  test('leaves alone what its nodes changed of how they are called', async () => {
    const graph = new StateGraph(State)
      .addNode('first', () => ({ path: ['first'] }))
      .addEdge(START, 'first')
      .compile();
    const { bound } = graph.nodes.first as unknown as {
      bound: { invoke(input: unknown, config: object): Promise<object> };
    };
    const { invoke } = bound;
    bound.invoke = async (input, config) => ({
      ...(await invoke.call(bound, input, config)),
      goal: 'changed',
    });
    const end = await conductorOf(graph).run('go');
    expect(end).toMatchObject({ result: { goal: 'changed', path: ['first'] } });
  });
});
