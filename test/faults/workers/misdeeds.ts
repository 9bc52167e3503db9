import { setTimeout as sleep } from 'node:timers/promises';
import type { Task } from '../../../src/queue/task.ts';
import { readLog, say } from './protocol.ts';

/** What a task of a queue worker does, said in its payload. */
export interface Work {
  readonly do?: 'sleep' | 'exit' | 'segv' | 'oom' | 'block';
  readonly ms?: number;
}

/** Does what the payload says; most of it is not survived. */
export async function work(task: Task, log: string): Promise<void> {
  const { do: deed = 'sleep', ms = 0 } = task.payload as Work;
  // The tasks claimed together get to begin, so that their starts are in the log.
  await new Promise(setImmediate);
  switch (deed) {
    case 'exit':
      process.exit(1);
      break;
    case 'segv':
      process.kill(process.pid, 'SIGSEGV');
      await never();
      break;
    case 'oom':
      fillHeap();
      break;
    case 'block':
      // The second run takes as long, so that the first one wakes in the middle of it.
      if (isFirstRun(log, task.id)) block(ms);
      else await sleep(ms);
      break;
    default:
      await sleep(ms);
  }
}

/** Nothing of this process runs meanwhile: no timer, no heartbeat. */
export function block(ms: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
}

/** Decided by the log of all processes, which does not depend on what the queue believes. */
export function isFirstRun(log: string, id: string, node = 'run'): boolean {
  return (
    readLog(log).filter((line) => line.id === id && line.node === node && line.phase === 'start').length <= 1
  );
}

const rightTime = Date.now;

/** From now, or that time, on this process's clock is wrong by this much; its timers are not. */
export function skewClock(ms: number, from = 0): void {
  const before = Date.now;
  Date.now = () => (rightTime() < from ? before() : rightTime() + ms);
  say('skewed', { ms });
}

export function never(): Promise<never> {
  return new Promise(() => {});
}

function fillHeap(): void {
  const kept: number[][] = [];
  for (;;) kept.push(new Array<number>(10_000).fill(kept.length));
}
