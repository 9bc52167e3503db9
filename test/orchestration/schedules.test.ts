import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { Conductor, type ScheduleOptions, TaskQueueManager } from '../../src/index.ts';
import { checkRule, nextTick, type StoredSchedule, tickDue } from '../../src/orchestration/schedule.ts';
import { Scheduler } from '../../src/orchestration/scheduler.ts';
import {
  MemoryTaskQueue,
  SQLiteTaskQueue,
  type TaskQueue,
  type TaskQueueOptions,
} from '../../src/queue/index.ts';
import { FakeClock } from '../../src/testing/index.ts';

const MINUTE = 60_000;
const at = (iso: string) => Date.parse(iso);

test('a rule that never ticks, ticks too often, or is on no known clock is refused at once', () => {
  for (const rule of [
    {},
    { cron: '* * * * *', everyMs: 5_000 },
    { cron: '61 * * * *' },
    { cron: '0 0 31 2 *' },
    { cron: '0 0 30 2 *' },
    { cron: '0 0 31 4,6,9,11 *' },
    { cron: '0 0 * * *', tz: 'Mars/Olympus' },
    { everyMs: 999 },
    { everyMs: Number.NaN },
    { everyMs: 5_000, tz: 'Europe/Berlin' },
  ]) {
    expect(() => checkRule(rule, 0)).toThrow(expect.objectContaining({ code: 'INVALID_OPTION' }));
  }
});

test('over both changes of the clocks a fixed time ticks once a day, wherever one begins to count', () => {
  const rule = { cron: '30 2 * * *', tz: 'Europe/Berlin' };
  for (const [day, ticks] of [
    ['2026-03-29', ['2026-03-29T01:00:00Z']],
    ['2026-10-25', ['2026-10-25T00:30:00Z']],
  ] as const) {
    for (let minute = 0; minute < 300; minute += 7) {
      const from = at(`${day}T00:00:00Z`) - MINUTE + minute * MINUTE;
      const due = tickDue(stored({ rule, since: from, catchUp: 'all' }), at(`${day}T23:00:00Z`));
      expect(due).toBe(from < at(ticks[0]) ? at(ticks[0]) : null);
    }
  }
});

test('of missed ticks the latest is made up for, or each of a day, or none', () => {
  const now = at('2026-06-01T12:00:30Z');
  const rule = { cron: '0 * * * *' };
  const missed = (catchUp: StoredSchedule['catchUp'], lastTick: number | null = null) =>
    tickDue(stored({ rule, catchUp, lastTick, since: at('2026-05-01T00:00:00Z') }), now);
  expect(missed('one')).toBe(at('2026-06-01T12:00:00Z'));
  expect(missed('all')).toBe(at('2026-05-31T13:00:00Z'));
  expect(missed('all', at('2026-06-01T09:00:00Z'))).toBe(at('2026-06-01T10:00:00Z'));
  // Half a minute is not late.
  expect(missed('none')).toBe(at('2026-06-01T12:00:00Z'));
  expect(tickDue(stored({ rule, catchUp: 'none', since: 0 }), now + MINUTE)).toBeNull();
  expect(missed('one', at('2026-06-01T12:00:00Z'))).toBeNull();
  expect(nextTick({ everyMs: 5_000 }, 12_000, 1_000)).toBe(16_000);
});

test('one late tick is made up for, however long ago it was', () => {
  const rule = { cron: '0 0 * * 1' };
  const since = at('2026-05-01T00:00:00Z');
  const now = at('2026-06-03T12:00:00Z');
  expect(tickDue(stored({ rule, since }), now)).toBe(at('2026-06-01T00:00:00Z'));
  expect(tickDue(stored({ rule, since, catchUp: 'all' }), now)).toBeNull();
});

test('what a tick could never submit is refused when the schedule is made', async () => {
  const { clock, queue, conductor } = setUp({ payloadBytesMax: 50_000 });
  for (const [bad, code] of [
    [{ input: { text: 'x'.repeat(50_000) } }, 'TOO_LARGE'],
    // It would fit into the entry, but not together with the tick that is under way.
    [{ input: { text: 'x'.repeat(40_000) } }, 'TOO_LARGE'],
    [{ metadata: { text: 'x'.repeat(70_000) } }, 'TOO_LARGE'],
    [{ input: { n: Number.NaN } }, 'INVALID_TASK'],
    [{ input: { n: 1n } }, 'INVALID_TASK'],
    [{ priority: 99 }, 'INVALID_TASK'],
    [{ agentType: 'a b' }, 'INVALID_TASK'],
    [{ unknown: 1 }, 'INVALID_TASK'],
    [{ dependsOn: ['a'] }, 'INVALID_OPTION'],
  ] as const) {
    const options = { goal: 'go', everyMs: MINUTE, ...bad } as unknown as ScheduleOptions;
    await expect(conductor.schedules.upsert('s', options)).rejects.toMatchObject({ code });
  }
  expect(await conductor.schedules.list()).toEqual([]);

  await conductor.schedules.upsert('s', { goal: 'go', everyMs: MINUTE, input: { text: 'x'.repeat(30_000) } });
  const scheduler = new Scheduler(queue, fail);
  scheduler.look();
  await clock.advance(MINUTE);
  expect((await queue.listTasks()).tasks).toHaveLength(1);
  await scheduler.stop();
});

test('a schedule made anew while a tick of the removed one is under way is not overwritten by it', async () => {
  const { clock, queue, conductor } = setUp();
  const { schedules } = conductor;
  await schedules.upsert('s', { goal: 'old', everyMs: MINUTE });
  await clock.advance(MINUTE);
  const scheduler = new Scheduler(
    pausingAfterRead(queue, async () => {
      await schedules.remove('s');
      expect(await schedules.list()).toEqual([]);
      await schedules.upsert('s', { goal: 'new', everyMs: 5 * MINUTE });
    }),
    fail,
  );
  scheduler.look();
  await clock.settle();
  expect(await schedules.list()).toMatchObject([{ everyMs: 5 * MINUTE, lastTaskId: null }]);
  expect((await queue.listTasks()).tasks).toEqual([]);
  await scheduler.stop();
});

test('damaged schedules are left out of lists, and do not keep the others from ticking', async () => {
  const { clock, queue, conductor } = setUp();
  const made = await conductor.schedules.upsert('good', { goal: 'go', everyMs: MINUTE });
  const since = clock.now();
  for (const [i, damage] of [
    { rule: null },
    { rule: {} },
    { rule: { cron: '61 * * * *' } },
    { rule: { everyMs: 0 } },
    { rule: { everyMs: -1 } },
    { since: 'yesterday' },
    { due: {} },
  ].entries()) {
    const value = JSON.stringify({ ...stored({ rule: { everyMs: MINUTE }, since }), ...damage });
    await queue.registry.put('schedules', { key: `bad${i}`, value, expiresAt: null }, since);
  }
  expect(await conductor.schedules.list()).toEqual([made]);
  const scheduler = new Scheduler(queue, fail);
  scheduler.look();
  await clock.advance(MINUTE);
  expect((await queue.listTasks()).tasks).toHaveLength(1);
  await scheduler.stop();
});

test('a tick that the limits of the queue refuse is told each time, and is no run of its schedule', async () => {
  const limits = [{ key: 'tenant:{metadata.tenant}', max: 1 }];
  const { clock, queue, conductor } = setUp({ limits });
  const options = { goal: 'go', everyMs: MINUTE, metadata: { tenant: 'ada@example.com' } };
  await expect(conductor.schedules.upsert('s', options)).rejects.toMatchObject({
    code: 'INVALID_TASK',
    path: 'task.metadata.tenant',
  });
  // Made where the limit is not known.
  const rule = { everyMs: MINUTE };
  const task = { payload: { goal: 'go' }, metadata: options.metadata };
  const entry = (fields: object) => JSON.stringify({ ...stored({ rule, since: clock.now() }), ...fields });
  await queue.registry.put('schedules', { key: 's', value: entry({ task }), expiresAt: null }, clock.now());
  await queue.registry.put('schedules', { key: 't', value: entry({}), expiresAt: null }, clock.now());
  const errors: unknown[] = [];
  const scheduler = new Scheduler(queue, (error) => errors.push(error));
  scheduler.look();
  await clock.advance(2 * MINUTE);
  const refusal = { code: 'INVALID_TASK', path: 'task.metadata.tenant' };
  expect(errors).toMatchObject([refusal, refusal]);
  expect((await queue.listTasks()).tasks).toHaveLength(1);
  expect(await conductor.schedules.list()).toMatchObject([
    { id: 's', lastRunAt: null, lastTaskId: null, nextRunAt: clock.now() + MINUTE },
    { id: 't', lastRunAt: expect.any(Number) },
  ]);
  await scheduler.stop();
});

test('a schedule that is made while the scheduler looks is looked at next', async () => {
  const { clock, queue, conductor } = setUp();
  let scheduler: Scheduler | undefined;
  const made = pausingAfterRead(queue, async () => {
    await conductor.schedules.upsert('s', { goal: 'go', everyMs: 1_000 });
    scheduler?.look();
  });
  scheduler = new Scheduler(made, fail);
  scheduler.look();
  await clock.advance(1_000);
  expect((await queue.listTasks()).tasks).toHaveLength(1);
  await scheduler.stop();
});

test('a schedule ticks into tasks, says when it ticks next, and is paused, resumed, run by hand and removed', async () => {
  const { clock, queue, conductor, manager } = setUp();
  const made = await conductor.schedules.upsert('report', {
    goal: 'write it',
    input: { depth: 2 },
    cron: '*/5 * * * *',
    priority: 8,
  });
  expect(made).toMatchObject({ id: 'report', isPaused: false, nextRunAt: clock.now() + 3 * MINUTE });
  manager.start();
  await clock.advance(13 * MINUTE);
  const tasks = (await queue.listTasks()).tasks;
  expect(tasks.map(({ createdAt }) => (createdAt - made.nextRunAt!) / MINUTE)).toEqual([0, 5, 10]);
  expect(tasks[0]).toMatchObject({
    payload: { goal: 'write it', input: { depth: 2 } },
    priority: 8,
    metadata: { schedule: 'report', tick: made.nextRunAt },
    status: 'completed',
  });
  expect(await conductor.schedules.list()).toMatchObject([
    { id: 'report', lastTaskId: tasks[2]!.id, nextRunAt: made.nextRunAt! + 15 * MINUTE },
  ]);
  expect(await conductor.schedules.pause('report')).toMatchObject({ isPaused: true, nextRunAt: null });
  await clock.advance(30 * MINUTE);
  expect((await queue.listTasks()).tasks).toHaveLength(3);
  const byHand = await conductor.schedules.runNow('report');
  expect((await queue.getTask(byHand))?.metadata).toEqual({ schedule: 'report' });
  expect(await conductor.schedules.list()).toMatchObject([
    { id: 'report', lastRunAt: clock.now(), lastTaskId: tasks[2]!.id, isPaused: true },
  ]);
  await conductor.schedules.resume('report');
  expect((await queue.listTasks()).tasks).toHaveLength(4);
  await clock.advance(5 * MINUTE);
  expect((await queue.listTasks()).tasks).toHaveLength(5);
  await conductor.schedules.remove('report');
  await clock.advance(30 * MINUTE);
  expect((await queue.listTasks()).tasks).toHaveLength(5);
  expect(await conductor.schedules.list()).toEqual([]);
  await expect(conductor.schedules.pause('report')).rejects.toMatchObject({ code: 'SCHEDULE_NOT_FOUND' });
  await manager.stop({ drainMs: 0 });
  await conductor.close();
  await queue.close();
  expect(clock.timers).toBe(0);
});

test('the same schedule again changes nothing; another rule ticks from now on', async () => {
  const { clock, queue, conductor, manager } = setUp();
  const options: ScheduleOptions = { goal: 'go', everyMs: 60_000 };
  await conductor.schedules.upsert('s', options);
  manager.start();
  await clock.advance(90_000);
  const again = await conductor.schedules.upsert('s', options);
  expect(again.nextRunAt).toBe(clock.now() + 30_000);
  const changed = await conductor.schedules.upsert('s', { ...options, everyMs: 120_000 });
  expect(changed.nextRunAt).toBe(clock.now() + 120_000);
  await clock.advance(119_000);
  expect((await queue.listTasks()).tasks).toHaveLength(1);
  await manager.stop({ drainMs: 0 });
});

test('while the last task has not ended a tick is left out, waits for it, or takes its place', async () => {
  for (const overlap of ['skip', 'queue', 'replace'] as const) {
    const { clock, queue, conductor } = setUp();
    const scheduler = new Scheduler(queue, fail);
    await conductor.schedules.upsert('s', { goal: 'go', everyMs: 60_000, overlap });
    scheduler.look();
    await clock.advance(130_000);
    const tasks = (await queue.listTasks()).tasks.map(({ status, blockedBy }) => [status, blockedBy.length]);
    expect(tasks).toEqual(
      {
        skip: [['pending', 0]],
        queue: [
          ['pending', 0],
          ['pending', 1],
        ],
        replace: [
          ['cancelled', 0],
          ['pending', 0],
        ],
      }[overlap],
    );
    await scheduler.stop();
  }
});

test('a tick that waits for a task which is purged meanwhile goes on without it', async () => {
  const { clock, queue, conductor } = setUp();
  const tick = clock.now();
  const due = { tick, task: { id: 's:1', payload: {}, dependsOn: [{ id: 'purged' }] } };
  const value = JSON.stringify(
    stored({ rule: { everyMs: MINUTE }, overlap: 'queue', since: tick - MINUTE, due }),
  );
  await queue.registry.put('schedules', { key: 's', value, expiresAt: null }, tick);
  const scheduler = new Scheduler(queue, fail);
  scheduler.look();
  await clock.settle();
  expect(await queue.getTask('s:1')).toMatchObject({ status: 'pending', blockedBy: [] });
  expect(await conductor.schedules.list()).toMatchObject([{ lastTaskId: 's:1' }]);
  await scheduler.stop();
});

test('several processes keep a schedule together: each tick is one task, whatever dies at the tick', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'jotty-schedules-'));
  const clock = new FakeClock(undefined, 40);
  const open = () => new SQLiteTaskQueue({ path: join(folder, 'q.db'), clock });
  const queues = [open(), open(), open()];
  const conductor = new Conductor({ agents: {}, queue: queues[0]! });
  await conductor.schedules.upsert('s', { goal: 'go', everyMs: 60_000, overlap: 'queue', catchUp: 'all' });
  // The first dies between its claim of a tick and the task; the second after the task, before it says so.
  const schedulers = [
    new Scheduler(dyingBefore(queues[0]!, 'enqueue'), () => {}),
    new Scheduler(dyingAfter(queues[1]!, 'enqueue'), () => {}),
    new Scheduler(queues[2]!, fail),
  ];
  for (const scheduler of schedulers) scheduler.look();
  await clock.advance(10 * 60_000 + 30_000);
  const tasks = (await queues[2]!.listTasks()).tasks;
  expect(
    tasks.map(({ metadata }) => ((metadata.tick as number) - tasks[0]!.createdAt) / 60_000),
  ).toHaveLength(10);
  expect(new Set(tasks.map(({ metadata }) => metadata.tick)).size).toBe(10);
  await schedulers[2]!.stop();
  for (const queue of queues) await queue.close();
  await rm(folder, { recursive: true, force: true });
});

function setUp(options: TaskQueueOptions = {}) {
  const clock = new FakeClock(at('2026-01-01T00:02:00Z'));
  const queue = new MemoryTaskQueue({ ...options, clock });
  const conductor = new Conductor({ agents: { writer: { invoke: () => ({ ok: true }) } }, queue });
  return { clock, queue, conductor, manager: new TaskQueueManager(conductor) };
}

function stored(part: Partial<StoredSchedule>): StoredSchedule {
  return {
    rule: {},
    task: { payload: {} },
    overlap: 'skip',
    catchUp: 'one',
    isPaused: false,
    since: 0,
    lastTick: null,
    lastRunAt: null,
    lastTaskId: null,
    due: null,
    ...part,
  };
}

function fail(error: unknown): void {
  throw error;
}

/** A queue whose registry, once it was read for the first time, lets something happen before it answers. */
function pausingAfterRead(queue: TaskQueue, happen: () => Promise<void>): TaskQueue {
  let isFirst = true;
  const registry = {
    put: queue.registry.put.bind(queue.registry),
    async entries(section: string, now: number) {
      const entries = await queue.registry.entries(section, now);
      if (isFirst) {
        isFirst = false;
        await happen();
      }
      return entries;
    },
  };
  return new Proxy(queue, {
    get(target, key) {
      const member: unknown = key === 'registry' ? registry : Reflect.get(target, key, target);
      return typeof member === 'function' ? member.bind(target) : member;
    },
  });
}

/** A queue whose process dies at its first call of `name`: no later call of anything is answered. */
function dyingBefore(queue: TaskQueue, name: keyof TaskQueue): TaskQueue {
  return dying(queue, name, false);
}

function dyingAfter(queue: TaskQueue, name: keyof TaskQueue): TaskQueue {
  return dying(queue, name, true);
}

function dying(queue: TaskQueue, name: keyof TaskQueue, isDone: boolean): TaskQueue {
  let isDead = false;
  const guard = (value: object): object =>
    new Proxy(value, {
      get(target, key) {
        const member: unknown = Reflect.get(target, key, target);
        if (key === 'registry') return guard(member as object);
        if (typeof member !== 'function') return member;
        return (...values: unknown[]) => {
          if (isDead) return Promise.reject(new Error('dead'));
          if (key !== name) return member.apply(target, values);
          isDead = true;
          const done = isDone ? (member.apply(target, values) as Promise<unknown>) : Promise.resolve();
          return done.then(() => new Promise(() => {}));
        };
      },
    });
  return guard(queue) as TaskQueue;
}
