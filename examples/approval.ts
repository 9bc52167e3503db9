/** An agent asks a person before it acts. The question outlives the process that asked it. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Annotation, END, interrupt, START, StateGraph } from '@langchain/langgraph';
import { Conductor } from 'jotty';
import { SQLiteTaskQueue } from 'jotty/queue';

const State = Annotation.Root({
  goal: Annotation<string>,
  draft: Annotation<string>,
  outcome: Annotation<string>,
});

const mailer = new StateGraph(State)
  .addNode('write', ({ goal }) => {
    console.log('writing the draft');
    return { draft: `Dear customers, ${goal.toLowerCase()}.` };
  })
  .addNode('send', ({ draft }) => {
    const approved: boolean = interrupt({ question: 'Send this?', draft });
    return { outcome: approved ? `sent: ${draft}` : 'thrown away' };
  })
  .addEdge(START, 'write')
  .addEdge('write', 'send')
  .addEdge('send', END)
  .compile();

const folder = mkdtempSync(join(tmpdir(), 'jotty-approval-'));

/** What each start of the app does; everything it needs to know is in the file. */
async function inOneProcess<T>(work: (conductor: Conductor) => Promise<T>): Promise<T> {
  const queue = new SQLiteTaskQueue({ path: join(folder, 'tasks.db') });
  const conductor = new Conductor({ agents: { mailer }, queue });
  try {
    return await work(conductor);
  } finally {
    await conductor.close();
    await queue.close();
  }
}

await inOneProcess(async (conductor) => {
  await conductor.enqueueGoal('We moved to a new address', { id: 'announcement', agentType: 'mailer' });
  await conductor.processQueue({ untilEmpty: true });
  console.log('the task is', (await conductor.queue.getTask('announcement'))?.status);
});

await inOneProcess(async (conductor) => {
  const task = await conductor.queue.getTask('announcement');
  for (const { id, value } of task?.interrupts ?? []) {
    console.log('asked:', JSON.stringify(value));
    await conductor.answer('announcement', id, true);
  }
  await conductor.processQueue({ untilEmpty: true });
  console.log(await conductor.result('announcement'));
});

rmSync(folder, { recursive: true });
