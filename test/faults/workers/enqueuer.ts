/**
 * Submits tasks and says each id only after its promise has resolved, so that every id said was acknowledged.
 * `more`: `prefix`, `total`, `perSecond` (0: as fast as it goes), `inFlight`, `batch` (ids of one enqueueMany),
 * `msMin`, `msMax` (what a task takes), `patient` (says refusals and goes on), `stay` (keeps the file open when all is said).
 */
import type { NewTask } from '../../../src/queue/index.ts';
import { openQueue } from './open-queue.ts';
import { dieLoudly, onCommand, readSettings, say } from './protocol.ts';
import { randomFrom } from './random.ts';

const settings = readSettings();
const {
  prefix = 't',
  total = Number.MAX_SAFE_INTEGER,
  perSecond = 0,
  inFlight = 1,
  batch = 1,
  msMin = 0,
  msMax = 0,
} = settings.more as Partial<
  Record<'total' | 'perSecond' | 'inFlight' | 'batch' | 'msMin' | 'msMax', number>
> & {
  prefix?: string;
};
const random = randomFrom(settings.seed);
const queue = openQueue(settings.backend, settings.path, settings.queue);
let submitted = 0;

process.on('unhandledRejection', dieLoudly('unhandledRejection'));
const letGo = onCommand(() => {});
say('ready', { pid: process.pid });
const startedAt = performance.now();
await Promise.all(Array.from({ length: inFlight }, submitter));
say('done', { submitted });
if (settings.more.stay !== true) {
  letGo();
  await queue.close();
}

async function submitter(): Promise<void> {
  while (submitted < total) {
    const first = submitted;
    submitted += batch;
    const dueMs = perSecond > 0 ? (first / perSecond) * 1_000 - (performance.now() - startedAt) : 0;
    if (dueMs > 0) await new Promise((resolve) => setTimeout(resolve, dueMs));
    await submit(Array.from({ length: batch }, (_, i) => newTask(first + i)));
  }
}

async function submit(tasks: readonly NewTask[]): Promise<void> {
  try {
    const ids = tasks.length === 1 ? [await queue.enqueue(tasks[0]!)] : await queue.enqueueMany(tasks);
    say('acknowledged', { ids, at: Date.now() });
  } catch (error) {
    if (settings.more.patient !== true) throw error;
    say('refused', { ids: tasks.map(({ id }) => id), code: (error as { code?: string }).code });
  }
}

function newTask(n: number): NewTask {
  const id = batch === 1 ? `${prefix}-${n}` : `${prefix}-${Math.floor(n / batch)}.${n % batch}`;
  return { id, payload: { do: 'sleep', ms: random.between(msMin, msMax), note: `task number ${n}` } };
}
