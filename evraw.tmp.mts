import { StateGraph, Annotation, START, END, MemorySaver } from '@langchain/langgraph';
const S = Annotation.Root({ goal: Annotation<string>(), a: Annotation<number>() });
const g = new StateGraph(S).addNode('x', async () => ({ a: 1 })).addNode('y', async () => ({ a: 2 })).addNode('z', async () => ({ a: 3 }))
  .addEdge(START, 'x').addEdge('x', 'y').addEdge('y', 'z').addEdge('z', END);
const modes: [string, string[] | null, boolean][] = [['invoke', null, false], ['v', ['values'], false], ['v sub', ['values'], true], ['v c sub', ['values', 'custom'], true], ['v t sub', ['values', 'tasks'], true], ['v c t sub', ['values', 'custom', 'tasks'], true], ['v c t', ['values', 'custom', 'tasks'], false]];
const N = 60;
async function round(mode: string[] | null, sub: boolean) {
  const graph = g.compile({ checkpointer: new MemorySaver() });
  const c0 = process.cpuUsage();
  for (let i = 0; i < N; i++) {
    const cfg: any = { configurable: { thread_id: String(i) }, durability: 'sync', signal: new AbortController().signal };
    if (mode === null) await graph.invoke({ goal: 'g' }, cfg);
    else for await (const _ of await graph.stream({ goal: 'g' }, { ...cfg, streamMode: mode as any, subgraphs: sub })) { }
  }
  const c = process.cpuUsage(c0);
  return (c.user + c.system) / N / 1000;
}
const res: Record<string, number[]> = {};
for (let r = 0; r < 25; r++) for (const [n, m, s] of r % 2 ? modes : [...modes].reverse()) (res[n] ??= []).push(await round(m, s));
const med = (x: number[]) => x.slice().sort((p, q) => p - q)[x.length >> 1]!;
for (const [n] of modes) console.log(n, med(res[n]!.slice(3)).toFixed(3), med(res[n]!.slice(3).map((x, i) => x / res.invoke![i + 3]!)).toFixed(3));
