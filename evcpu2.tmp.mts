const backend = process.argv[2]!;
const { StateGraph, Annotation, START, END } = await import('@langchain/langgraph');
import { mkdtempSync, rmSync } from 'node:fs';
const dir = mkdtempSync('/tmp/evcpu-');
const S = Annotation.Root({ goal: Annotation<string>(), a: Annotation<number>() });
const g = new StateGraph(S).addNode('x', async () => ({ a: 1 })).addNode('y', async () => ({ a: 2 })).addNode('z', async () => ({ a: 3 }))
  .addEdge(START, 'x').addEdge('x', 'y').addEdge('y', 'z').addEdge('z', END).compile();
const N = 100;
async function maker(base: string, name: string) {
  const { Conductor } = await import(base + '/src/index.ts');
  const q = await import(base + '/src/queue/index.ts');
  const queue = backend === 'memory' ? new q.MemoryTaskQueue() : new q.SQLiteTaskQueue({ path: dir + `/${name}.db` });
  const c = new Conductor({ agents: { g }, queue });
  return async () => {
    await c.enqueueGoals(Array.from({ length: N }, (_, i) => 'go ' + i));
    const c0 = process.cpuUsage();
    await c.processQueue({ untilEmpty: true, maxConcurrent: 10 });
    const u = process.cpuUsage(c0);
    return (u.user + u.system) / N / 1000;
  };
}
const a = await maker('/tmp/wt-evbase', 'a'), b = await maker('/tmp/wt/events', 'b');
for (let i = 0; i < 5; i++) { await a(); await b(); }
const ra: number[] = [], rb: number[] = [];
for (let i = 0; i < Number(process.argv[3] ?? 20); i++) { if (i % 2) { ra.push(await a()); rb.push(await b()); } else { rb.push(await b()); ra.push(await a()); } }
const med = (x: number[]) => x.slice().sort((p, q) => p - q)[x.length >> 1]!;
console.log(backend, 'base', med(ra).toFixed(3), 'new', med(rb).toFixed(3), 'ratio', med(ra.map((x, i) => rb[i]! / x)).toFixed(3));
process.exit(0);
