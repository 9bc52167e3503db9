import { Job } from '@sidequest/core';
import { Engine } from '@sidequest/engine';
import type { Consumer, OpenQueue, QueueSide } from '../side.ts';
import type { WorkItem, WorkPayload } from '../work.ts';

/**
 * sidequest in its fastest mode: no fork, jobs run in this process. It has no priorities within a queue,
 * polls every 100 ms, and asks for Node 22 although it starts on Node 20.
 */
export const sidequest: QueueSide = {
  // One poll of 100 ms per round of slots: 20 tasks take two seconds at concurrency 1.
  tasksMax: (concurrency) => Math.min(400, 20 * concurrency),
  open: async (path) => openSidequest(path),
};

let onRun: () => void = () => {};

/** The job class; sidequest imports this file again by its path to find it. */
export class NoOpJob extends Job {
  override async run(_payload: WorkPayload): Promise<{ ok: boolean }> {
    onRun();
    return { ok: true };
  }
}

async function openSidequest(path: string): Promise<OpenQueue> {
  const engine = new Engine();
  await engine.configure(settings(path, 1));
  return {
    enqueue: (item) => enqueue(engine, item),
    process: (concurrency, tasks) => processAll(path, engine, concurrency, tasks),
    consume: (onStart) => consume(path, engine, onStart),
    close: () => engine.close(),
  };
}

function settings(path: string, concurrency: number) {
  return {
    backend: { driver: '@sidequest/sqlite-backend' as const, config: path },
    queues: [{ name: 'default', concurrency }],
    maxConcurrentJobs: concurrency,
    fork: false,
    runner: 'inline' as const,
    gracefulShutdown: false,
    logger: { level: 'error' as const, json: false },
  };
}

async function enqueue(engine: Engine, item: WorkItem): Promise<void> {
  await engine.build(NoOpJob).enqueue(item.payload);
}

async function restart(path: string, engine: Engine, concurrency: number): Promise<void> {
  await engine.close();
  await engine.start(settings(path, concurrency));
}

async function processAll(path: string, engine: Engine, concurrency: number, tasks: number): Promise<void> {
  await restart(path, engine, concurrency);
  const before = await completed(engine);
  while ((await completed(engine)) - before < tasks) await new Promise((resolve) => setTimeout(resolve, 20));
}

async function completed(engine: Engine): Promise<number> {
  return (await engine.getBackend()?.countJobs())?.completed ?? 0;
}

async function consume(path: string, engine: Engine, onStart: () => void): Promise<Consumer> {
  onRun = onStart;
  await restart(path, engine, 10);
  return {
    stop: async () => {
      onRun = () => {};
    },
  };
}
