import { TASK_STATUSES, type TaskEvent, type TaskStatus } from './task.ts';
import { HISTORY_EVENTS_MAX } from './task-store.ts';

/** One letter per status; '-' stands for null. */
const LETTERS: Readonly<Record<TaskStatus, string>> = {
  pending: 'p',
  assigned: 'a',
  in_progress: 'i',
  waiting: 'w',
  retrying: 'r',
  completed: 'c',
  failed: 'f',
  cancelled: 'x',
  skipped: 's',
};
const STATUSES = new Map<string, TaskStatus>(TASK_STATUSES.map((status) => [LETTERS[status], status]));
const LINE = /^([a-z-])([a-z])(-?\d+)(.*)$/;

export type EventFacts = Omit<TaskEvent, 'taskId' | 'seq'>;

/** One event as one line: `pi1732300000000["worker","reason"]`. JSON escapes line breaks, so a line is an event. */
export function historyLine({ from, to, at, worker, reason }: EventFacts): string {
  const head = `${from === null ? '-' : LETTERS[from]}${LETTERS[to]}${at}`;
  if (reason !== undefined) return `${head}${JSON.stringify([worker ?? null, reason])}\n`;
  return worker === undefined ? `${head}\n` : `${head}[${JSON.stringify(worker)}]\n`;
}

/**
 * The newest events of a task. Lines are numbered from the end, since the last one is event number `events`;
 * a history that lacks only its first event has the submission at `createdAt` as that. Damaged lines are left out.
 */
export function parseHistory(taskId: string, text: string, events: number, createdAt: number): TaskEvent[] {
  const lines = text.split('\n').slice(0, -1);
  const first = events - lines.length + 1;
  const parsed = lines.flatMap((line, i) => parseLine(taskId, first + i, line) ?? []);
  if (first === 2) parsed.unshift({ taskId, seq: 1, from: null, to: 'pending', at: createdAt });
  return parsed.slice(-HISTORY_EVENTS_MAX);
}

function parseLine(taskId: string, seq: number, line: string): TaskEvent | undefined {
  const [, fromLetter = '', toLetter = '', at, rest = ''] = LINE.exec(line) ?? [];
  const to = STATUSES.get(toLetter);
  if (to === undefined) return undefined;
  const [worker, reason] = parseNames(rest);
  return {
    taskId,
    seq,
    from: STATUSES.get(fromLetter) ?? null,
    to,
    at: Number(at),
    ...(typeof worker === 'string' && { worker }),
    ...(typeof reason === 'string' && { reason }),
  };
}

function parseNames(text: string): unknown[] {
  if (text === '') return [];
  try {
    const names: unknown = JSON.parse(text);
    return Array.isArray(names) ? names : [];
  } catch {
    return [];
  }
}
