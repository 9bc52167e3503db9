import { AIMessage } from '@langchain/core/messages';
import { fakeModel } from '@langchain/core/testing';
import { tool } from '@langchain/core/tools';
import { FakeListChatModel } from '@langchain/core/utils/testing';
import { Annotation, Command, END, MessagesAnnotation, Send, START, StateGraph } from '@langchain/langgraph';
import { createAgent } from 'langchain';
import { describe, expect, test } from 'vitest';
import {
  AgentCoordinator,
  type AgentInput,
  Conductor,
  dynamicAgent,
  modelRouter,
  type RunEvent,
  scoreRouter,
} from '../../src/index.ts';
import { MemoryTaskQueue } from '../../src/queue/backends/memory/memory-task-queue.ts';
import { FakeClock } from '../../src/testing/fake-clock.ts';
import { ask, research, reviewer, writer } from './team-agents.ts';

const says = (text: string) => ({ invoke: () => text });

/** Hands over to `to`, from within its own graph. */
const handsTo = (to: string, update: Record<string, unknown> = {}) =>
  new StateGraph(Annotation.Root({ goal: Annotation<string>(), notes: Annotation<string[]>() }))
    .addNode('decide', () => new Command({ goto: to, graph: Command.PARENT, update }), { ends: [] })
    .addEdge(START, 'decide')
    .compile();

describe('a router', () => {
  test('that is a function sees state and agents, and decides until END', async () => {
    const seen: unknown[] = [];
    await using conductor = new Conductor({
      agents: { a: says('one'), b: { invoke: ({ results }: AgentInput) => ({ got: results ?? null }) } },
      mode: 'dynamic',
      router: ({ goal, path, results }, agents) => {
        seen.push([
          goal,
          path.length,
          Object.keys(results),
          agents.map(({ name, runs }) => `${name}${runs}`),
        ]);
        return path.length === 0 ? 'a' : path.length === 1 ? { next: 'b', reason: 'because' } : END;
      },
    });
    const events: RunEvent[] = [];
    for await (const event of conductor.stream('go')) events.push(event);
    expect(events.at(-1)).toMatchObject({
      result: { path: ['a', 'b'], results: { a: 'one', b: { got: { a: 'one' } } }, endedBy: 'done' },
    });
    expect(seen).toEqual([
      ['go', 0, [], ['a0', 'b0']],
      ['go', 1, ['a'], ['a1', 'b0']],
      ['go', 2, ['a', 'b'], ['a1', 'b1']],
    ]);
    const told = events.flatMap((event) => (event.type === 'custom' ? [event.data] : []));
    expect(told).toEqual([
      { jotty: 'route', next: ['a'], by: 'router' },
      { jotty: 'agent', agent: 'a', step: 1 },
      { jotty: 'route', next: ['b'], by: 'router', reason: 'because' },
      { jotty: 'agent', agent: 'b', step: 2 },
      { jotty: 'route', next: [END], by: 'router' },
    ]);
  });

  test('that names nobody known is an error, and one that never ends is bounded by steps', async () => {
    const agents = { a: says('one') };
    await using lost = new Conductor({ agents, mode: 'dynamic', router: () => 'nobody' as 'a' });
    await expect(lost.run('go')).rejects.toMatchObject({ code: 'UNKNOWN_AGENT' });
    await using loop = new Conductor({ agents, mode: 'dynamic', router: () => 'a', maxSteps: 40 });
    const { result } = (await loop.run('go')) as unknown as { result: { path: string[] } };
    expect(result).toMatchObject({ endedBy: 'steps' });
    expect(result.path).toHaveLength(40);
  });

  test('is bounded by the time its agents take', async () => {
    const clock = new FakeClock();
    await using conductor = new Conductor({
      agents: { slow: { invoke: () => clock.advance(400) } },
      clock,
      mode: 'dynamic',
      router: () => 'slow',
      maxMs: 1_000,
    });
    expect(await conductor.run('go')).toMatchObject({
      result: { path: ['slow', 'slow', 'slow'], endedBy: 'time' },
    });
  });

  test('is bounded by the time it takes itself, too', async () => {
    const clock = new FakeClock();
    await using conductor = new Conductor({
      agents: { quick: says('one') },
      clock,
      mode: 'dynamic',
      router: async () => {
        await clock.advance(400);
        return 'quick' as const;
      },
      maxMs: 1_000,
    });
    expect(await conductor.run('go')).toMatchObject({
      result: { path: ['quick', 'quick', 'quick'], endedBy: 'time' },
    });
  });

  test('is not asked again for what it has decided before a crash', async () => {
    const queue = new MemoryTaskQueue({ retry: { initialInterval: 0, jitter: false } });
    let asked = 0;
    let failures = 2;
    const log: string[] = [];
    const judge = () => {
      if (failures-- > 0) throw new Error('no');
      return 'good';
    };
    await using conductor = new Conductor({
      agents: {
        research: research((node) => log.push(node)),
        reviewer: reviewer((node) => log.push(node), judge),
      },
      queue,
      mode: 'dynamic',
      router: ({ path }) => {
        asked += 1;
        return (['research', 'reviewer', END] as const)[path.length]!;
      },
    });
    const id = await conductor.enqueueGoal('go');
    await conductor.processQueue({ untilEmpty: true });
    expect(await conductor.result(id)).toMatchObject({ path: ['research', 'reviewer'], verdict: 'good' });
    expect(log).toEqual(['search', 'read', 'look', 'judge', 'judge', 'judge']);
    expect(asked).toBe(3);
    await queue.close();
  });

  test('leaves questions in agents to the queue', async () => {
    const queue = new MemoryTaskQueue();
    await using conductor = new Conductor({
      agents: { research: research(() => {}), reviewer: reviewer(() => {}, ask('publish?')) },
      queue,
      mode: 'dynamic',
      router: ({ path }) => (['research', 'reviewer', END] as const)[path.length]!,
    });
    const id = await conductor.enqueueGoal('go');
    expect(await conductor.processQueue({ untilEmpty: true })).toMatchObject({ waiting: 1 });
    const [question] = (await queue.getTask(id))!.interrupts!;
    await conductor.answer(id, question!.id, 'yes');
    await conductor.processQueue({ untilEmpty: true });
    expect(await conductor.result(id)).toMatchObject({ verdict: 'yes', path: ['research', 'reviewer'] });
    await queue.close();
  });
});

describe('an agent', () => {
  test('hands over to another by a Command, without the router', async () => {
    let asked = 0;
    await using conductor = new Conductor({
      agents: {
        front: handsTo('writer', { notes: ['from the front'], unknown: 1 }),
        writer: writer(() => {}),
      },
      mode: 'dynamic',
      router: ({ path }) => {
        asked += 1;
        return path.length === 0 ? 'front' : END;
      },
    });
    const { result } = await conductor.run('go').then((end) => end as unknown as { result: unknown });
    expect(result).toMatchObject({ path: ['front', 'writer'], draft: 'draft of from the front, outlined' });
    expect(asked).toBe(2);
  });

  test('may hand over to the end, and to nobody known: then the router decides', async () => {
    const router = ({ path }: { path: readonly string[] }) => (path.length === 0 ? 'front' : 'other');
    const run = (to: string) =>
      new Conductor({
        agents: { front: handsTo(to), other: says('other') },
        mode: 'dynamic',
        router,
        maxSteps: 2,
      }).run('go');
    expect(await run(END)).toMatchObject({ result: { path: ['front'], endedBy: 'done' } });
    expect(await run('nobody')).toMatchObject({ result: { path: ['front', 'other'] } });
  });

  test('without a graph hands over by what it returns; what it sends along reaches the other', async () => {
    const State = Annotation.Root({ goal: Annotation<string>(), draft: Annotation<string>() });
    const writer = new StateGraph(State)
      .addNode('add', ({ draft }) => ({ draft: `${draft}, written` }))
      .addEdge(START, 'add')
      .addEdge('add', END)
      .compile();
    const sending = new StateGraph(State)
      .addNode(
        'hand',
        () => new Command({ goto: new Send('writer', { draft: 'sent' }), graph: Command.PARENT }),
        { ends: [] },
      )
      .addEdge(START, 'hand')
      .compile();
    const returning = {
      invoke: () => new Command({ goto: 'writer', update: { draft: 'mine' }, graph: Command.PARENT }),
    };
    for (const [first, draft] of [
      [returning, 'mine, written'],
      [sending, 'sent, written'],
    ] as const) {
      await using conductor = new Conductor({
        agents: { first, writer },
        mode: 'dynamic',
        router: ({ path }) => (path.length === 0 ? 'first' : END),
      });
      expect(await conductor.run('go')).toMatchObject({ result: { path: ['first', 'writer'], draft } });
    }
  });

  test('that hands over in a circle is bounded', async () => {
    await using conductor = new Conductor({
      agents: { ping: handsTo('pong'), pong: handsTo('ping') },
      mode: 'dynamic',
      router: () => 'ping',
      maxSteps: 5,
    });
    expect(await conductor.run('go')).toMatchObject({
      result: { path: ['ping', 'pong', 'ping', 'pong', 'ping'], endedBy: 'steps' },
    });
  });

  test('made by createAgent hands over with a tool, and the next sees the conversation', async () => {
    const toBob = tool(
      (_, { toolCall }: { toolCall?: { id?: string } } & object) =>
        new Command({
          goto: 'bob',
          graph: Command.PARENT,
          update: { messages: [{ role: 'user', content: `over to you (${toolCall?.id !== undefined})` }] },
        }),
      {
        name: 'to_bob',
        description: 'Hands over to Bob.',
        schema: { type: 'object', properties: {} } as const,
      },
    );
    const alice = createAgent({
      model: fakeModel().respondWithTools([{ name: 'to_bob', args: {} }]),
      tools: [toBob as never],
      name: 'alice',
    });
    const bobs = fakeModel().respond(new AIMessage('done'));
    const bob = createAgent({ model: bobs, tools: [], name: 'bob' });
    await using conductor = new Conductor({
      agents: { alice, bob },
      mode: 'dynamic',
      router: ({ path }) => (path.length === 0 ? 'alice' : END),
    });
    const { result } = (await conductor.run('help')) as unknown as {
      result: { path: string[]; messages: { content: string }[] };
    };
    expect(result.path).toEqual(['alice', 'bob']);
    expect(result.messages.at(-1)?.content).toBe('done');
    expect(bobs.callCount).toBe(1);
  });
});

describe('scoreRouter', () => {
  const agents = {
    write: { invoke: () => 'text', capabilities: ['writing'] },
    research: { invoke: () => 'facts' },
    other: says('other'),
  };

  test('covers what the goal names, in its order, and ends', async () => {
    await using conductor = new Conductor({ agents, mode: 'dynamic' });
    expect(await conductor.run('Research queues, then write it up')).toMatchObject({
      result: { path: ['research', 'write'], endedBy: 'done' },
    });
  });

  test('runs one agent for a goal that names nothing, and stops where it is told to', async () => {
    await using conductor = new Conductor({ agents, mode: 'dynamic' });
    expect(await conductor.run('?')).toMatchObject({ result: { path: ['write'] } });
    const router = scoreRouter({
      needs: () => ['research', 'writing'],
      until: ({ path }) => path.length === 1,
    });
    await using short = new Conductor({ agents, mode: 'dynamic', router });
    expect(await short.run('?')).toMatchObject({ result: { path: ['research'] } });
  });

  test('prefers, of several with a capability, the one with the better experience', async () => {
    const coordinator = new AgentCoordinator();
    const pair = {
      bad: { invoke: () => 'b', capabilities: ['draw'] },
      good: { invoke: () => 'g', capabilities: ['draw'] },
    };
    await using conductor = new Conductor({ agents: pair, coordinator, mode: 'dynamic' });
    expect(await conductor.run('draw it')).toMatchObject({ result: { path: ['bad'] } });
    coordinator.learn('bad', {}, false, 1);
    coordinator.learn('good', {}, true, 1);
    expect(await conductor.run('draw it')).toMatchObject({ result: { path: ['good'] } });
  });
});

describe('modelRouter', () => {
  const agents = {
    research: { invoke: () => 'facts', description: 'finds facts' },
    write: { invoke: () => 'text', description: 'writes' },
  };
  const run = (model: Parameters<typeof modelRouter>[0], options = {}) =>
    new Conductor({ agents, mode: 'dynamic', router: modelRouter(model, options) }).run(
      'Research bees, then write',
    );

  test('follows the choices of the model, shown the descriptions and the results', async () => {
    const model = new FakeListChatModel({
      responses: ['{"next":"research","reason":"facts first"}', '{"next":"write"}', '{"next":"FINISH"}'],
    });
    expect(await run(model)).toMatchObject({ result: { path: ['research', 'write'], endedBy: 'done' } });
    const asked: string[] = [];
    const spy = {
      invoke: () => Promise.resolve(new AIMessage('FINISH')),
      withStructuredOutput: (schema: unknown) => ({
        invoke: (turns: readonly (readonly string[])[]) => {
          asked.push(JSON.stringify([schema, turns]));
          return Promise.resolve({ next: asked.length === 1 ? 'research' : 'FINISH' });
        },
      }),
    };
    expect(await run(spy)).toMatchObject({ result: { path: ['research'] } });
    expect(asked[0]).toContain('research: finds facts');
    expect(asked[0]).toContain('"enum":["research","write","FINISH"]');
    expect(asked[1]).toContain('facts');
  });

  test('puts a wrong choice back to the model, and then decides without it', async () => {
    const model = new FakeListChatModel({
      responses: ['hm', '{"next":"nobody"}', '{"next":"write"}', '{"next":"FINISH"}'],
    });
    expect(await run(model)).toMatchObject({ result: { path: ['write'], endedBy: 'done' } });
    const fenced = fakeModel()
      .respond(new AIMessage('```json\n{"next":"write"}\n```'))
      .respond(new AIMessage('FINISH'));
    expect(await run(fenced)).toMatchObject({ result: { path: ['write'], endedBy: 'done' } });
    const said = ['```\n{"next":"write"}\n```', 'FINISH'];
    const unparsed = {
      invoke: () => Promise.reject(new Error('it is not asked again')),
      withStructuredOutput: () => ({
        invoke: () =>
          Promise.reject({ lc_error_code: 'OUTPUT_PARSING_FAILURE', message: '?', llmOutput: said.shift() }),
      }),
    };
    expect(await run(unparsed)).toMatchObject({ result: { path: ['write'], endedBy: 'done' } });
    const stubborn = fakeModel().structuredResponse({ next: 'nobody' });
    expect(await run(stubborn)).toMatchObject({ result: { path: ['research', 'write'], endedBy: 'done' } });
    const silent = new FakeListChatModel({ responses: ['hm'] });
    expect(await run(silent)).toMatchObject({ result: { path: ['research', 'write'], endedBy: 'done' } });
  });

  test('does not run one agent for ever: what has run enough is no choice any more', async () => {
    const loop = fakeModel().structuredResponse({ next: 'research' });
    expect(await run(loop, { runsMax: 2 })).toMatchObject({
      result: { path: ['research', 'research', 'write'], endedBy: 'done' },
    });
  });
});

test('a team is an agent anywhere: its messages flow between agents of LangChain', async () => {
  const chat = (text: string) => {
    const model = fakeModel().respond(new AIMessage(text));
    return { model, graph: createAgent({ model, tools: [] }) };
  };
  const [first, second] = [chat('facts'), chat('report')];
  const classic = new StateGraph(MessagesAnnotation)
    .addNode('say', () => ({ messages: [new AIMessage('classic')] }))
    .addEdge(START, 'say')
    .compile();
  const router = ({ path }: { path: readonly string[] }) => ['first', 'classic', 'second', END][path.length]!;
  const team = dynamicAgent({
    agents: { first: first.graph, classic, second: second.graph },
    router: router as never,
  });
  await using conductor = new Conductor({ agents: { team } });
  const { result } = (await conductor.run('Bees')) as unknown as {
    result: { messages: { content: string }[] };
  };
  expect(result.messages.map(({ content }) => content)).toEqual(['Bees', 'facts', 'classic', 'report']);
  expect(second.model.calls[0]?.messages.map(({ content }) => content)).toEqual(['Bees', 'facts', 'classic']);
});
