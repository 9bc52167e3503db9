/** A run went wrong half-way: its events are read, and a copy goes on from before the mistake, with another word. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Annotation, END, START, StateGraph } from '@langchain/langgraph';
import { Conductor } from 'jotty';
import { SQLiteTaskQueue } from 'jotty/queue';

const State = Annotation.Root({
  goal: Annotation<string>,
  tone: Annotation<string>,
  letter: Annotation<string>,
});

const writer = new StateGraph(State)
  .addNode('plan', () => {
    console.log('plan: slow and expensive');
    return { tone: 'rude' };
  })
  .addNode('write', ({ goal, tone }, { writer: tell }) => {
    tell?.(`in a ${tone} tone`);
    return { letter: `A ${tone} letter: ${goal}` };
  })
  .addEdge(START, 'plan')
  .addEdge('plan', 'write')
  .addEdge('write', END)
  .compile();

const folder = mkdtempSync(join(tmpdir(), 'jotty-travel-'));
const queue = new SQLiteTaskQueue({ path: join(folder, 'tasks.db') });
const conductor = new Conductor({ agents: { writer }, queue });

const id = await conductor.enqueueGoal('ask for a refund');
await conductor.processQueue({ untilEmpty: true });

// Any process that shares the file reads the same events, now or tomorrow, from any number on.
for await (const event of conductor.events(id)) {
  if (event.type === 'transition') console.log(event.number, event.to);
  if (event.type === 'node') console.log(event.number, event.node, event.phase);
  if (event.type === 'custom') console.log(event.number, event.data);
}

const checkpoints = await conductor.checkpoints(id);
const planned = checkpoints.find(({ next }) => next.includes('write'));
if (planned === undefined) throw new Error('it never planned');

const copy = await conductor.rerun(id, { from: planned.id, values: { tone: 'friendly' } });
await conductor.processQueue({ untilEmpty: true });

for (const task of [id, copy]) console.log(await conductor.result(task));

await conductor.close();
await queue.close();
rmSync(folder, { recursive: true });
