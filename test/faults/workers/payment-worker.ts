/** Pays by a tool that dies where it is told to. The money is a line in the log that all processes share. */
import { AIMessage } from '@langchain/core/messages';
import { tool } from '@langchain/core/tools';
import { END, MessagesAnnotation, START, StateGraph } from '@langchain/langgraph';
import { ToolNode } from '@langchain/langgraph/prebuilt';
import { Conductor, type Effect, onceTool, TaskQueueManager } from '../../../src/index.ts';
import { openQueue } from './open-queue.ts';
import { appendLog, dieLoudly, onCommand, readLog, readSettings, say, sayError } from './protocol.ts';

/** The boundaries of a payment. */
export type Boundary =
  | 'started:before'
  | 'started:after'
  | 'tool:before'
  | 'tool:after'
  | 'done:before'
  | 'done:after'
  | 'next';

const settings = readSettings();
const { agents, death, reconciles } = settings.more as {
  agents: readonly string[];
  death?: Boundary;
  reconciles?: boolean;
};
const queue = openQueue(settings.backend, settings.path, settings.queue);

function dieAt(boundary: Boundary): void {
  if (boundary === death) process.kill(process.pid, 'SIGKILL');
}

const recordEffects = queue.recordEffects.bind(queue);
queue.recordEffects = async (task, effects: readonly Effect[]) => {
  const state = effects[0]?.state === 'done' ? 'done' : 'started';
  dieAt(`${state}:before`);
  const recorded = await recordEffects(task, effects);
  dieAt(`${state}:after`);
  return recorded;
};

function payment(agent: string) {
  const isPaid = () => readLog(settings.log).some(({ id, node }) => id === agent && node === 'money');
  const pay = tool(
    async () => {
      dieAt('tool:before');
      appendLog(settings.log, { id: agent, node: 'money', phase: 'end' });
      dieAt('tool:after');
      return 'paid';
    },
    { name: 'pay', description: 'pays', schema: { type: 'object', properties: {} } },
  );
  const reconcile = () => (isPaid() ? { done: 'found' } : ('retry' as const));
  const call = { name: 'pay', args: {}, id: 'c1' };
  return new StateGraph(MessagesAnnotation)
    .addNode('model', () => ({ messages: [new AIMessage({ content: '', tool_calls: [call] })] }))
    .addNode('tools', new ToolNode([onceTool(pay, reconciles ? { reconcile } : {})]))
    .addNode('next', () => {
      dieAt('next');
      return { messages: [new AIMessage('thank you')] };
    })
    .addEdge(START, 'model')
    .addEdge('model', 'tools')
    .addEdge('tools', 'next')
    .addEdge('next', END)
    .compile();
}

const graphs = Object.fromEntries(agents.map((agent) => [agent, payment(agent)]));
const conductor = new Conductor({ agents: graphs, queue });
const manager = new TaskQueueManager(conductor, queue, { maxConcurrent: settings.concurrency });

process.on('unhandledRejection', dieLoudly('unhandledRejection'));
queue.on('error', (error) => sayError('queue', error));
onCommand(({ type }) => {
  if (type === 'start') manager.start();
});
say('ready', { pid: process.pid });
