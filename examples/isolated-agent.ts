/** An agent in a process of its own: it ignores its signal and blocks its event loop, and is cancelled all the same. */
import { Annotation, END, type LangGraphRunnableConfig, START, StateGraph } from '@langchain/langgraph';
import { Conductor } from 'jotty';

const State = Annotation.Root({ goal: Annotation<string>() });

/** What the process loads from this file. */
export const stubborn = new StateGraph(State)
  .addNode('think', async (_, { writer }: LangGraphRunnableConfig) => {
    writer?.('thinking');
    await new Promise((resolve) => setImmediate(resolve));
    for (;;);
  })
  .addEdge(START, 'think')
  .addEdge('think', END)
  .compile();

async function main(): Promise<void> {
  const module = new URL(import.meta.url);
  const isolation = { in: 'process', maxMemoryMb: 256 } as const;
  await using conductor = new Conductor({ agents: { stubborn: { module, export: 'stubborn', isolation } } });
  const id = await conductor.enqueueGoal('think for ever');
  const events = conductor.events(id);
  await events.next();
  const done = conductor.processQueue({ maxTasks: 1 });
  for await (const event of events) if (event.type === 'custom') break;
  const receipt = await conductor.cancel(id, { graceMs: 2_000, reason: 'long enough' });
  console.log(`${receipt.status}: ${receipt.reason}; its process was ${receipt.run}`);
  await done;
}

// The process that runs the agent loads this file too, and shall not begin anew.
if (process.argv[1] === new URL(import.meta.url).pathname) await main();
