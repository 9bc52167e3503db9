import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { Conductor } from '../../src/index.ts';
import { MemoryTaskStore, SQLiteTaskQueue, StoredTaskQueue, type Task } from '../../src/queue/index.ts';
import type { TaskStore } from '../../src/queue/task-store.ts';
import { FakeClock } from '../../src/testing/index.ts';
import { twoQuestions } from '../orchestration/graphs.ts';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'jotty-move-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const open = (name: string, options: object = {}) =>
  new SQLiteTaskQueue({ path: join(folder, `${name}.db`), ...options });

/** One task of every kind; returns their ids. */
async function fill(queue: StoredTaskQueue): Promise<string[]> {
  const ids = await queue.enqueueMany([
    { id: 'done', payload: { n: 1 }, priority: 10, metadata: { a: 1 } },
    { id: 'dead', payload: { n: 2 }, priority: 9 },
    { id: 'retrying', payload: { n: 3 }, priority: 8 },
    { id: 'asking', payload: { n: 4 }, priority: 7 },
    { id: 'child', payload: {}, dependsOn: ['parent', { id: 'dead', on: 'completion' }] },
    { id: 'parent', payload: {}, priority: 1 },
    { id: 'unwanted', payload: {}, priority: 2 },
    { id: 'orphan', payload: {}, dependsOn: ['unwanted'] },
    { id: 'delayed', payload: {}, delayMs: 60_000 },
    { id: 'plain', payload: { text: 'ä' }, agentType: 'x', priority: 3 },
  ]);
  const claimed = await queue.dequeueMany(4, {}, { start: true });
  const [done, dead, retrying, asking] = claimed as [Task, Task, Task, Task];
  const pages = [
    { count: 2, text: 'one\ntwo' },
    { count: 3, text: '' },
  ];
  await queue.appendLogs([{ id: 'done', fence: done.lease!.fence, pages }]);
  const log = [{ count: 1, text: 'last' }];
  await queue.settle(done, { status: 'completed', result: { ok: true }, log });
  await queue.settle(dead, { status: 'failed', error: new Error('no'), retry: false });
  await queue.settle(retrying, { status: 'failed', error: new Error('later'), log });
  await queue.settle(asking, { status: 'waiting', interrupts: [{ id: 'q', value: 'why?' }] });
  await queue.cancel('unwanted', 'not needed');
  return ids;
}

/** A task, its history and its log as its users see them; versions count writes and may differ. */
async function seen(queue: StoredTaskQueue, ids: readonly string[]) {
  return Promise.all(
    ids.map(async (id) => {
      const task = await queue.getTask(id);
      return [task && { ...task, version: 0 }, await queue.history(id), await queue.log(id, 0, 100)];
    }),
  );
}

test('a queue is moved as it stands: every task with its history, and goes on in the new place', async () => {
  const clock = new FakeClock();
  await using source = open('old', { clock, owner: 'w' });
  await using target = open('new', { clock, owner: 'w' });
  const ids = await fill(source);
  const before = await seen(source, ids);
  const counts = (await source.stats()).counts;

  expect(await source.moveTo(target)).toEqual({ moved: 10, present: 0, conflicts: [] });
  expect(await seen(target, ids)).toEqual(before);
  expect((await target.stats()).counts).toEqual(counts);

  // The next claims are what they would have been, and fences go on rising.
  await clock.advance(60_000);
  const next = await target.dequeueMany(10, {}, { start: true });
  expect(next.map(({ id }) => id)).toEqual(['retrying', 'delayed', 'plain', 'parent']);
  expect(next[0]?.lease?.fence).toBe(2);
  await target.settle(next[3]!, { status: 'completed' });
  expect(await target.dequeue()).toMatchObject({ id: 'child' });
  expect(await source.dequeueMany(10)).toEqual([]);
});

test('a move that was cut off at any step is repeated, with the same end', async () => {
  const clock = new FakeClock();
  await using source = open('old', { clock, owner: 'w' });
  const ids = await fill(source);
  const before = await seen(source, ids);
  for (let steps = 1; ; steps++) {
    const store = new MemoryTaskStore();
    await using cut = new StoredTaskQueue(failingAfter(steps, store), { clock, owner: 'w' });
    const isCut = await source.moveTo(cut).then(
      () => false,
      () => true,
    );
    await using target = new StoredTaskQueue(store, { clock, owner: 'w' });
    await source.moveTo(target);
    expect(await seen(target, ids)).toEqual(before);
    if (!isCut) {
      expect(steps).toBeGreaterThan(10);
      return;
    }
  }
});

test('a task that was moved, and purged there, is not moved again; a foreign task of the same id is left alone', async () => {
  const clock = new FakeClock();
  await using source = open('old', { clock });
  await using target = open('new', { clock, retentionMs: 1_000 });
  await source.enqueueMany([
    { id: 'a', payload: {} },
    { id: 'b', payload: {} },
  ]);
  await target.enqueue({ id: 'b', payload: { mine: true } });
  expect(await source.moveTo(target)).toMatchObject({ moved: 1, conflicts: ['b'] });
  await target.cancel('a');
  await clock.advance(20_000);
  expect(await target.getTask('a')).toBeNull();
  await source.enqueue({ id: 'c', payload: {} });
  expect(await source.moveTo(target)).toMatchObject({ moved: 1, present: 0 });
  expect(await target.getTask('a')).toBeNull();
  expect((await target.getTask('b'))?.payload).toEqual({ mine: true });
});

test('a move waits for what runs, and says so when that takes too long', async () => {
  await using source = open('old');
  await using target = open('new');
  await source.enqueue({ id: 'a', payload: {} });
  const task = await source.dequeue({}, { start: true });
  await expect(source.moveTo(target, { drainMs: 1 })).rejects.toMatchObject({ code: 'TIMEOUT' });
  expect(await target.getTask('a')).toBeNull();
  const moving = source.moveTo(target);
  await source.settle(task!, { status: 'completed', result: 1 });
  expect(await moving).toMatchObject({ moved: 1 });
  expect(await target.getTask('a')).toMatchObject({ status: 'completed', result: 1 });
});

test('submissions that still come to the old queue follow until told to stop', async () => {
  await using source = open('old');
  await using target = open('new');
  await source.enqueue({ id: 'a', payload: {} });
  const stop = new AbortController();
  const moving = source.moveTo(target, { follow: stop.signal });
  await source.enqueue({ id: 'late', payload: {}, dependsOn: ['a'] });
  const worker = (async () => {
    for (const id of ['a', 'late']) {
      let task: Task | null = null;
      while (task === null) {
        await new Promise<void>((resolve) => {
          const off = target.on('available', () => {
            off();
            resolve();
          });
          void target.dequeue({ ids: [id] }).then((claimed) => {
            task ??= claimed;
            if (claimed) resolve();
          });
        });
      }
      await target.settle(task, { status: 'completed' });
    }
  })();
  await worker;
  stop.abort();
  expect(await moving).toMatchObject({ moved: 2 });
});

test('a graph that waits for an answer goes on with its checkpoints in the new place', async () => {
  await using source = open('old');
  await using target = open('new');
  const log: string[] = [];
  const agents = { ask: twoQuestions(log) };
  const old = new Conductor({ agents, queue: source });
  const id = await old.enqueueGoal('go');
  await old.processQueue({ untilEmpty: true });
  const [name] = (await source.getTask(id))!.interrupts!;
  await old.answer(id, name!.id, 'Ada');
  await old.processQueue({ untilEmpty: true });
  await source.moveTo(target);

  const conductor = new Conductor({ agents, queue: target });
  const [colour] = (await target.getTask(id))!.interrupts!;
  expect(colour?.value).toBe('colour?');
  await conductor.answer(id, colour!.id, 'blue');
  await conductor.processQueue({ untilEmpty: true });
  expect(await conductor.result(id)).toMatchObject({ answer: 'Ada likes blue' });
});

test('submissions of the same ids to the new queue, meanwhile, keep nothing else from being moved', async () => {
  await using source = open('old');
  const store = new MemoryTaskStore();
  await using other = new StoredTaskQueue(store);
  await using target = new StoredTaskQueue(
    beforeInsert(store, async (round) => {
      if (round === 0) await other.enqueue({ id: 'again', payload: {} });
      if (round === 1) await other.enqueue({ id: 'foreign', payload: { mine: true } });
    }),
  );
  await source.enqueueMany(['a', 'again', 'foreign', 'b'].map((id) => ({ id, payload: {} })));
  expect(await source.moveTo(target)).toEqual({ moved: 2, present: 1, conflicts: ['foreign'] });
  expect((await target.listTasks()).tasks.map(({ id }) => id).sort()).toEqual(['a', 'again', 'b', 'foreign']);
});

test('what depends on a task that could not be moved, or is gone, stays with it; the rest is moved', async () => {
  const path = join(folder, 'old.db');
  await using source = open('old');
  await using target = open('new');
  await target.enqueue({ id: 'taken', payload: { mine: true } });
  await source.enqueueMany([
    { id: 'grandchild', payload: {}, dependsOn: ['child'] },
    { id: 'child', payload: {}, dependsOn: ['taken'] },
    { id: 'taken', payload: {} },
    { id: 'lost', payload: {} },
    { id: 'orphan', payload: {}, dependsOn: ['lost'] },
    { id: 'good', payload: {} },
    { id: 'empty', payload: {} },
    { id: 'broken', payload: {} },
  ]);
  const file = new Database(path);
  file.exec(`DELETE FROM tasks WHERE id = 'lost'; UPDATE tasks SET submission = '' WHERE id = 'empty';
    UPDATE tasks SET submission = '{', hash = '' WHERE id = 'broken'`);
  file.close();
  const report = await source.moveTo(target);
  expect({ ...report, conflicts: [...report.conflicts].sort() }).toEqual({
    moved: 3,
    present: 0,
    conflicts: ['child', 'grandchild', 'orphan', 'taken'],
  });
  // Damage comes along, and is found where the task is claimed.
  expect((await target.dequeueMany(10)).map(({ id }) => id).sort()).toEqual(['good', 'taken']);
  expect(await target.getTask('broken')).toMatchObject({
    status: 'failed',
    error: { code: 'STORE_CORRUPT' },
  });
  expect(await target.getTask('empty')).toMatchObject({ status: 'failed', error: { code: 'STORE_CORRUPT' } });
});

test('what was submitted before a following move is told to stop goes along', async () => {
  await using source = open('old');
  const store = new MemoryTaskStore();
  const stop = new AbortController();
  await using target = new StoredTaskQueue(
    beforeInsert(store, async () => {
      if (stop.signal.aborted) return;
      await source.enqueue({ id: 'last', payload: {} });
      stop.abort();
    }),
  );
  await source.enqueue({ id: 'first', payload: {} });
  await source.moveTo(target, { follow: stop.signal });
  expect(await target.getTask('last')).not.toBeNull();
});

test('what a move had brought before it was cut off, and was purged there, is not moved again', async () => {
  const clock = new FakeClock();
  await using source = open('old', { clock });
  const store = new MemoryTaskStore();
  // A dependency that was submitted after its dependent comes along early.
  await source.enqueueMany([
    { id: 'dependent', payload: {}, dependsOn: ['t599'] },
    ...Array.from({ length: 600 }, (_, n) => ({ id: `t${n}`, payload: {} })),
  ]);
  await using cut = new StoredTaskQueue(
    beforeInsert(store, async (round) => {
      if (round === 1) throw new Error('cut');
    }),
    { clock },
  );
  await expect(source.moveTo(cut)).rejects.toThrow('cut');
  await using target = new StoredTaskQueue(store, { clock, retentionMs: 1_000 });
  await target.cancel('t0');
  await clock.advance(20_000);
  expect(await target.getTask('t0')).toBeNull();
  expect(await source.moveTo(target)).toMatchObject({ moved: 100, present: 1 });
  expect(await target.getTask('t0')).toBeNull();
});

test('a queue whose tasks came from another one is not moved back over them', async () => {
  await using source = open('old');
  await using target = open('new');
  await source.enqueue({ id: 'a', payload: {} });
  await source.moveTo(target);
  await target.cancel('a');
  await expect(target.moveTo(source)).rejects.toMatchObject({ code: 'QUEUE_MOVED' });
  expect((await target.stats()).paused).toBe(false);
});

test('a file put back from a backup, which went on since, is moved with its new tasks', async () => {
  await using target = open('new');
  await using source = open('old');
  await source.enqueue({ id: 'a', payload: {} });
  await source.moveTo(target);
  await source.backup(join(folder, 'backup.db'));
  await source.enqueue({ id: 'b', payload: {} });
  await source.moveTo(target);

  await using restored = open('backup');
  await restored.enqueue({ id: 'c', payload: {} });
  expect(await restored.moveTo(target)).toEqual({ moved: 1, present: 0, conflicts: [] });
  expect(await target.getTask('c')).toMatchObject({ status: 'pending' });
});

test('a move that was cut off at any write to a registry is repeated, with the same end', async () => {
  const clock = new FakeClock();
  const plan = ['part a', 'part b'].map((value, n) => ({ key: `${n}`, value, expiresAt: null }));
  const schedule = (isPaused: boolean) => JSON.stringify({ rule: { everyMs: 1_000 }, isPaused });
  for (let steps = 0; ; steps++) {
    const stores = [new MemoryTaskStore(), new MemoryTaskStore()] as const;
    const [from, to] = stores;
    for (const part of plan) await from.registry.put('workflow:w', part, 0);
    await from.registry.put('schedules', { key: 'runs', value: schedule(false), expiresAt: null }, 0);
    await from.registry.put('schedules', { key: 'paused', value: schedule(true), expiresAt: null }, 0);
    await from.registry.put('schedules', { key: 'removed', value: 'null', expiresAt: null }, 0);
    await from.registry.put('schedules', { key: 'damaged', value: '{', expiresAt: null }, 0);
    await from.registry.put('experience', { key: 'worker', value: '[]', expiresAt: 9e12 }, 0);
    const isCut = await (async () => {
      let left = steps;
      const isLeft = () => left-- > 0;
      await using source = new StoredTaskQueue(cutRegistry(from, isLeft), { clock });
      await using target = new StoredTaskQueue(cutRegistry(to, isLeft), { clock });
      await source.enqueue({ id: 'w:a', payload: {}, metadata: { workflow: { id: 'w' } } });
      await source.pause({ agentType: 'x' });
      return source.moveTo(target).then(
        () => false,
        () => true,
      );
    })();
    await using source = new StoredTaskQueue(from, { clock });
    await using target = new StoredTaskQueue(to, { clock });
    await source.moveTo(target);
    const entries = async (store: TaskStore, section: string) =>
      (await store.registry.entries(section, 0)).map(({ key, value }) => [key, value]);
    expect(await entries(to, 'workflow:w')).toEqual(plan.map(({ key, value }) => [key, value]));
    expect(await entries(to, 'schedules')).toEqual([
      ['paused', schedule(true)],
      ['runs', schedule(false)],
    ]);
    expect(await entries(from, 'schedules')).toEqual([
      ['damaged', '{'],
      ['paused', schedule(true)],
      ['removed', 'null'],
      ['runs', schedule(true)],
    ]);
    expect(await entries(to, 'experience')).toEqual([['worker', '[]']]);
    expect(await to.gates(['@type:x'])).toMatchObject([{ isPaused: true }]);
    expect(await target.getTask('w:a')).toMatchObject({ status: 'pending' });
    if (!isCut) {
      expect(steps).toBeGreaterThan(8);
      return;
    }
  }
});

test('a plan that is written after its tasks have gone follows them, and one that is another there is left alone', async () => {
  const [from, to] = [new MemoryTaskStore(), new MemoryTaskStore()];
  await using source = new StoredTaskQueue(from);
  await using target = new StoredTaskQueue(to);
  const put = (store: TaskStore, id: string, value: string) =>
    store.registry.put(`workflow:${id}`, { key: '0', value, expiresAt: null }, 0);
  await source.enqueueMany(
    ['late', 'other'].map((id) => ({ id, payload: {}, metadata: { workflow: { id } } })),
  );
  await put(from, 'other', 'of the old one');
  await put(to, 'other', 'of the new one');
  const stop = new AbortController();
  const moving = source.moveTo(target, { follow: stop.signal });
  while ((await target.getTask('late')) === null) await new Promise((resolve) => setImmediate(resolve));
  await put(from, 'late', 'plan');
  stop.abort();
  await moving;
  const values = async (id: string) =>
    (await to.registry.entries(`workflow:${id}`, 0)).map((one) => one.value);
  expect(await values('late')).toEqual(['plan']);
  expect(await values('other')).toEqual(['of the new one']);
});

/** A store whose process ends when the registry is written and no write is left. */
function cutRegistry(store: TaskStore, isLeft: () => boolean): TaskStore {
  const { registry } = store;
  const cut: typeof registry = {
    put: async (...values) => {
      if (isLeft()) return registry.put(...values);
      throw new Error('cut');
    },
    remove: (...values) => registry.remove(...values),
    entries: (...values) => registry.entries(...values),
  };
  return new Proxy(store, {
    get(target, name) {
      if (name === 'registry') return cut;
      if (name === 'close') return async () => {};
      const value = Reflect.get(target, name, target);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
}

/** A store in which something happens right before it inserts. */
function beforeInsert(store: TaskStore, happen: (round: number) => Promise<void>): TaskStore {
  let rounds = 0;
  return new Proxy(store, {
    get(target, name) {
      const value = Reflect.get(target, name, target);
      if (typeof value !== 'function') return value;
      if (name !== 'insert') return value.bind(target);
      return async (...values: unknown[]) => {
        await happen(rounds++);
        return value.apply(target, values);
      };
    },
  });
}

/** A store whose process ends after so many records were written; each write counts by its records. */
function failingAfter(steps: number, store: TaskStore): TaskStore {
  let left = steps;
  return new Proxy(store, {
    get(target, name) {
      const value = Reflect.get(target, name, target);
      if (typeof value !== 'function') return value;
      return (...values: unknown[]) => {
        if (name !== 'insert' && name !== 'apply') return value.apply(target, values);
        const records = values[0] as unknown[];
        const written = name === 'apply' ? records.slice(0, left) : left > 0 ? records : [];
        left -= name === 'apply' ? records.length : 1;
        const done = value.call(target, written, values[1]) as Promise<unknown>;
        return left < 0 ? done.then(() => Promise.reject(new Error('cut'))) : done;
      };
    },
  });
}
