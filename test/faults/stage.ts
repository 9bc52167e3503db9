import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import { test as base } from 'vitest';
import type { StoredTaskQueue, TaskQueueOptions } from '../../src/queue/index.ts';
import { compiledWorker } from './compiled.ts';
import { Child, eventually } from './processes.ts';
import { seededRandom } from './scale.ts';
import { type Backend, openQueue } from './workers/open-queue.ts';
import { type LogLine, readLog, type Settings } from './workers/protocol.ts';
import type { Random } from './workers/random.ts';

export type WorkerName =
  | 'budget-worker'
  | 'enqueuer'
  | 'graph-worker'
  | 'lock-holder'
  | 'payment-worker'
  | 'queue-worker';

export interface SpawnOptions extends Partial<Settings> {
  readonly nodeArgs?: readonly string[];
  /** A program that runs the worker, e.g. `['strace', '-f', …]`. */
  readonly wrapper?: readonly string[];
}

/** One test's folder, database, processes and seed. Whatever happens, nothing of it is left afterwards. */
export class Stage {
  readonly folder: string;
  readonly random: Random;
  /** Options of every queue on this stage, here and in the workers, unless they say otherwise. */
  queueOptions: TaskQueueOptions = {};
  backend: Backend = 'sqlite';
  /** Where the tasks are, as `openQueue` takes it: a file of this stage, unless the test has a Redis. */
  database: string;
  readonly children: Child[] = [];
  readonly #endings: (() => unknown)[] = [];

  constructor(name: string) {
    this.random = seededRandom(name);
    this.folder = mkdtempSync(join(tmpdir(), 'jotty-faults-'));
    this.database = join(this.folder, 'jotty.db');
    this.atEnd(() => rmSync(this.folder, { recursive: true, force: true }));
  }

  get logPath(): string {
    return join(this.folder, 'runs.log');
  }

  /** What really ran, in the order it was written. */
  log(filter: Partial<LogLine> = {}): LogLine[] {
    const wanted = Object.entries(filter) as [keyof LogLine, unknown][];
    return readLog(this.logPath).filter((line) => wanted.every(([key, value]) => line[key] === value));
  }

  spawn(worker: WorkerName, options: SpawnOptions = {}): Child {
    const { nodeArgs = [], wrapper = [], ...given } = options;
    const settings: Settings = {
      backend: this.backend,
      path: this.database,
      log: this.logPath,
      queue: this.queueOptions as Settings['queue'],
      seed: this.random.between(1, 1e9),
      concurrency: 5,
      more: {},
      ...given,
    };
    const command = [
      ...wrapper,
      process.execPath,
      ...nodeArgs,
      compiledWorker(worker),
      JSON.stringify(settings),
    ];
    const child = new Child(`${worker} ${this.children.length + 1}`, command, this.folder);
    this.children.push(child);
    return child;
  }

  /** Spawns and waits until it serves. */
  async launch(worker: WorkerName, options?: SpawnOptions): Promise<Child> {
    const child = this.spawn(worker, options);
    await child.until('ready');
    return child;
  }

  /** A queue of the test's own process, where those of the workers are unless it says otherwise. */
  queue(options: TaskQueueOptions = this.queueOptions, place = this.database): StoredTaskQueue {
    const queue = openQueue(this.backend, place, options);
    this.atEnd(() => queue.close());
    return queue;
  }

  /**
   * Stops a worker between two of its commits: in the middle of one it would hold the file's write lock for as long as
   * it is stopped, and nobody could do anything.
   */
  async freeze(worker: Child): Promise<void> {
    const lock = this.backend === 'sqlite' ? new Database(this.database, { timeout: 10_000 }) : undefined;
    try {
      lock?.exec('BEGIN IMMEDIATE');
      worker.kill('SIGSTOP');
      await eventually(
        () => stateOf(worker.pid) === 'T',
        5_000,
        () => `${worker.name} was not stopped`,
      );
    } finally {
      lock?.close();
    }
  }

  /** Runs after the test, the last one first, also when the test failed. */
  atEnd(ending: () => unknown): void {
    this.#endings.push(ending);
  }

  async close(): Promise<void> {
    await Promise.all(this.children.map((child) => child.destroy()));
    for (const ending of this.#endings.reverse()) await ending();
  }
}

/** As Linux tells it, behind the name in parentheses. */
function stateOf(pid: number): string | undefined {
  return readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ').at(-1)?.[0];
}

/** Vitest's `test` with a stage of its own for each test. */
export const test = base.extend<{ stage: Stage }>({
  stage: async ({ task }, use) => {
    const stage = new Stage(task.name);
    try {
      await use(stage);
    } finally {
      await stage.close();
    }
  },
});
