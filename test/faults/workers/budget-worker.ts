/** Calls a model, side by side and in loops. What was really called is in the log that all processes share. */
import { BaseChatModel } from '@langchain/core/language_models/chat_models';
import { AIMessage } from '@langchain/core/messages';
import { Annotation, END, Send, START, StateGraph } from '@langchain/langgraph';
import { Conductor, TaskQueueManager } from '../../../src/index.ts';
import { openQueue } from './open-queue.ts';
import { appendLog, dieLoudly, onCommand, readSettings, say, sayError } from './protocol.ts';
import { randomFrom } from './random.ts';

const settings = readSettings();
const { isBound } = settings.more as { isBound?: boolean };
const random = randomFrom(settings.seed);
const queue = openQueue(settings.backend, settings.path, settings.queue);

class LoggedModel extends BaseChatModel {
  _llmType() {
    return 'logged';
  }

  override invocationParams() {
    return isBound ? { max_tokens: 60 } : {};
  }

  async _generate() {
    const tokens = random.between(5, 60);
    appendLog(settings.log, { id: String(tokens), node: 'call', phase: 'start' });
    await new Promise((resolve) => setTimeout(resolve, random.between(1, 15)));
    appendLog(settings.log, { id: String(tokens), node: 'call', phase: 'end' });
    const usage_metadata = { input_tokens: 1, output_tokens: tokens - 1, total_tokens: tokens };
    return {
      generations: [{ text: 'ok', message: new AIMessage({ content: 'ok', usage_metadata } as never) }],
    };
  }
}

const model = new LoggedModel({});
const State = Annotation.Root({ goal: Annotation<string>() });
const agent = new StateGraph(State)
  .addNode('plan', () => ({}))
  .addNode('work', async () => {
    await model.invoke('do it');
    return {};
  })
  .addNode('loop', async () => {
    for (let i = 0; i < 3; i++) await model.invoke('go on');
    return {};
  })
  .addEdge(START, 'plan')
  .addConditionalEdges('plan', () => Array.from({ length: 4 }, () => new Send('work', {})))
  .addEdge('work', 'loop')
  .addEdge('loop', END)
  .compile();

const conductor = new Conductor({ agents: { agent }, queue });
const manager = new TaskQueueManager(conductor, queue, { maxConcurrent: settings.concurrency });

// LangChain tells of each refusal there.
console.error = () => {};
process.on('unhandledRejection', dieLoudly('unhandledRejection'));
queue.on('error', (error) => sayError('queue', error));
onCommand(({ type }) => {
  if (type === 'start') manager.start();
});
say('ready', { pid: process.pid });
