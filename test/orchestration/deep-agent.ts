import { AIMessage, type BaseMessage } from '@langchain/core/messages';
import { fakeModel } from '@langchain/core/testing';
import { tool } from '@langchain/core/tools';
import { createDeepAgent } from 'deepagents';
import { todoListMiddleware } from 'langchain';

type Say = (what: string) => unknown;
type Turn = (messages: BaseMessage[]) => AIMessage;

const TURNS_MAX = 50;
const NO_ARGUMENTS = { type: 'object', properties: {} } as never;

const calls = (name: string, args: Record<string, unknown>) =>
  new AIMessage({ content: '', tool_calls: [{ name, args, id: `${name}-1`, type: 'tool_call' }] });

/** Says what comes next by what has been said: it may be another process that goes on. */
function scripted(who: string, say: Say, turns: readonly Turn[]) {
  const model = fakeModel();
  for (let i = 0; i < TURNS_MAX; i++) {
    model.respond((messages) => {
      const turn = messages.filter(({ type }) => type === 'ai').length;
      say(`${who} ${turn}`);
      return turns[turn]!(messages);
    });
  }
  return model;
}

const lastTextOf = (messages: BaseMessage[]) => messages.at(-1)!.text;

/** Plans, sends a scout, writes down what that found, and asks before it publishes. */
export function deepAgent(say: Say, lookUp: () => unknown = () => '42') {
  const look = tool(
    async () => {
      say('look');
      return lookUp();
    },
    { name: 'look', description: 'Looks it up.', schema: NO_ARGUMENTS },
  );
  const publish = tool(
    () => {
      say('publish');
      return 'published';
    },
    { name: 'publish', description: 'Publishes the report.', schema: NO_ARGUMENTS },
  );
  const todos = [
    { content: 'find it', status: 'in_progress' },
    { content: 'write it', status: 'pending' },
  ];
  const scout = scripted('scout', say, [
    () => calls('look', {}),
    (messages) => new AIMessage(`found ${lastTextOf(messages)}`),
  ]);
  const lead = scripted('lead', say, [
    () => calls('write_todos', { todos }),
    () => calls('task', { description: 'find the answer', subagent_type: 'scout' }),
    (messages) => calls('write_file', { file_path: '/report.md', content: lastTextOf(messages) }),
    () => calls('publish', {}),
    (messages) => new AIMessage(`done: ${lastTextOf(messages)}`),
  ]);
  return createDeepAgent({
    model: lead,
    tools: [publish as never],
    middleware: [todoListMiddleware() as never],
    subagents: [
      {
        name: 'scout',
        description: 'Finds things.',
        systemPrompt: 'You find things.',
        model: scout,
        tools: [look as never],
      },
    ],
    interruptOn: { publish: true },
  });
}
