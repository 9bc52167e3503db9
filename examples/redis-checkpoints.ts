/** LangGraph alone, with its checkpoints in a plain Redis: a run stops for a person and goes on in another process. */
import { Annotation, Command, END, interrupt, START, StateGraph } from '@langchain/langgraph';
import { RedisSaver } from 'jotty/checkpoint';

// docker run -p 6379:6379 redis --appendonly yes
const url = process.env.REDIS_URL ?? 'redis://127.0.0.1:6379';
const thread = { configurable: { thread_id: `order-${process.pid}` } };

const State = Annotation.Root({
  order: Annotation<string>,
  price: Annotation<number>,
  outcome: Annotation<string>,
});

const graphWith = (checkpointer: RedisSaver) =>
  new StateGraph(State)
    .addNode('quote', ({ order }) => {
      console.log('asking for a price');
      return { price: order.length * 10 };
    })
    .addNode('approve', ({ price }) => {
      const approved: boolean = interrupt({ question: `Pay ${price}?` });
      return { outcome: approved ? 'ordered' : 'left' };
    })
    .addEdge(START, 'quote')
    .addEdge('quote', 'approve')
    .addEdge('approve', END)
    .compile({ checkpointer });

/** What each process does: a saver of its own, a thread that nobody touches for a week is deleted. */
async function inOneProcess(work: (graph: ReturnType<typeof graphWith>) => Promise<void>): Promise<void> {
  await using saver = new RedisSaver({ url, prefix: 'shop', ttlMs: 7 * 24 * 3_600_000 });
  await work(graphWith(saver));
}

await inOneProcess(async (graph) => {
  const { __interrupt__: questions } = (await graph.invoke(
    { order: 'books' },
    { ...thread, durability: 'sync' },
  )) as { __interrupt__?: { value: unknown }[] };
  console.log('asked:', JSON.stringify(questions?.[0]?.value));
});

await inOneProcess(async (graph) => {
  const { outcome, price } = await graph.invoke(new Command({ resume: true }), {
    ...thread,
    durability: 'sync',
  });
  console.log(outcome, 'for', price);
});

await using saver = new RedisSaver({ url, prefix: 'shop' });
await saver.prune({ threadId: thread.configurable.thread_id, keep: 1 });
for await (const { checkpoint } of saver.list(thread))
  console.log('kept:', checkpoint.channel_values.outcome);
await saver.deleteThread(thread.configurable.thread_id);
