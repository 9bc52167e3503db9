import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { JottyError } from '../../src/errors.ts';
import { HybridTaskQueue } from '../../src/queue/backends/hybrid/hybrid-task-queue.ts';
import { MemoryTaskQueue } from '../../src/queue/backends/memory/memory-task-queue.ts';
import { RedisTaskQueue } from '../../src/queue/backends/redis/redis-task-queue.ts';
import { SQLiteTaskQueue } from '../../src/queue/backends/sqlite/sqlite-task-queue.ts';
import type { Blocker } from '../../src/queue/explanation.ts';
import type { Limit } from '../../src/queue/limits.ts';
import { isEnded, type NewTask, type Outcome, type Task } from '../../src/queue/task.ts';
import type { PauseTarget, TaskQueue, TaskQueueOptions } from '../../src/queue/task-queue.ts';
import { FakeClock } from '../../src/testing/fake-clock.ts';
import { seededRandom } from '../../src/testing/seeded-random.ts';
import { redisClock } from '../redis/redis-clock.ts';
import { sharedRedis } from '../redis/shared-redis.ts';

/** `WALKS=500 WALK_SEED=1000` walks that often, from that seed on. */
const WALKS = Number(process.env.WALKS ?? 25);
const FIRST_SEED = Number(process.env.WALK_SEED ?? 1);
const STEPS = 30;
/** Every so many steps it is asked what could be claimed. */
const LOOK_EVERY = 3;
const CLAIM_MAX = 1_000;
const KEYS = ['k1', 'k2', 'both', 'r1', 'r2'];
const NO_DURABILITY = { durability: { atLeast: 'none' } } as const;

/**
 * A random history under limits, weights, rates, turns, pauses and clocks. Before each claim all that waits is explained:
 * what had a blocker is not claimed, and once nothing more is claimed all that waits has one.
 */
class Walk {
  readonly #random: () => number;
  readonly #clock: FakeClock;
  readonly #queue: TaskQueue;
  readonly #open = new Set<string>();
  readonly #running: Task[] = [];
  readonly #paused = new Set<string>();
  /** What was done, to be read when it fails. */
  readonly #story: string[] = [];
  /** What this history has much or little of: where all is mixed, few of its parts meet. */
  readonly #shares: { readonly [name in 'kept' | 'fair' | 'late' | 'brief']: number };
  readonly #keys: readonly string[];
  #count = 0;

  constructor(seed: number, clock: FakeClock, queue: TaskQueue) {
    this.#random = seededRandom(seed);
    const share = () => this.#pick([0, 0.2, 0.6]);
    this.#shares = { kept: 0.4 + share(), fair: share(), late: share(), brief: share() };
    this.#keys = Array.from({ length: 1 + Math.floor(this.#random() * 4) }, () => this.#pick(KEYS));
    this.#clock = clock;
    this.#queue = queue;
  }

  async go(): Promise<void> {
    for (let step = 1; step <= STEPS; step++) {
      await this.#act();
      if (step % LOOK_EVERY === 0) await this.#look();
    }
  }

  async #act(): Promise<void> {
    const dice = this.#random();
    if (dice < 0.36) await this.#enqueue();
    else if (dice < 0.54) await this.#advance();
    else if (dice < 0.64) await this.#pauseOrResume();
    else if (dice < 0.7) await this.#change();
    else await this.#settle();
  }

  #pick<T>(from: readonly T[]): T {
    return from[Math.floor(this.#random() * from.length)]!;
  }

  #chance(share: number): boolean {
    return this.#random() < share;
  }

  async #enqueue(): Promise<void> {
    const tasks = Array.from({ length: 1 + Math.floor(this.#random() * 4) }, () => this.#newTask());
    this.#story.push(`enqueue ${JSON.stringify(tasks)}`);
    await this.#queue.enqueueMany(tasks);
    for (const { id } of tasks) this.#open.add(id);
  }

  #newTask(): NewTask & { readonly id: string } {
    const limits: Limit[] = [];
    for (let left = 2; left > 0 && this.#chance(this.#shares.kept); left--) {
      const limit = this.#limit(this.#pick(this.#keys));
      if (!limits.some(({ key }) => key === limit.key)) limits.push(limit);
    }
    const { fair, late, brief } = this.#shares;
    return {
      id: `t${++this.#count}`,
      payload: {},
      priority: this.#pick([5, 5, 6]),
      ...(this.#chance(0.7) && { agentType: this.#pick(['x', 'y']) }),
      ...(limits.length > 0 && { limits }),
      ...(this.#chance(fair) && { fairKey: this.#pick(['f1', 'f2']) }),
      ...(this.#chance(late) && { delayMs: 500 }),
      ...(this.#chance(0.15) && this.#open.size > 0 && { dependsOn: [this.#pick([...this.#open])] }),
      ...(this.#chance(brief) && { expiresInMs: 2_000, onExpiry: this.#pick(['fail', 'skip']) }),
      ...(this.#chance(brief / 2) && { timeoutMs: 3_000 }),
    };
  }

  #limit(key: string): Limit {
    const weight = 1 + Math.floor(this.#random() * 10);
    const more = this.#chance(0.9) ? 0 : 1;
    if (key === 'r1') return { key, rate: { max: 10, perMs: 1_000 }, weight };
    if (key === 'r2') return { key, rate: { max: 10 + more, perMs: 4_000 }, weight };
    if (key === 'both') return { key, max: 2, rate: { max: 10, perMs: 2_000 }, weight };
    return { key, max: (key === 'k1' ? 1 : 3) + more };
  }

  async #advance(): Promise<void> {
    const ms = this.#pick([1, 100, 1_000, 3_000]);
    this.#story.push(`advance ${ms}`);
    await this.#clock.advance(ms);
  }

  async #pauseOrResume(): Promise<void> {
    const target = this.#pick<PauseTarget | undefined>([
      { key: 'k1' },
      { key: 'r1' },
      { agentType: 'x' },
      undefined,
    ]);
    const name = JSON.stringify(target ?? 'queue');
    const isPaused = this.#paused.delete(name);
    this.#story.push(`${isPaused ? 'resume' : 'pause'} ${name}`);
    if (isPaused) return this.#queue.resume(target);
    this.#paused.add(name);
    await this.#queue.pause(target);
  }

  /** The operator's hand; what he may not do is refused. */
  async #change(): Promise<void> {
    if (this.#open.size === 0) return;
    const id = this.#pick([...this.#open]);
    const word = this.#pick(['cancel', 'cancel', 'pending', 'failed', 'retry'] as const);
    this.#story.push(`${word} ${id}`);
    await this.#allowed(async () => {
      if (word === 'cancel') await this.#queue.cancel(id);
      else if (word === 'retry') await this.#queue.retry(id);
      else await this.#queue.updateStatus(id, word);
    });
  }

  async #settle(): Promise<void> {
    const [task] = this.#running.splice(Math.floor(this.#random() * this.#running.length), 1);
    if (!task) return;
    const slow = Object.assign(new Error('slow down'), { name: 'RateLimitError', retryAfterMs: 700 });
    const outcome = this.#pick<Outcome>([
      { status: 'completed' },
      { status: 'completed', spent: { r1: 1, both: 9 } },
      { status: 'failed', error: new Error('no') },
      { status: 'failed', error: new Error('no'), retry: false },
      { status: 'failed', error: slow },
      { status: 'released' },
    ]);
    this.#story.push(
      `settle ${task.id} ${JSON.stringify(outcome)} ${'error' in outcome ? outcome.error : ''}`,
    );
    await this.#allowed(() => this.#queue.settle(task, outcome));
  }

  async #allowed(act: () => Promise<unknown>): Promise<void> {
    try {
      await act();
    } catch (error) {
      if (!(error instanceof JottyError)) throw error;
      this.#story.push(error.code);
    }
  }

  async #look(): Promise<void> {
    const before = await this.#blockers();
    const limit = this.#pick([1, 3, CLAIM_MAX]);
    const first = await this.#claim(limit);
    const isDry = first.length < limit;
    // What was found to be over gave its places back meanwhile.
    const all = isDry ? [...first, ...(await this.#claimRest())] : first;
    for (const { id } of first) expect(before.get(id) ?? [], this.#told(id)).toEqual([]);
    if (!isDry) return;
    for (const [id, blockers] of await this.#blockers()) expect(blockers, this.#told(id)).not.toEqual([]);
    if (![...before.values()].every((blockers) => blockers.length > 0))
      expect(all.length > 0 || (await this.#blockers()).size < before.size, this.#told('nobody')).toBe(true);
  }

  async #claim(limit: number): Promise<Task[]> {
    const tasks = await this.#queue.dequeueMany(limit, {}, { start: this.#chance(0.5) });
    this.#story.push(`claimed ${tasks.map(({ id }) => id)} of ${limit}`);
    this.#running.push(...tasks);
    return tasks;
  }

  async #claimRest(): Promise<Task[]> {
    const all: Task[] = [];
    for (let more = await this.#claim(CLAIM_MAX); more.length > 0; more = await this.#claim(CLAIM_MAX))
      all.push(...more);
    return all;
  }

  async #blockers(): Promise<Map<string, readonly Blocker[]>> {
    const all = new Map<string, readonly Blocker[]>();
    for (const id of this.#open) {
      const task = await this.#queue.getTask(id);
      if (task === null || isEnded(task.status)) this.#open.delete(id);
      else if (task.status === 'pending' || task.status === 'retrying')
        all.set(id, (await this.#queue.explain(id)).blockers);
    }
    return all;
  }

  #told(id: string): string {
    return `${id} at ${this.#clock.now()} after\n${this.#story.join('\n')}`;
  }
}

const redis = sharedRedis();
type Open = (options: TaskQueueOptions, folder: string) => TaskQueue;
const remote = () => ({ url: redis.url, prefix: redis.prefix(), ...NO_DURABILITY });
const BACKENDS: readonly (readonly [name: string, clock: () => FakeClock, open: Open])[] = [
  ['memory', () => new FakeClock(), (options) => new MemoryTaskQueue(options)],
  [
    'sqlite',
    () => new FakeClock(),
    (options, folder) => new SQLiteTaskQueue({ ...options, path: join(folder, 'q.db') }),
  ],
  ['redis', () => redisClock(redis), (options) => new RedisTaskQueue({ ...options, ...remote() })],
  ['hybrid', () => redisClock(redis), (options) => new HybridTaskQueue({ ...options, ...remote() })],
];

describe.each(BACKENDS)(
  '%s: a task can be claimed exactly when nothing is named that keeps it back',
  (_, clockOf, open) => {
    test.each(Array.from({ length: WALKS }, (_, i) => FIRST_SEED + i))('random walk %i', async (seed) => {
      const folder = await mkdtemp(join(tmpdir(), 'jotty-walk-'));
      const clock = clockOf();
      const queue = open({ clock, owner: 'me', leaseMs: 8_000 }, folder);
      try {
        await new Walk(seed, clock, queue).go();
      } finally {
        await queue.close();
        await rm(folder, { recursive: true });
      }
    });
  },
);
