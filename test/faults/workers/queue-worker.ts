/**
 * A worker on the bare queue: claims up to `concurrency` tasks, heartbeats them, does what they say, settles.
 * `more`: `claiming: false` claims nothing until it is told to, `untilEmpty: true` ends when nothing is left,
 * `fits: 'holds'` knows the condition of that name, and with `'kills'` dies of being asked.
 */
import type { Task } from '../../../src/queue/index.ts';
import { skewClock, work } from './misdeeds.ts';
import { openQueue } from './open-queue.ts';
import { appendLog, dieLoudly, type Message, onCommand, readSettings, say, sayError } from './protocol.ts';

/** The safety net below the queue's own wake-ups. */
const IDLE_MS = 250;
/** After a refused call, before the next try. */
const BACK_OFF_MS = 50;

const settings = readSettings();
const queue = openQueue(settings.backend, settings.path, settings.queue);
if (settings.more.fits !== undefined) queue.registerCondition('fits', fits);
const held = new Map<string, Task>();
/** Claimed for a race; settled only there. */
const inHand = new Map<string, Task>();
let claiming = settings.more.claiming !== false;
let stopping = false;
/** Ends when nothing is claimable. */
const untilEmpty = settings.more.untilEmpty === true;
let wake = (): void => {};

process.on('unhandledRejection', dieLoudly('unhandledRejection'));
queue.on('available', () => wake());
queue.on('resumed', () => wake());
queue.on('error', (error) => sayError('queue', error));
const heartbeats = setInterval(() => void heartbeat(), queue.heartbeatMs);
const letGo = onCommand((command) => void obey(command));
process.on('SIGTERM', () => {
  stopping = true;
  wake();
});
say('ready', { pid: process.pid });
await loop();
letGo();
clearInterval(heartbeats);
await queue.close();
say('closed');

function fits(): boolean {
  if (settings.more.fits === 'kills') process.kill(process.pid, 'SIGKILL');
  return true;
}

async function loop(): Promise<void> {
  while (!stopping || held.size > 0) {
    const rest = new Promise<void>((resolve) => {
      wake = resolve;
    });
    const free = stopping || !claiming ? 0 : settings.concurrency - held.size;
    const tasks = free > 0 ? await claim(free) : [];
    for (const task of tasks) void run(task);
    if (untilEmpty && tasks.length === 0 && held.size === 0) stopping = true;
    if (tasks.length === 0) await Promise.race([rest, pause(IDLE_MS)]);
  }
}

async function claim(limit: number): Promise<Task[]> {
  try {
    return await queue.dequeueMany(limit, undefined, { start: true });
  } catch (error) {
    sayError('dequeueMany', error);
    await pause(BACK_OFF_MS);
    return [];
  }
}

async function run(task: Task): Promise<void> {
  held.set(task.id, task);
  appendLog(settings.log, { id: task.id, node: 'run', phase: 'start', fence: task.lease?.fence ?? 0 });
  await work(task, settings.log);
  appendLog(settings.log, { id: task.id, node: 'run', phase: 'end', fence: task.lease?.fence ?? 0 });
  await settle(task);
  held.delete(task.id);
  wake();
}

/** A finished result is kept until it is written, or until the lease is lost. */
async function settle(task: Task): Promise<void> {
  for (;;) {
    try {
      const settled = await queue.settle(task, { status: 'completed', result: { pid: process.pid } });
      say('settled', { id: task.id, status: settled.status });
      return;
    } catch (error) {
      if ((error as { code?: string }).code === 'LEASE_LOST') {
        say('refused', { id: task.id });
        return;
      }
      sayError('settle', error);
      await pause(BACK_OFF_MS);
    }
  }
}

async function heartbeat(): Promise<void> {
  const tasks = [...held.values()];
  if (tasks.length === 0) return;
  try {
    const answers = await queue.heartbeatMany(tasks);
    answers.forEach((answer, i) => {
      const task = tasks[i]!;
      // What was settled here while the heartbeat was on its way has no lease any more, and has lost none.
      if (answer === null && held.get(task.id) === task) say('lost', { id: task.id });
    });
  } catch (error) {
    sayError('heartbeatMany', error);
  }
}

async function obey(command: Message): Promise<void> {
  if (command.type === 'claim') claiming = true;
  if (command.type === 'hold') claiming = false;
  if (command.type === 'skew') skewClock(command.ms as number, command.from as number | undefined);
  if (command.type === 'dequeue') await hold(command.ids as string[]);
  if (command.type === 'race') for (const race of command.races as Race[]) void enter(race);
  wake();
}

interface Race {
  readonly id: string;
  /** ms since the epoch */
  readonly at: number;
  readonly verb: 'settle' | 'cancel';
}

async function hold(ids: string[]): Promise<void> {
  for (const task of await queue.dequeueMany(ids.length, { ids }, { start: true })) inHand.set(task.id, task);
  say('holding', { count: inHand.size });
}

/** Waits for the moment it was given and calls; says what it was told. */
async function enter(race: Race): Promise<void> {
  await pause(race.at - Date.now());
  try {
    const task =
      race.verb === 'cancel'
        ? await queue.cancel(race.id, 'raced')
        : await queue.settle(inHand.get(race.id)!, { status: 'completed', result: { raced: true } });
    say('raced', { id: race.id, answer: task.status });
  } catch (error) {
    say('raced', { id: race.id, answer: (error as { code?: string }).code ?? String(error) });
  }
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, Math.max(0, ms)));
}
