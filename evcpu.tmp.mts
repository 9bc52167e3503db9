const base = process.argv[2]!; const backend = process.argv[3]!;
const { Conductor } = await import(base + '/src/index.ts');
const q = await import(base + '/src/queue/index.ts');
const { StateGraph, Annotation, START, END } = await import('@langchain/langgraph');
import { mkdtempSync, rmSync } from 'node:fs';
const dir = mkdtempSync('/tmp/evcpu-');
const S = Annotation.Root({ goal: Annotation<string>(), a: Annotation<number>() });
const g = new StateGraph(S).addNode('x', async () => ({ a: 1 })).addNode('y', async () => ({ a: 2 })).addNode('z', async () => ({ a: 3 }))
  .addEdge(START, 'x').addEdge('x', 'y').addEdge('y', 'z').addEdge('z', END).compile();
const queue = backend === 'memory' ? new q.MemoryTaskQueue() : new q.SQLiteTaskQueue({ path: dir + '/t.db' });
const c = new Conductor({ agents: { g }, queue });
const N = 300;
async function round() {
  await c.enqueueGoals(Array.from({ length: N }, (_, i) => 'go ' + i));
  const c0 = process.cpuUsage();
  await c.processQueue({ untilEmpty: true, maxConcurrent: 10 });
  const u = process.cpuUsage(c0);
  return (u.user + u.system) / N / 1000;
}
await round();
const r: number[] = [];
for (let i = 0; i < 3; i++) r.push(await round());
console.log(r.sort((a, b) => a - b)[1]!.toFixed(3));
await c.close(); await queue.close(); rmSync(dir, { recursive: true });
