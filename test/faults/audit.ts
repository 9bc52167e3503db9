import Database from 'better-sqlite3';
import { expect } from 'vitest';
import { SQLiteTaskQueue, type StoredTaskQueue } from '../../src/queue/index.ts';
import { isEnded, type Task, type TaskEvent } from '../../src/queue/task.ts';
import type { Stage } from './stage.ts';

/** What the file says once everything is quiet. */
export interface Audit {
  readonly tasks: ReadonlyMap<string, Task>;
  readonly histories: ReadonlyMap<string, readonly TaskEvent[]>;
}

/** Opens the file after the storm: it is whole, and each task has exactly one ending per life. */
export async function audit(path: string): Promise<Audit> {
  expectWhole(path);
  const queue = new SQLiteTaskQueue({ path });
  try {
    return await auditQueue(queue);
  } finally {
    await queue.close();
  }
}

/** The same of any queue. */
export async function auditQueue(queue: StoredTaskQueue): Promise<Audit> {
  const tasks = await allTasks(queue);
  const histories = new Map<string, TaskEvent[]>();
  for (const id of tasks.keys()) histories.set(id, await queue.history(id));
  for (const task of tasks.values()) expectOneEndingPerLife(task, histories.get(task.id) ?? []);
  return { tasks, histories };
}

/** SQLite's own opinion, through a connection that knows nothing of us. */
export function expectWhole(path: string): void {
  const database = new Database(path, { readonly: true, fileMustExist: true });
  try {
    expect(database.pragma('integrity_check', { simple: true })).toBe('ok');
  } finally {
    database.close();
  }
}

export async function allTasks(queue: StoredTaskQueue): Promise<Map<string, Task>> {
  const tasks = new Map<string, Task>();
  let cursor: string | undefined;
  do {
    const page = await queue.listTasks({ limit: 1_000, ...(cursor === undefined ? {} : { cursor }) });
    for (const task of page.tasks) tasks.set(task.id, task);
    cursor = page.cursor;
  } while (cursor !== undefined);
  return tasks;
}

/** A life begins with the submission or a redrive; its ending is the last of its events, and there is no second one. */
function expectOneEndingPerLife(task: Task, history: readonly TaskEvent[]): void {
  const told = `${task.id}: ${history.map((event) => event.to).join(' → ')}`;
  expect(history.at(-1)?.to, told).toBe(task.status);
  for (const [index, event] of history.entries()) {
    expect(event.from, told).toBe(index === 0 ? null : history[index - 1]?.to);
    if (!isEnded(event.to) || index === history.length - 1) continue;
    // Only a redrive leads out of an ending.
    expect([event.to, history[index + 1]?.to], told).toEqual(['failed', 'pending']);
  }
}

/** No process met a busy database, an unhandled rejection or any other surprise. */
export function expectQuiet(stage: Stage): void {
  for (const child of stage.children) {
    expect(child.stderr, child.name).toBe('');
    expect(child.said('error'), child.name).toEqual([]);
  }
}

/** How often work began beyond once per task: the price of the kills. */
export function extraStarts(stage: Stage, node = 'run'): number {
  const starts = stage.log({ node, phase: 'start' });
  return starts.length - new Set(starts.map((line) => line.id)).size;
}

/** The part of a LangGraph saver that is read here. */
interface CheckpointReader {
  list(config: { configurable: { thread_id: string; checkpoint_ns?: string } }): AsyncIterable<{
    config: { configurable?: { checkpoint_ns?: string; checkpoint_id?: string } };
    parentConfig?: { configurable?: { checkpoint_id?: string } };
  }>;
}

/** The checkpoints of a thread, oldest first, without those of subgraphs: one line, in which each has the one before it as its parent. */
export async function lineage(queue: StoredTaskQueue, threadId: string): Promise<string[]> {
  const saver = (await queue.checkpointer()) as CheckpointReader;
  const ids: string[] = [];
  const parents: (string | undefined)[] = [];
  for await (const { config, parentConfig } of saver.list({
    configurable: { thread_id: threadId, checkpoint_ns: '' },
  })) {
    ids.unshift(config.configurable?.checkpoint_id ?? '');
    parents.unshift(parentConfig?.configurable?.checkpoint_id);
  }
  expect(parents, `the checkpoints of ${threadId} are one line`).toEqual(
    ids.length === 0 ? [] : [undefined, ...ids.slice(0, -1)],
  );
  return ids;
}

/** Everything a thread's saver tells of it, pending writes included. */
export async function checkpointsOf(queue: StoredTaskQueue, threadId: string): Promise<unknown[]> {
  const saver = (await queue.checkpointer()) as CheckpointReader;
  const tuples: unknown[] = [];
  for await (const tuple of saver.list({ configurable: { thread_id: threadId } })) tuples.push(tuple);
  expect(tuples.length, `checkpoints of ${threadId}`).toBeGreaterThan(0);
  return tuples;
}

/** Everything stored of a thread's checkpoints, pending writes included, as the file has it. */
export function checkpointRows(path: string, threadId: string): unknown[] {
  const database = new Database(path, { readonly: true });
  try {
    return threadTables(database).flatMap((table) =>
      database.prepare(`SELECT * FROM "${table}" WHERE thread_id = ?`).all(threadId),
    );
  } finally {
    database.close();
  }
}

/** The threads of which anything is left, in any table that has them. */
export function threadsIn(path: string): Set<string> {
  const database = new Database(path, { readonly: true });
  try {
    const threads = threadTables(database).map((table) =>
      database.prepare(`SELECT DISTINCT thread_id FROM "${table}"`).pluck().all(),
    );
    return new Set(threads.flat() as string[]);
  } finally {
    database.close();
  }
}

function threadTables(database: Database.Database): string[] {
  const tables = database.prepare(
    "SELECT m.name FROM sqlite_schema m JOIN pragma_table_info(m.name) c ON c.name = 'thread_id' WHERE m.type = 'table'",
  );
  const names = tables.pluck().all() as string[];
  expect(names.length, 'tables of checkpoints').toBeGreaterThan(0);
  return names;
}
