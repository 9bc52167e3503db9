import { AIMessage } from '@langchain/core/messages';
import { fakeModel } from '@langchain/core/testing';
import { tool } from '@langchain/core/tools';
import { END, interrupt } from '@langchain/langgraph';
import { RemoteGraph } from '@langchain/langgraph/remote';
import { createSupervisor } from '@langchain/langgraph-supervisor';
import { createHandoffTool, createSwarm } from '@langchain/langgraph-swarm';
import { createAgent } from 'langchain';
import { expect, test } from 'vitest';
import { Conductor } from '../../src/index.ts';
import { MemoryTaskQueue } from '../../src/queue/backends/memory/memory-task-queue.ts';

interface Conversation {
  readonly path?: readonly string[];
  readonly messages: readonly { readonly type: string; readonly content: string }[];
}

const textsOf = ({ messages }: Conversation) => messages.map(({ content }) => content);

/** A deployment that answers in LangGraph's protocol, without a network. */
function remoteGraph(answer: string) {
  const sent: { threadId: unknown; input: { messages?: object[] } }[] = [];
  const client = {
    runs: {
      async *stream(threadId: unknown, _graphId: string, { input }: { input: { messages?: object[] } }) {
        sent.push({ threadId, input });
        const messages = [...(input.messages ?? []), { type: 'ai', content: answer, id: 'remote-1' }];
        yield { event: 'values', data: { messages } };
      },
    },
  };
  return { sent, graph: new RemoteGraph({ graphId: 'far', client: client as never }) };
}

test('a RemoteGraph runs as an agent, alone and between others', async () => {
  const { sent, graph } = remoteGraph('from afar');
  const near = createAgent({ model: fakeModel().respond(new AIMessage('near')), tools: [] });
  const last = fakeModel().respond(new AIMessage('last'));
  await using conductor = new Conductor({
    agents: { near, far: graph, last: createAgent({ model: last, tools: [] }) },
    mode: 'static',
    plan: ['near', 'far', 'last'],
  });
  const alone = await conductor.run('hello', { agent: 'far', input: { messages: [] } });
  expect(textsOf((alone as unknown as { result: Conversation }).result)).toEqual(['from afar']);
  expect(sent[0]).toMatchObject({ threadId: alone.threadId, input: { goal: 'hello' } });

  const { result } = (await conductor.run('hello')) as unknown as { result: Conversation };
  expect(textsOf(result)).toEqual(['hello', 'near', 'from afar', 'last']);
  expect(sent[1]!.input.messages).toHaveLength(2);
  expect(last.calls[0]!.messages.map((message) => message.type)).toEqual(['human', 'ai', 'ai']);
});

test('createAgent with tools runs through the queue; an approval in a tool waits, in a team too', async () => {
  const queue = new MemoryTaskQueue();
  let sent = 0;
  const send = tool(
    () => {
      const said = interrupt('send it?') as string;
      sent += 1;
      return said;
    },
    { name: 'send', description: 'Sends it.', schema: { type: 'object', properties: {} } as never },
  );
  const mailer = () =>
    createAgent({
      model: fakeModel()
        .respondWithTools([{ name: 'send', args: {} }])
        .respond(new AIMessage('sent')),
      tools: [send as never],
    });
  await using conductor = new Conductor({
    agents: { alone: mailer(), mailer: mailer() },
    queue,
    mode: 'dynamic',
    router: ({ path }) => (path.length === 0 ? 'mailer' : END),
  });
  const ids = [await conductor.enqueueGoal('go', { agent: 'alone' }), await conductor.enqueueGoal('go')];
  expect(await conductor.processQueue({ untilEmpty: true })).toMatchObject({ waiting: 2 });
  for (const id of ids) {
    const [question] = (await queue.getTask(id))!.interrupts!;
    await conductor.answer(id, question!.id, 'yes');
  }
  await conductor.processQueue({ untilEmpty: true });
  const [alone, team] = await Promise.all(
    ids.map((id) => conductor.result<Conversation & object>(id as never)),
  );
  expect(textsOf(alone!)).toEqual(['go', expect.anything(), 'yes', 'sent']);
  expect(textsOf(team!).slice(2)).toEqual(['yes', 'sent']);
  expect(team).toMatchObject({ path: ['mailer'] });
  expect(sent).toBe(2);
  await queue.close();
});

const named = (name: string, ...models: Parameters<ReturnType<typeof fakeModel>['respond']>[0][]) => {
  const model = models.reduce<ReturnType<typeof fakeModel>>(
    (built, next) => built.respond(next),
    fakeModel(),
  );
  return { model, name };
};

const callsTool = (name: string) =>
  new AIMessage({ content: '', tool_calls: [{ name, args: {}, id: `${name}-1`, type: 'tool_call' }] });

test('a supervisor of the prebuilt package runs as an agent unchanged', async () => {
  const queue = new MemoryTaskQueue();
  const expert = createAgent({ ...named('expert', new AIMessage('42')), tools: [] });
  const { model } = named('lead', callsTool('transfer_to_expert'), new AIMessage('it is 42'));
  const supervisor = createSupervisor({ agents: [expert.graph as never], llm: model as never }).compile();
  await using conductor = new Conductor({ agents: { supervisor }, queue });
  const id = await conductor.enqueueGoal('what is it?');
  await conductor.processQueue({ untilEmpty: true });
  const texts = textsOf(await conductor.result<Conversation & object>(id as never));
  expect(texts[0]).toBe('what is it?');
  expect(texts).toContain('42');
  expect(texts.at(-1)).toBe('it is 42');
  await queue.close();
});

test('a swarm of the prebuilt package runs as an agent unchanged, and its agents hand over in a team as well', async () => {
  const members = () => {
    const toBob = createHandoffTool({ agentName: 'bob' });
    const alice = createAgent({ ...named('alice', callsTool('transfer_to_bob')), tools: [toBob as never] });
    const bob = createAgent({ ...named('bob', new AIMessage('bob here')), tools: [] });
    return { alice, bob };
  };
  const { alice, bob } = members();
  const swarm = createSwarm({
    agents: [alice.graph as never, bob.graph as never],
    defaultActiveAgent: 'alice',
  }).compile();
  await using conductor = new Conductor({
    agents: { swarm, ...members() },
    mode: 'dynamic',
    router: ({ path }) => (path.length === 0 ? 'alice' : END),
  });
  const alone = (await conductor.run('bob, please', { agent: 'swarm' })) as unknown as {
    result: Conversation;
  };
  expect(textsOf(alone.result).at(-1)).toBe('bob here');
  const team = (await conductor.run('bob, please')) as unknown as { result: Conversation };
  expect(team.result.path).toEqual(['alice', 'bob']);
  expect(textsOf(team.result).at(-1)).toBe('bob here');
});
