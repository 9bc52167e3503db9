import { isDeepStrictEqual } from 'node:util';
import { InvalidOptionError } from '../errors.ts';
import { LIST_TASKS_MAX } from './bounds.ts';
import { checkNames, requireObject } from './requests.ts';
import { TASK_STATUSES, type Task, type TaskStatus } from './task.ts';
import type { ListTasksQuery, TaskPage } from './task-queue.ts';
import type { ListPage, TaskRecord, TaskStore } from './task-store.ts';

const LIMIT_DEFAULT = 100;
const QUERY_FIELDS = ['status', 'agentType', 'metadata', 'createdAfter', 'cursor', 'limit'];

/** One page of tasks in the order they came. Metadata is matched here: stores do not look into user JSON. */
export async function listTasks(
  store: TaskStore,
  query: ListTasksQuery,
  view: (record: TaskRecord) => Task,
): Promise<TaskPage> {
  requireObject(query, 'query');
  const { limit = LIMIT_DEFAULT, metadata, createdAfter, cursor } = query;
  if (!Number.isInteger(limit) || limit < 1 || limit > LIST_TASKS_MAX) {
    throw new InvalidOptionError('limit', `a whole number from 1 to ${LIST_TASKS_MAX}`, limit);
  }
  const unknown = Object.keys(query).find((key) => !QUERY_FIELDS.includes(key));
  if (unknown !== undefined)
    throw new InvalidOptionError(`query.${unknown}`, `one of ${QUERY_FIELDS.join(', ')}`, 'an unknown field');
  checkNames(query.agentType, 'agentType');
  if (createdAfter !== undefined && !Number.isFinite(createdAfter))
    throw new InvalidOptionError('createdAfter', 'a time in ms since the epoch', createdAfter);
  const filter = {
    statuses: statusesOf(query.status),
    agentTypes: query.agentType === undefined ? null : [query.agentType].flat(),
    createdAfter: createdAfter ?? null,
  };
  const tasks: Task[] = [];
  let after: number | null = cursorToSeq(cursor);
  while (after !== null && tasks.length < limit) {
    const room = limit - tasks.length;
    // What is looked for may be rare: large pages then, of which a part is used.
    const pageLimit = metadata === undefined ? room : LIST_TASKS_MAX;
    const page: ListPage = await store.list({ ...filter, after, limit: pageLimit });
    const found = page.records
      .map((record) => ({ task: view(record), seq: record.seq }))
      .filter(({ task }) => hasMetadata(task, metadata));
    for (const { task } of found.slice(0, room)) tasks.push(task);
    after = found.length > room ? found[room - 1]!.seq : page.next;
  }
  return { tasks, ...(after !== null && tasks.length > 0 && { cursor: String(after) }) };
}

function hasMetadata(task: Task, wanted: ListTasksQuery['metadata']): boolean {
  return Object.entries(wanted ?? {}).every(
    ([key, value]) => Object.hasOwn(task.metadata, key) && isDeepStrictEqual(task.metadata[key], value),
  );
}

function statusesOf(status: ListTasksQuery['status']): readonly TaskStatus[] | null {
  if (status === undefined) return null;
  checkNames(status, 'status');
  const statuses: readonly TaskStatus[] = typeof status === 'string' ? [status] : status;
  const unknown = statuses.find((name) => !TASK_STATUSES.includes(name));
  if (unknown !== undefined) throw new InvalidOptionError('status', TASK_STATUSES.join(', '), unknown);
  return statuses;
}

function cursorToSeq(cursor: string | undefined): number {
  if (cursor === undefined) return 0;
  const seq = Number(cursor);
  if (typeof cursor !== 'string' || !/^\d{1,16}$/.test(cursor) || !Number.isSafeInteger(seq)) {
    throw new InvalidOptionError('cursor', 'a cursor that listTasks() returned', String(cursor).slice(0, 32));
  }
  return seq;
}
