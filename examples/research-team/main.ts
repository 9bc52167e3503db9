/** Three agents work on one goal; a model decides who goes on, and its wrong choice is put back to it. */
import { Conductor, modelRouter } from 'jotty';
import { MemoryTaskQueue } from 'jotty/queue';
import { createAgent } from 'langchain';
import { modelFor } from './models.ts';

const agentOf = async (role: 'research' | 'writer' | 'critic', systemPrompt: string) => ({
  graph: createAgent({ model: await modelFor(role), tools: [], systemPrompt }).graph,
  description: systemPrompt,
});

const queue = new MemoryTaskQueue();
const conductor = new Conductor({
  queue,
  agents: {
    research: await agentOf('research', 'You find facts.'),
    writer: await agentOf('writer', 'You write one clear sentence from the facts.'),
    critic: await agentOf('critic', 'You judge what was written.'),
  },
  mode: 'dynamic',
  router: modelRouter(await modelFor('router')),
  maxSteps: 6,
});

const id = await conductor.enqueueGoal('Explain how a queue survives a dead worker');
const done = conductor.processQueue({ untilEmpty: true });
for await (const event of conductor.events(id)) {
  if (event.type === 'custom') console.log(JSON.stringify(event.data));
}
await done;

interface Report {
  readonly path: readonly string[];
  readonly endedBy: string;
  readonly messages: readonly { readonly content: string }[];
}
const { path, endedBy, messages } = await conductor.result<Report>(id);
for (const { content } of messages) console.log(content);
console.log(`${path.join(' → ')}, ended by ${endedBy}`);
await conductor.close();
await queue.close();
