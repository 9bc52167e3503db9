import { isEnded, type Task, type TaskEvent } from '../queue/task.ts';
import type { TaskQueue } from '../queue/task-queue.ts';
import { Draws, seedOf } from './draws.ts';

const PAGE_TASKS = 1_000;
/** Histories that are read at a time. */
const READS = 100;

/** One run of a task, as its history has it. */
export interface RecordedRun {
  /** Known of a task's last run, and of those before it that failed, as far as the task still tells of them. */
  readonly agent: string | undefined;
  readonly worker: string;
  readonly from: number;
  readonly ms: number;
  readonly isSuccess: boolean;
  /** From when it could have run; known as its agent is. */
  readonly dueAt?: number | undefined;
  /** As `Task.turns`; known as its agent is. */
  readonly turns?: readonly number[] | undefined;
  /** When the task was next taken, to be run again. */
  readonly againAt?: number | undefined;
}

interface RecordedClaim {
  readonly worker: string;
  readonly at: number;
  readonly endedAt?: number | undefined;
}

export interface RecordedTask {
  readonly task: Task;
  readonly runs: readonly RecordedRun[];
  /** When it was taken by whom, also where nobody had time for it. */
  readonly claims: readonly RecordedClaim[];
  /** When somebody cancelled it; absent where nobody did. */
  readonly cancelledAt?: number | undefined;
}

/** The ended tasks of a queue with their runs, in the order they came. */
export async function recordedTasks(
  queue: TaskQueue,
  since: number,
  tasksMax: number,
): Promise<RecordedTask[]> {
  const found: Task[] = [];
  let cursor: string | undefined;
  do {
    const page = await queue.listTasks({
      createdAfter: since,
      limit: PAGE_TASKS,
      ...(cursor !== undefined && { cursor }),
    });
    found.push(...page.tasks.filter(({ status }) => isEnded(status) && status !== 'skipped'));
    cursor = page.cursor;
  } while (cursor !== undefined && found.length < tasksMax);
  const recorded: RecordedTask[] = [];
  for (let i = 0; i < Math.min(found.length, tasksMax); i += READS) {
    const some = found.slice(i, Math.min(i + READS, tasksMax));
    const histories = await Promise.all(some.map(({ id }) => queue.history(id)));
    some.forEach((task, k) => {
      recorded.push(recordedTask(task, histories[k]!));
    });
  }
  return recorded;
}

function recordedTask(task: Task, history: readonly TaskEvent[]): RecordedTask {
  const runs: RecordedRun[] = [];
  const claims: RecordedClaim[] = [];
  let began: TaskEvent | undefined;
  for (const event of history) {
    if (event.to === 'in_progress') {
      began = event;
      claims.push({ worker: event.worker ?? '', at: event.at });
      const before = runs.at(-1);
      if (before?.againAt === undefined && before) runs[runs.length - 1] = { ...before, againAt: event.at };
    } else if (began !== undefined && event.from === 'in_progress') {
      const claim = claims.pop()!;
      // What was claimed ahead, and not begun, took nobody's place.
      if (!event.reason?.startsWith('handed back')) claims.push({ ...claim, endedAt: event.at });
      const ms = Math.max(0, event.at - began.at);
      const isSuccess = event.to === 'completed' || event.to === 'waiting';
      // What was handed back uncharged is no run: it is made again.
      const isRun = isSuccess || event.to === 'failed' || event.to === 'retrying';
      if (isRun) runs.push({ agent: undefined, worker: began.worker ?? '', from: began.at, ms, isSuccess });
      began = undefined;
    }
  }
  for (const [i, run] of runs.entries()) {
    const { agent, dueAt, turns } = task.failures?.find(({ attempt }) => attempt === i + 1) ?? {};
    runs[i] = { ...run, agent, dueAt, turns };
  }
  const last = runs.at(-1);
  const { assignedAgent: agent, runAt: dueAt, turns } = task;
  if (last !== undefined) runs[runs.length - 1] = { ...last, agent, dueAt, turns };
  const end = history.at(-1);
  return { task, runs, claims, ...(task.status === 'cancelled' && end && { cancelledAt: end.at }) };
}

/** How a run goes that was never made: as one that the agent did make on the type, drawn by the task and attempt. */
export class LikelyRuns {
  readonly #runs = new Map<string, RecordedRun[]>();

  constructor(tasks: readonly RecordedTask[]) {
    for (const { task, runs } of tasks) {
      for (const run of runs) {
        for (const key of [`${run.agent}|${task.agentType}`, `${run.agent}|`, `|${task.agentType}`, '|']) {
          const known = this.#runs.get(key);
          if (known === undefined) this.#runs.set(key, [run]);
          else known.push(run);
        }
      }
    }
  }

  /** The agent's on the type; else the agent's, the type's, anybody's. */
  of(agent: string, agentType: string | undefined, id: string, attempt: number): RecordedRun | undefined {
    const keys = [`${agent}|${agentType}`, `${agent}|`, `|${agentType}`, '|'];
    const runs = keys.map((key) => this.#runs.get(key)).find((known) => known !== undefined);
    const draws = new Draws(seedOf(`${id}#${attempt}@${agent}`));
    return runs?.[Math.floor(draws.uniform() * runs.length)];
  }
}

/** One by one, but for those of a moment that depend on one another, whatever their order. */
export function batchesOf(tasks: readonly RecordedTask[]): RecordedTask[][] {
  return [...grouped(tasks, ({ task }) => task.createdAt).values()].flatMap((together) => {
    const places = new Map(together.map(({ task }, i) => [task.id, i]));
    const isAhead = ({ task }: RecordedTask, i: number) =>
      task.dependsOn.some(({ id }) => (places.get(id) ?? 0) > i);
    return together.some(isAhead) ? [together] : together.map((task) => [task]);
  });
}

export function grouped<T, K>(items: Iterable<T>, keyOf: (item: T) => K): Map<K, T[]> {
  const groups = new Map<K, T[]>();
  for (const item of items) {
    const key = keyOf(item);
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [item]);
    else group.push(item);
  }
  return groups;
}
