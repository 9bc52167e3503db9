const base = process.argv[2]!;
const { StateGraph, Annotation, START, END } = await import('@langchain/langgraph');
const S = Annotation.Root({ goal: Annotation<string>(), a: Annotation<number>() });
const g = new StateGraph(S).addNode('x', async () => ({ a: 1 })).addNode('y', async () => ({ a: 2 })).addNode('z', async () => ({ a: 3 }))
  .addEdge(START, 'x').addEdge('x', 'y').addEdge('y', 'z').addEdge('z', END).compile();
const { Conductor } = await import(base + '/src/index.ts');
const q = await import(base + '/src/queue/index.ts');
const c = new Conductor({ agents: { g }, queue: new q.MemoryTaskQueue() });
for (let k = 0; k < 25; k++) { await c.enqueueGoals(Array.from({ length: 100 }, (_, i) => 'go ' + i)); await c.processQueue({ untilEmpty: true, maxConcurrent: 10 }); }
process.exit(0);
