// Measures resident memory in a plain Node process: a loader for TypeScript would be counted too.
// Usage: node resident.js <database> <waiting tasks>
import { setTimeout as sleep } from 'node:timers/promises';

await import('../dist/index.js');
const { SQLiteTaskQueue } = await import('../dist/queue/index.js');

const BULK = 1_000;
const SETTLE_MS = 1_000;
const AGENT_TYPES = ['research', 'write', 'review', 'publish'];

const [path, waiting] = [process.argv[2], Number(process.argv[3])];
const queue = new SQLiteTaskQueue({ path });
await queue.stats();
for (let from = 0; from < waiting; from += BULK) await queue.enqueueMany(bulk(from));
await sleep(SETTLE_MS);
console.log(process.memoryUsage.rss() / 1e6);
await queue.close();

function bulk(from) {
  return Array.from({ length: BULK }, (_, index) => task(from + index));
}

function task(number) {
  const payload = { goal: `Summarise section ${number}`, context: 'x'.repeat(275) };
  return { agentType: AGENT_TYPES[number % 4], priority: 1 + (number % 10), payload };
}
