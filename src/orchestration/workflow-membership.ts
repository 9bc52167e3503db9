import { TooLargeError } from '../errors.ts';
import type { JsonObject, JsonValue } from '../json.ts';
import { readTasks } from '../queue/batch.ts';
import type { Task } from '../queue/task.ts';
import type { TaskQueue } from '../queue/task-queue.ts';

/** All results that one run is given, as JSON text. Larger ones belong where a result can name them. */
export const DEPENDENCY_RESULTS_BYTES_MAX = 16 * 1024 * 1024;

/** So many results are read at a time, before it is looked whether they are too much. */
const READ_RESULTS = 20;

/** Which task of which workflow a task is; it stands in `metadata.workflow`. */
export interface WorkflowMembership {
  /** Of the submitted workflow. */
  readonly id: string;
  readonly name: string;
  readonly ref: string;
  /** The input of the workflow as a whole. */
  readonly input?: JsonObject;
}

/** What a run of a task of a workflow gets beside its own input. */
export interface GivenByWorkflow {
  readonly workflow: WorkflowMembership;
  readonly results: Readonly<Record<string, JsonValue>>;
}

/** As it is stored. */
export interface StoredMembership extends WorkflowMembership {
  /** The same for all tasks of a workflow and another with other refs: a changed workflow is refused under its old id. */
  readonly refs: string;
}

export function taskIdOf(workflowId: string, ref: string, generation = 1): string {
  return generation === 1 ? `${workflowId}:${ref}` : `${workflowId}:${ref}:${generation}`;
}

/** undefined for a task that was not submitted with a workflow. */
export function membershipOf({
  id,
  metadata,
}: Pick<Task, 'id' | 'metadata'>): WorkflowMembership | undefined {
  const stored = metadata.workflow as Partial<StoredMembership> | undefined;
  if (typeof stored !== 'object' || stored === null) return undefined;
  const { id: workflowId, name, ref, input } = stored;
  if (typeof workflowId !== 'string' || typeof ref !== 'string' || typeof name !== 'string') return undefined;
  // Metadata may say anything; the id was given by `submit`.
  if (!`${id}:`.startsWith(`${taskIdOf(workflowId, ref)}:`)) return undefined;
  return { id: workflowId, name, ref, ...(input !== undefined && { input }) };
}

/** @throws TooLargeError naming the ref whose result was too much. */
export async function givenByWorkflow(
  queue: TaskQueue,
  task: Task,
  workflow: WorkflowMembership,
): Promise<GivenByWorkflow> {
  return { workflow, results: await dependencyResults(queue, task, workflow) };
}

/** The results of the dependencies that have completed, by ref. */
async function dependencyResults(
  queue: TaskQueue,
  { dependsOn }: Pick<Task, 'dependsOn'>,
  { id }: WorkflowMembership,
): Promise<Record<string, JsonValue>> {
  const results: Record<string, JsonValue> = {};
  let bytes = 0;
  const ids = [...new Set(dependsOn.map((dependency) => dependency.id))];
  for (let from = 0; from < ids.length; from += READ_RESULTS) {
    for (const task of await readTasks(queue, ids.slice(from, from + READ_RESULTS))) {
      if (task?.status !== 'completed') continue;
      const ref = task.id.slice(id.length + 1).split(':')[0] ?? '';
      results[ref] = task.result ?? null;
      bytes += Buffer.byteLength(JSON.stringify(results[ref]));
      if (bytes > DEPENDENCY_RESULTS_BYTES_MAX) throw tooLarge(ref, bytes);
    }
  }
  return results;
}

function tooLarge(ref: string, bytes: number): TooLargeError {
  const bound = DEPENDENCY_RESULTS_BYTES_MAX;
  return new TooLargeError(`results.${ref}`, 'DEPENDENCY_RESULTS_BYTES_MAX', bound, bytes, 'bytes of JSON');
}
