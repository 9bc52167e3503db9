/** A goal may spend 1,000 tokens. The call after that is refused; the task waits, and goes on when somebody raises the budget. */
import { AIMessage } from '@langchain/core/messages';
import { fakeModel } from '@langchain/core/testing';
import { Annotation, END, Send, START, StateGraph } from '@langchain/langgraph';
import { Conductor } from 'jotty';
import { MemoryTaskQueue } from 'jotty/queue';

const usage = { input_tokens: 150, output_tokens: 100, total_tokens: 250 };
const model = fakeModel();
for (let page = 1; page <= 6; page++) {
  const response_metadata = { model_name: 'small' };
  model.respond(
    new AIMessage({ content: `page ${page}`, usage_metadata: usage, response_metadata } as never),
  );
}

const State = Annotation.Root({
  goal: Annotation<string>,
  pages: Annotation<string[]>({ reducer: (a, b) => [...a, ...b], default: () => [] }),
});
const reader = new StateGraph(State)
  .addNode('plan', () => ({}))
  .addNode('read', async () => ({ pages: [(await model.invoke('Read a page')).text] }))
  .addEdge(START, 'plan')
  .addConditionalEdges('plan', () => Array.from({ length: 6 }, () => new Send('read', {})))
  .addEdge('read', END)
  .compile();

const queue = new MemoryTaskQueue();
const prices = { small: { inputPerMillion: 1, outputPerMillion: 4 } };
const conductor = new Conductor({ agents: { reader }, queue, prices });

const id = await conductor.enqueueGoal('Read six pages', { budget: { tokens: 1_000 } });
await conductor.processQueue({ untilEmpty: true });

const [entry] = (await conductor.inbox()).entries;
if (entry?.kind !== 'budget') throw new Error('expected a question about the budget');
console.log(entry.value.question.replace(id, 'the goal'));
console.log(`calls made: ${model.callCount}`);

await conductor.answer(id, entry.interruptId, { raise: { tokens: 1_000 } });
await conductor.processQueue({ untilEmpty: true });

const { pages } = await conductor.result<{ pages: string[] }>(id);
const { modelCalls, tokens, cost } = await conductor.usage({ taskId: id });
console.log(`${pages.length} pages, ${modelCalls} calls, ${tokens} tokens, $${cost}`);
await conductor.close();
await queue.close();
