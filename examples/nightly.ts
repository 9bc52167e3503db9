/** A program that runs every night, and every second while you look: each tick is one task, in whichever process is alive. */
import { Conductor, commandAgent } from 'jotty';
import { MemoryTaskQueue } from 'jotty/queue';

const shell = commandAgent({
  allow: [['du', '-sk']],
  timeoutMs: 60_000,
  toResult: ({ stdout }) => ({ kilobytes: Number.parseInt(stdout, 10) }),
});

await using queue = new MemoryTaskQueue();
await using conductor = new Conductor({ agents: { shell }, queue });

const report = {
  goal: 'how large is it?',
  agent: 'shell',
  input: { argv: ['du', '-sk', import.meta.dirname] },
};
const nightly = {
  ...report,
  cron: '30 2 * * *',
  tz: 'Europe/Berlin',
  overlap: 'skip',
  catchUp: 'one',
} as const;
const { nextRunAt } = await conductor.schedules.upsert('nightly', nightly);
console.log('the first night ends', new Date(nextRunAt ?? 0).toISOString());
await conductor.schedules.upsert('by-the-second', { ...report, everyMs: 1_000 });

// It runs until two ticks and one run by hand have ended.
const stop = new AbortController();
let ended = 0;
queue.on('transition', async ({ taskId, to }) => {
  if (to !== 'completed') return;
  console.log(taskId.startsWith('schedule:') ? 'a tick:' : 'by hand:', await conductor.result(taskId));
  ended += 1;
  if (ended === 3) stop.abort();
});
await conductor.schedules.runNow('nightly');
await conductor.processQueue({ signal: stop.signal });

for (const { id, lastRunAt, lastTaskId } of await conductor.schedules.list())
  console.log(
    id,
    lastTaskId === null ? 'has not ticked,' : 'has ticked,',
    'last run',
    new Date(lastRunAt ?? 0),
  );
