import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { RateLimitError } from '../../src/errors.ts';
import { HybridTaskQueue } from '../../src/queue/backends/hybrid/hybrid-task-queue.ts';
import { MemoryTaskQueue } from '../../src/queue/backends/memory/memory-task-queue.ts';
import { RedisTaskQueue } from '../../src/queue/backends/redis/redis-task-queue.ts';
import { SQLiteTaskQueue } from '../../src/queue/backends/sqlite/sqlite-task-queue.ts';
import type { NewTask, Outcome, Task, TaskEvent } from '../../src/queue/task.ts';
import type { PauseTarget, TaskQueue, TaskQueueOptions } from '../../src/queue/task-queue.ts';
import { FakeClock } from '../../src/testing/fake-clock.ts';
import { redisClock } from '../redis/redis-clock.ts';
import { sharedRedis } from '../redis/shared-redis.ts';
import {
  LIMITS,
  LOOK_MS,
  type NewReference,
  RETRY_AFTER_MS,
  type ReferenceApproval,
  type ReferenceDecision,
  ReferenceQueue,
  Refusal,
  SETTINGS,
  type Word,
} from '../testing/reference-queue.ts';

/** One that falls due in a queue just opened is asked with its first sweep, too late for a shorter life. */
const APPROVAL_LIFE_MS = 1_000;
/** `MODEL_RUNS=2000` runs it long, `MODEL_SEED=…` runs the printed seed again. */
const RUNS = process.env.MODEL_RUNS === undefined ? undefined : Number(process.env.MODEL_RUNS);
const SEED = process.env.MODEL_SEED === undefined ? Date.now() % 2 ** 31 : Number(process.env.MODEL_SEED);
const COMMANDS_MAX = 40;
const SECONDS_PER_RUN = 0.25;

const small = fc.nat({ max: 1_000 });
const WORDS: readonly Word[] = ['success', 'failure', 'completion', 'fits'];
const OUTCOMES = ['completed', 'completed', 'failed', 'released', 'waiting', 'cancelled', 'refused'] as const;
const TARGETS = ['in_progress', 'completed', 'retrying', 'failed', 'cancelled', 'pending'] as const;

const enqueue = fc.record({
  do: fc.constant('enqueue' as const),
  priority: fc.integer({ min: 1, max: 10 }),
  agentType: fc.constantFrom(undefined, 'x', 'y'),
  delayMs: fc.constantFrom(0, 0, 0, 50, 900),
  timeoutMs: fc.constantFrom(undefined, undefined, 800, 1_500),
  dependsOn: fc.array(fc.record({ pick: small, on: fc.constantFrom(...WORDS) }), { maxLength: 2 }),
  isStrict: fc.constantFrom(false, false, true),
  join: fc.constantFrom<'all' | 'any'>('all', 'all', 'any'),
  limits: fc.constantFrom<readonly string[]>([], [], [], ['k1'], ['k2'], ['k1', 'k2']),
  fairKey: fc.constantFrom(undefined, undefined, undefined, 'a', 'b'),
  expiresInMs: fc.constantFrom(undefined, undefined, undefined, 200, 1_000),
  onExpiry: fc.constantFrom<'fail' | 'skip'>('fail', 'fail', 'skip'),
  deadlineInMs: fc.constantFrom(undefined, undefined, undefined, 400, 1_500),
  /** The queue carries it; who watches it is the worker. */
  idleTimeoutMs: fc.constantFrom(undefined, undefined, 1_000),
  approval: fc.constantFrom<ReferenceApproval | undefined>(
    undefined,
    undefined,
    undefined,
    {},
    { timeoutMs: 600 },
    { timeoutMs: 600, onTimeout: 'approve' },
  ),
});
const decision = fc.record({
  do: fc.constant('decide' as const),
  pick: small,
  /** Whatever task it is, or one that asks. */
  isAny: fc.constantFrom(true, false, false),
  approved: fc.boolean(),
  of: fc.constantFrom('shown' as const, 'shown' as const, 'nothing' as const, 'another' as const),
});
const change = fc.record({
  do: fc.constant('change' as const),
  pick: small,
  value: fc.nat({ max: 2 }),
});
const dequeue = fc.record({
  do: fc.constant('dequeue' as const),
  limit: fc.integer({ min: 1, max: 3 }),
  agentType: fc.constantFrom(undefined, undefined, 'x', 'y'),
  priorityMin: fc.constantFrom(undefined, undefined, 4, 8),
  start: fc.boolean(),
});
const settle = fc.record({
  do: fc.constant('settle' as const),
  pick: small,
  outcome: fc.constantFrom(...OUTCOMES),
  value: fc.nat({ max: 2 }),
});
const onHandle = fc.record({ do: fc.constantFrom('start' as const, 'heartbeat' as const), pick: small });
const onTask = fc.record({
  do: fc.constantFrom('cancel' as const, 'retry' as const, 'answer' as const),
  pick: small,
});
const update = fc.record({
  do: fc.constant('update' as const),
  pick: small,
  status: fc.constantFrom(...TARGETS),
});
const plain = fc.record({
  do: fc.constantFrom('pause' as const, 'resume' as const, 'resume' as const, 'crash' as const),
});
const pauses = fc.record({
  do: fc.constantFrom('pauseKey' as const, 'resumeKey' as const, 'resumeKey' as const),
  key: fc.constantFrom('k1', 'k2', 'type x'),
});
const advance = fc.record({
  do: fc.constant('advance' as const),
  ms: fc.constantFrom(50, 100, 250, 600, 1_300),
});

const command = fc.oneof(
  { arbitrary: enqueue, weight: 5 },
  { arbitrary: dequeue, weight: 6 },
  { arbitrary: settle, weight: 6 },
  { arbitrary: onHandle, weight: 3 },
  { arbitrary: onTask, weight: 2 },
  { arbitrary: update, weight: 2 },
  { arbitrary: plain, weight: 1 },
  { arbitrary: pauses, weight: 1 },
  { arbitrary: advance, weight: 4 },
  { arbitrary: decision, weight: 3 },
  { arbitrary: change, weight: 1 },
  { arbitrary: fc.record({ do: fc.constant('explain' as const) }), weight: 1 },
);
type Command = typeof command extends fc.Arbitrary<infer T> ? T : never;

interface Backend {
  readonly open: (options: TaskQueueOptions) => TaskQueue;
  readonly isDurable: boolean;
  /** Turns are counted while tasks with a fair key are ready, not while places of theirs are there. */
  readonly isFair?: boolean;
  readonly clock?: FakeClock;
}

/** One queue and the reference beside it, told to do the same. */
class Pair {
  readonly #clock: FakeClock;
  readonly #reference: ReferenceQueue;
  readonly #backend: Backend;
  readonly #handles: Task[] = [];
  #queue: TaskQueue;
  /** Whether the queue was opened anew: it looks for approvals with its sweeps until it has heard of one. */
  #isNew = false;

  constructor(backend: Backend) {
    this.#backend = backend;
    this.#clock = backend.clock ?? new FakeClock();
    this.#reference = new ReferenceQueue(this.#clock.now());
    this.#queue = this.#open();
  }

  async close(): Promise<void> {
    await this.#queue.close();
    expect(this.#clock.timers).toBe(0);
  }

  async run(step: Command): Promise<void> {
    const before = this.#reference.now;
    const [real, expected] = [await outcomeOf(() => this.#real(step)), this.#expected(step)];
    expect({ step, answer: real }).toEqual({ step, answer: expected });
    await this.#letRing(before, step.do === 'crash');
    await this.#compare();
    if (step.do === 'explain') await this.compareExplanations();
  }

  /** A queue rings its clocks, and asks, near their time; one that was just opened with its first sweep. */
  async #letRing(since: number, isNew: boolean): Promise<void> {
    this.#isNew ||= isNew && this.#backend.isDurable;
    const wait = this.#isNew ? SETTINGS.sweepMs : LOOK_MS;
    for (let from = since; this.#reference.lookedAt >= from; ) {
      from = this.#reference.now + 1;
      await this.#clock.advance(wait);
      this.#reference.advance(wait);
    }
  }

  async compareHistories(): Promise<void> {
    for (const { id, events } of this.#reference.tasks) {
      const history = await this.#queue.history(id);
      const moves = withoutVainClaims(history).map(({ from, to }) => `${from}>${to}`);
      expect({ id, events: moves }).toEqual({ id, events });
      expect(history.map((event) => event.seq)).toEqual(history.map((_, i) => i + 1));
    }
  }

  /** A task can be claimed now exactly when nothing is named that keeps it back. */
  async compareExplanations(): Promise<void> {
    for (const task of this.#reference.tasks) {
      const { blockers } = await this.#queue.explain(task.id);
      const codes = blockers.map(({ code }) => code);
      expect({ id: task.id, codes, isFree: codes.length === 0 }).toEqual({
        id: task.id,
        codes,
        isFree: this.#reference.isClaimable(task),
      });
    }
  }

  async #compare(): Promise<void> {
    const { tasks } = await this.#queue.listTasks({ limit: 1_000 });
    const ended = ['completed', 'failed', 'cancelled', 'skipped'];
    const shown = tasks.map((task) => ({
      id: task.id,
      status: task.status,
      retryCount: task.retryCount,
      crashes: task.crashes,
      runAt: task.runAt,
      blockedBy: ended.includes(task.status) ? [] : task.blockedBy,
      result: foretold(task.result),
      error: task.status === 'failed' ? clockError(task.error?.code) : null,
      leaseEnd: task.lease?.expiresAt ?? null,
    }));
    this.#learnAskedAt(tasks);
    const expected = this.#reference.tasks.map((task) => ({
      id: task.id,
      status: task.status,
      retryCount: task.retryCount,
      crashes: task.crashes,
      runAt: task.runAt,
      blockedBy: ended.includes(task.status) ? [] : task.blockedBy.map((edge) => edge.id),
      result: task.result,
      error: task.status === 'failed' ? clockError(task.error ?? undefined) : null,
      leaseEnd: task.status === 'assigned' || task.status === 'in_progress' ? task.leaseEnd : null,
    }));
    expect(shown).toEqual(expected);
  }

  /** From then on its time counts. */
  #learnAskedAt(tasks: readonly Task[]): void {
    for (const { id, status, askedAt } of tasks) {
      const expected = this.#reference.find(id);
      if (status !== 'waiting' || expected.status !== 'waiting' || !expected.approval) continue;
      expect(askedAt, `${id} was asked`).toBeGreaterThanOrEqual(expected.askedAt);
      expect(askedAt, `${id} was asked`).toBeLessThanOrEqual(expected.askedAt + SETTINGS.sweepMs);
      expected.askedAt = askedAt!;
    }
  }

  #open(): TaskQueue {
    const { interval, ...settings } = SETTINGS;
    const retry = { initialInterval: interval, backoffFactor: 2, jitter: true };
    return this.#backend.open({ ...settings, retry, clock: this.#clock, random: () => 0.5 });
  }

  /** What the queue says: a list of ids, nothing, or the code of its refusal. */
  async #real(step: Command): Promise<unknown> {
    const queue = this.#queue;
    switch (step.do) {
      case 'enqueue':
        await queue.enqueue({
          ...submission(this.#newTask(step)),
          ...(step.idleTimeoutMs && !step.approval && { idleTimeoutMs: step.idleTimeoutMs }),
        });
        return undefined;
      case 'decide': {
        const id = this.#toDecide(step);
        if (id === undefined) return undefined;
        const hash = step.of === 'another' ? 'another' : await this.#hashOf(id);
        const { approved } = step;
        return void (await queue.decide(id, { approved, by: 'ann', ...(step.of !== 'nothing' && { hash }) }));
      }
      case 'change': {
        const id = this.#asking(step.pick);
        return id && void (await queue.updateStatus(id, 'waiting', { metadata: { n: step.value } }));
      }
      case 'explain':
        return undefined;
      case 'dequeue': {
        const { limit, start, agentType, priorityMin } = step;
        const filter = { ...(agentType && { agentType }), ...(priorityMin && { priorityMin }) };
        const held = await queue.dequeueMany(limit, filter, { start });
        return held.map((task) => `${task.id}#${task.lease!.fence}`);
      }
      case 'settle': {
        const handle = this.#handle(step.pick);
        return handle && void (await queue.settle(handle, outcome(step.outcome, step.value)));
      }
      case 'start':
      case 'heartbeat': {
        const handle = this.#handle(step.pick);
        return handle && void (await queue[step.do](handle));
      }
      case 'cancel':
      case 'retry': {
        const id = this.#id(step.pick);
        return id && void (await queue[step.do](id));
      }
      case 'answer': {
        const task = this.#waiting(step.pick);
        return task && void (await queue.answer(task.id, task.question!, 1));
      }
      case 'update': {
        const id = this.#id(step.pick);
        const error = { name: 'Error', message: 'boom' };
        const change = step.status === 'completed' ? { result: 0, error } : { error };
        return id && void (await queue.updateStatus(id, step.status, change));
      }
      case 'advance':
        return this.#clock.advance(step.ms);
      case 'pause':
      case 'resume':
        return queue[step.do]();
      case 'pauseKey':
        return queue.pause(pauseTarget(step.key));
      case 'resumeKey':
        return queue.resume(pauseTarget(step.key));
      case 'crash':
        return this.#backend.isDurable ? this.#crash() : undefined;
    }
  }

  async #crash(): Promise<void> {
    await this.#queue.close();
    this.#queue = this.#open();
    await this.#queue.stats();
  }

  #expected(step: Command): unknown {
    const model = this.#reference;
    try {
      switch (step.do) {
        case 'enqueue':
          return model.enqueue(this.#newTask(step));
        case 'decide': {
          const id = this.#toDecide(step);
          return id && model.decide(id, step.approved, step.of !== 'another');
        }
        case 'change': {
          const id = this.#asking(step.pick);
          return id && model.change(id, step.value);
        }
        case 'explain':
          return undefined;
        case 'dequeue': {
          const { agentType, priorityMin } = step;
          const filter = { ...(agentType && { agentType }), ...(priorityMin && { priorityMin }) };
          const handles = model.dequeue(step.limit, filter, step.start);
          this.#handles.push(...handles.map(({ id, fence }) => aHandle(id, fence)));
          return handles.map(({ id, fence }) => `${id}#${fence}`);
        }
        case 'settle': {
          const handle = this.#handle(step.pick);
          const held = handle && { id: handle.id, fence: handle.lease!.fence };
          if (held && step.outcome === 'refused') return model.refuse(held);
          return held && model.settle(held, step.outcome, step.value);
        }
        case 'start':
        case 'heartbeat': {
          const handle = this.#handle(step.pick);
          return handle && model[step.do]({ id: handle.id, fence: handle.lease!.fence });
        }
        case 'cancel':
        case 'retry': {
          const id = this.#id(step.pick);
          return id && model[step.do](id);
        }
        case 'answer': {
          const task = this.#waiting(step.pick);
          return task && model.answer(task.id);
        }
        case 'update': {
          const id = this.#id(step.pick);
          return id && model.update(id, step.status, 0);
        }
        case 'advance':
          return model.advance(step.ms);
        case 'pause':
        case 'resume':
          return step.do === 'pause' ? model.pauseAll() : model.resumeAll();
        case 'pauseKey':
          model.pausedKeys.add(step.key);
          return undefined;
        case 'resumeKey':
          model.pausedKeys.delete(step.key);
          return undefined;
        case 'crash':
          return this.#backend.isDurable ? model.reopen() : undefined;
      }
    } catch (error) {
      if (error instanceof Refusal) return error.message;
      throw error;
    }
  }

  #newTask(step: Extract<Command, { do: 'enqueue' }>): NewReference {
    const known = this.#reference.tasks;
    const wanted = known.length === 0 ? [] : step.dependsOn;
    const edges = wanted.map(({ pick, on }) => ({ id: known[pick % known.length]!.id, on }));
    const { priority, agentType, delayMs, timeoutMs, isStrict, join, limits, fairKey, approval } = step;
    const { expiresInMs, onExpiry, deadlineInMs } = step;
    return {
      id: `t${known.length}`,
      priority,
      delayMs,
      isStrict: isStrict && !approval,
      join,
      limits: approval ? [] : limits,
      ...(fairKey && this.#backend.isFair && !approval && { fairKey }),
      dependsOn: edges.filter((edge, i) => edges.findIndex((other) => other.id === edge.id) === i),
      ...(agentType && !approval && { agentType }),
      ...(timeoutMs && !approval && { timeoutMs }),
      ...(expiresInMs && { expiresInMs: approval ? APPROVAL_LIFE_MS : expiresInMs, onExpiry }),
      ...(deadlineInMs && { deadline: this.#reference.now + deadlineInMs }),
      ...(approval && { approval }),
    };
  }

  #asking(pick: number): string | undefined {
    const asking = this.#reference.tasks.filter(({ status, approval }) => status === 'waiting' && approval);
    return asking.length === 0 ? undefined : asking[pick % asking.length]!.id;
  }

  #toDecide({ pick, isAny }: Extract<Command, { do: 'decide' }>): string | undefined {
    return (isAny ? undefined : this.#asking(pick)) ?? this.#id(pick);
  }

  async #hashOf(id: string): Promise<string> {
    const value = (await this.#queue.getTask(id))?.interrupts?.[0]?.value;
    return (value as { hash?: string } | undefined)?.hash ?? 'none';
  }

  #handle(pick: number): Task | undefined {
    return this.#handles.length === 0 ? undefined : this.#handles[pick % this.#handles.length];
  }

  #id(pick: number): string | undefined {
    const { tasks } = this.#reference;
    return tasks.length === 0 ? undefined : tasks[pick % tasks.length]!.id;
  }

  #waiting(pick: number) {
    const waiting = this.#reference.tasks.filter(
      (task) => task.status === 'waiting' && task.question !== null,
    );
    return waiting.length === 0 ? undefined : waiting[pick % waiting.length];
  }
}

const FROM_ONE = { where: { result: { gte: 1 } } };

function pauseTarget(key: string): PauseTarget {
  return key === 'type x' ? { agentType: 'x' } : { key };
}

/** Where the claim of an approval meets a clock that rings at the same time, it is the clock that counts. */
function withoutVainClaims(history: readonly TaskEvent[]): readonly Pick<TaskEvent, 'from' | 'to'>[] {
  return history.flatMap((event, i) => {
    const isVain = (claim: TaskEvent | undefined, end: TaskEvent | undefined) =>
      claim?.to === 'assigned' && claim.at === end?.at && /^(EXPIRED|DEADLINE)/.test(end.reason ?? '');
    if (isVain(event, history[i + 1])) return [];
    return isVain(history[i - 1], event) ? [{ from: history[i - 1]!.from, to: event.to }] : [event];
  });
}

/** Of a decision when it was made, and why, is not said in advance. */
function foretold(result: unknown): unknown {
  if (typeof result !== 'object' || result === null) return result ?? null;
  const { approved, by } = result as ReferenceDecision;
  return { approved, by };
}

function clockError(code: string | undefined): string | null {
  return code !== undefined && ['EXPIRED', 'DEADLINE_EXCEEDED', 'REJECTED'].includes(code) ? code : null;
}

function submission({ isStrict, dependsOn, limits, approval, ...task }: NewReference): NewTask {
  return {
    ...task,
    payload: {},
    ...(approval && { approval: { question: 'Sure?', ...approval } }),
    ...(limits.length > 0 && { limits: limits.map((key) => ({ key, max: LIMITS[key] })) }),
    dependsOn: dependsOn.map(({ id, on }) => (on === 'fits' ? { id, ...FROM_ONE } : { id, on })),
    ...(isStrict && { validate: FROM_ONE }),
  };
}

/** Only id and fence count; a worker's task in hand may be stale in everything else. */
function aHandle(id: string, fence: number): Task {
  return { id, lease: { owner: 'w', fence, expiresAt: 0 } } as Task;
}

function outcome(status: (typeof OUTCOMES)[number], value: number): Outcome {
  if (status === 'completed') return { status, result: value };
  if (status === 'refused')
    return { status: 'failed', error: new RateLimitError('slow down', { retryAfterMs: RETRY_AFTER_MS }) };
  if (status === 'failed') return { status, error: { name: 'Error', message: 'boom' } };
  if (status === 'waiting') return { status, interrupts: [{ id: `q${value}`, value: 1 }] };
  return { status };
}

async function outcomeOf(act: () => Promise<unknown>): Promise<unknown> {
  try {
    return await act();
  } catch (error) {
    const { code } = error as { code?: string };
    if (code === undefined) throw error;
    return code;
  }
}

function property(open: () => Promise<Backend & { dispose(): Promise<void> }>) {
  return fc.asyncProperty(fc.array(command, { maxLength: COMMANDS_MAX, size: 'max' }), async (commands) => {
    const backend = await open();
    const pair = new Pair(backend);
    try {
      await pair.run({ do: 'resume' });
      for (const step of commands) await pair.run(step);
      await pair.compareExplanations();
      await pair.compareHistories();
    } finally {
      await pair.close();
      await backend.dispose();
    }
  });
}

describe(`a queue does what the reference does (MODEL_SEED=${SEED})`, () => {
  const memoryRuns = RUNS ?? 100;
  test('memory', { timeout: 20_000 + memoryRuns * SECONDS_PER_RUN * 1_000 }, async () => {
    const open = async () => ({
      open: (options: TaskQueueOptions) => new MemoryTaskQueue(options),
      isDurable: false,
      isFair: true,
      clock: new FakeClock(undefined, 12),
      dispose: async () => {},
    });
    await fc.assert(property(open), { seed: SEED, numRuns: memoryRuns });
  });

  describe('redis', () => {
    const redis = sharedRedis();
    const redisRuns = RUNS ?? 40;
    const kinds = {
      redis: (options: TaskQueueOptions, at: { url: string; prefix: string }) =>
        new RedisTaskQueue({ ...options, ...at }),
      hybrid: (options: TaskQueueOptions, at: { url: string; prefix: string }) =>
        new HybridTaskQueue({ ...options, ...at }),
      // So that nearly all claims are served from memory, and little is left where the next claims look.
      'hybrid, always holding': (options: TaskQueueOptions, at: { url: string; prefix: string }) =>
        new HybridTaskQueue({ ...options, ...at, prefetchTasksMin: 4 }),
    };
    const timeout = 60_000 + redisRuns * 4 * SECONDS_PER_RUN * 1_000;
    test.for(Object.entries(kinds))('%s', { timeout }, async ([, make]) => {
      const open = async () => {
        const at = { url: redis.url, prefix: redis.prefix() };
        return {
          open: (options: TaskQueueOptions) => make(options, at),
          isDurable: true,
          clock: redisClock(redis),
          dispose: async () => {},
        };
      };
      await fc.assert(property(open), { seed: SEED, numRuns: redisRuns });
    });
  });

  const sqliteRuns = RUNS ?? 40;
  test('sqlite', { timeout: 20_000 + sqliteRuns * SECONDS_PER_RUN * 1_000 }, async () => {
    const folder = await mkdtemp(join(tmpdir(), 'jotty-model-'));
    let files = 0;
    const open = async () => {
      const path = join(folder, `${files++}.db`);
      return {
        open: (options: TaskQueueOptions) => new SQLiteTaskQueue({ ...options, path }),
        isDurable: true,
        clock: new FakeClock(undefined, 40),
        dispose: async () => {
          for (const end of ['', '-wal', '-shm']) await rm(path + end, { force: true });
        },
      };
    };
    try {
      await fc.assert(property(open), { seed: SEED, numRuns: sqliteRuns });
    } finally {
      await rm(folder, { recursive: true });
    }
  });
});
