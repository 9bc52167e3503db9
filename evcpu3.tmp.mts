const { StateGraph, Annotation, START, END } = await import('@langchain/langgraph');
const S = Annotation.Root({ goal: Annotation<string>(), a: Annotation<number>() });
const g = new StateGraph(S).addNode('x', async () => ({ a: 1 })).addNode('y', async () => ({ a: 2 })).addNode('z', async () => ({ a: 3 }))
  .addEdge(START, 'x').addEdge('x', 'y').addEdge('y', 'z').addEdge('z', END).compile();
const N = 60;
async function maker(base: string) {
  const { Conductor } = await import(base + '/src/index.ts');
  const q = await import(base + '/src/queue/index.ts');
  const clear = async () => {};
  return async () => {
    const queue = new q.MemoryTaskQueue();
    const c = new Conductor({ agents: { g }, queue });
    await c.enqueueGoals(Array.from({ length: N }, (_, i) => 'go ' + i));
    const c0 = process.cpuUsage();
    await c.processQueue({ untilEmpty: true, maxConcurrent: 10 });
    const u = process.cpuUsage(c0);
    await c.close(); await queue.close();
    return (u.user + u.system) / N / 1000;
  };
}
const names = process.argv.slice(3);
const fs = await Promise.all(names.map((n) => maker(n)));
for (let i = 0; i < 4; i++) for (const f of fs) await f();
const rs: number[][] = names.map(() => []);
for (let i = 0; i < Number(process.argv[2]); i++) { const order = names.map((_, k) => (k + i) % names.length); for (const k of order) rs[k]!.push(await fs[k]!()); }
const med = (x: number[]) => x.slice().sort((p, q) => p - q)[x.length >> 1]!;
names.forEach((n, k) => console.log(n, med(rs[k]!).toFixed(3), med(rs[k]!.map((x, i) => x / rs[0]![i]!)).toFixed(3)));
process.exit(0);
