import { createHash } from 'node:crypto';
import type { Conductor } from 'jotty';
import type { Task, TaskQueue } from 'jotty/queue';
import type { Gathered } from './analysis.ts';
import type { Inspection } from './inspection.ts';
import type { Options } from './options.ts';
import type { RunRecord } from './report.ts';
import type { Survey } from './survey.ts';
import type { Archive, Written } from './writer.ts';

/**
 * A run: one survey goal, one goal per folder, one goal to write.
 *
 * The ids of all tasks follow from the root, the number of the run and the folder. Whoever starts again, or
 * starts twice, therefore submits the same tasks again, and the queue keeps those it has. There is no other
 * record of a run than its tasks.
 */
export interface Run {
  readonly id: string;
  readonly number: number;
  readonly root: string;
  readonly out: string;
  readonly startedAt: number;
}

export const surveyId = (run: string): string => `${run}:survey`;
export const writeId = (run: string): string => `${run}:write`;
const inspectId = (run: string, folder: string): string =>
  `${run}:inspect:${createHash('sha256').update(folder).digest('hex').slice(0, 16)}`;

/** The unfinished run of this root, if there is one; `fresh` gives it up. Else a new one, durably begun. */
export async function beginOrContinue(
  conductor: Conductor,
  options: Options,
): Promise<{ run: Run; continued: boolean }> {
  const last = await lastRun(conductor.queue, options.root);
  if (last !== null && options.fresh) await giveUp(conductor.queue, last.run);
  if (last !== null && !options.fresh && !last.finished) return { run: last.run, continued: true };
  const number = (last?.run.number ?? 0) + 1;
  const id = `${options.slug}-${number}`;
  try {
    await conductor.enqueueGoal(`Survey ${options.root}`, {
      id: surveyId(id),
      agentType: 'surveyor',
      priority: 10,
      maxRetries: 1,
      input: { root: options.root },
      metadata: { root: options.root, out: options.out, number, run: id },
    });
  } catch (error) {
    // Another process began this run a moment ago, with another --out: go along with it.
    if ((error as { code?: string }).code !== 'DUPLICATE_TASK') throw error;
  }
  const begun = runOf((await conductor.queue.getTask(surveyId(id))) as Task);
  return { run: begun, continued: false };
}

/** Enqueues a goal for each folder and the writing, all in one step. Doing it twice changes nothing. */
export async function enqueueInspections(conductor: Conductor, run: Run, survey: Survey): Promise<void> {
  const inspections = survey.folders.map(({ path, files, priority }) => ({
    goal: `Inspect ${path} of ${survey.root}`,
    id: inspectId(run.id, path),
    agentType: 'inspector',
    priority,
    dependsOn: [surveyId(run.id)],
    maxRetries: 2,
    input: { root: survey.root, folder: path, names: [...files] },
    metadata: { run: run.id, folder: path, files: files.length },
  }));
  const writing = {
    goal: `Write the report on ${survey.root}`,
    id: writeId(run.id),
    agentType: 'writer',
    priority: 10,
    // An inspection that failed for good does not stop the report: it says what is missing.
    dependsOn: inspections.map(({ id }) => ({ id, on: 'completion' as const })),
    input: { run: run.id, out: run.out },
    metadata: { run: run.id, root: run.root },
  };
  await conductor.enqueueGoals([...inspections, writing]);
}

/** All that the inspectors found, read back from the queue. */
export function archiveIn(queue: TaskQueue): Archive {
  return {
    async gather(id): Promise<Gathered & { record: RunRecord }> {
      const surveyed = await queue.getTask(surveyId(id));
      if (surveyed?.result === undefined)
        throw new Error(`the survey of ${id} is gone; begin again with --fresh`);
      const survey = surveyed.result as unknown as Survey;
      const tasks = await Promise.all(survey.folders.map(({ path }) => queue.getTask(inspectId(id, path))));
      const done = tasks.filter((task) => task?.status === 'completed');
      return {
        survey,
        inspections: done.map((task) => task?.result as unknown as Inspection),
        missing: survey.folders.flatMap(({ path }, at) => missingOf(path, tasks[at] ?? null)),
        record: recordOf(id, surveyed, tasks),
      };
    },
  };
}

/** The result of a run that came to its end. */
export async function writtenBy(conductor: Conductor, run: Run): Promise<Written> {
  return (await conductor.result(writeId(run.id))) as unknown as Written;
}

function missingOf(folder: string, task: Task | null): Gathered['missing'] {
  if (task?.status === 'completed') return [];
  return [{ folder, reason: task?.error?.message ?? task?.status ?? 'its task is gone' }];
}

function recordOf(id: string, surveyed: Task, tasks: readonly (Task | null)[]): RunRecord {
  const all = [surveyed, ...tasks].filter((task) => task !== null);
  const crashes = all.reduce((sum, task) => sum + task.crashes, 0);
  return {
    id,
    startedAt: surveyed.createdAt,
    folders: tasks.length,
    crashes,
    extraStarts: crashes + all.reduce((sum, task) => sum + task.retryCount, 0),
  };
}

async function lastRun(queue: TaskQueue, root: string): Promise<{ run: Run; finished: boolean } | null> {
  let latest: Task | null = null;
  let cursor: string | undefined;
  do {
    const page = await queue.listTasks({
      agentType: 'surveyor',
      metadata: { root },
      ...(cursor === undefined ? {} : { cursor }),
    });
    for (const task of page.tasks) {
      if (latest === null || Number(task.metadata.number) > Number(latest.metadata.number)) latest = task;
    }
    cursor = page.cursor;
  } while (cursor !== undefined);
  if (latest === null) return null;
  const run = runOf(latest);
  const writing = await queue.getTask(writeId(run.id));
  const surveyLost = hasEnded(latest) && latest.status !== 'completed';
  return { run, finished: surveyLost || (writing !== null && hasEnded(writing)) };
}

function runOf({ metadata, createdAt }: Task): Run {
  const { run, number, root, out } = metadata;
  return {
    id: String(run),
    number: Number(number),
    root: String(root),
    out: String(out),
    startedAt: createdAt,
  };
}

const hasEnded = ({ status }: Task): boolean =>
  ['completed', 'failed', 'cancelled', 'skipped'].includes(status);

/** Cancels what is left of a run; what has ended stays as it is. */
async function giveUp(queue: TaskQueue, run: Run): Promise<void> {
  const survey = await queue.getTask(surveyId(run.id));
  const folders = (survey?.result as unknown as Survey | undefined)?.folders ?? [];
  // The writer goes first, or the end of its last inspection would set it off.
  const ids = [writeId(run.id), surveyId(run.id), ...folders.map(({ path }) => inspectId(run.id, path))];
  for (const id of ids)
    if ((await queue.getTask(id)) !== null) await queue.cancel(id, 'given up for a fresh run');
}
