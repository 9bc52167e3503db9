import { setImmediate as nextTurn } from 'node:timers/promises';
import {
  DependencyCycleError,
  DuplicateTaskError,
  InvalidTaskError,
  StoreUnavailableError,
  TooLargeError,
  UnknownDependencyError,
} from '../errors.ts';
import { boundJsonBytes } from '../json.ts';
import { BATCH_BYTES_MAX, BATCH_TASKS_MAX } from './bounds.ts';
import { edgeOn, findCycle } from './dependencies.ts';
import { isSameContent, type SubmissionRules, type SubmittedRecord, toRecord } from './submission.ts';
import type { NewTask } from './task.ts';
import {
  type Effects,
  type GateChange,
  type InsertOutcome,
  type NewRecord,
  NO_EFFECTS,
  type TaskStore,
} from './task-store.ts';

/** So many tasks are validated in one turn of the event loop: about 5 ms. */
const VALIDATE_SLICE_TASKS = 1_000;

/** Each round loses to another submitter of the same ids; more than a few in a row cannot be chance. */
const INSERT_ROUNDS_MAX = 20;

export interface Intake {
  /** What was stored now; the others were there already. */
  readonly inserted: readonly NewRecord[];
  readonly effects: Effects;
}

/** Validates a batch in slices, so that a large one never blocks the loop. Throws for the first bad task. */
export async function validateBatch(
  tasks: readonly NewTask[],
  now: number,
  rules: SubmissionRules,
): Promise<SubmittedRecord[]> {
  if (!Array.isArray(tasks)) throw new InvalidTaskError('tasks', 'expected a list of tasks');
  if (tasks.length > BATCH_TASKS_MAX) {
    throw new TooLargeError('tasks', 'BATCH_TASKS_MAX', BATCH_TASKS_MAX, tasks.length, 'tasks');
  }
  const records: SubmittedRecord[] = [];
  let bytes = 0;
  let lengthOf = lengthAtMost;
  let index = 0;
  const at = (field?: string) => (field ? `tasks[${index}].${field}` : `tasks[${index}]`);
  for (; index < tasks.length; index++) {
    if (index > 0 && index % VALIDATE_SLICE_TASKS === 0) await nextTurn();
    const record = toRecord(tasks[index]!, at, now, rules);
    records.push(record);
    bytes += lengthOf(record);
    if (bytes > BATCH_BYTES_MAX && lengthOf === lengthAtMost) {
      lengthOf = textLength;
      bytes = records.reduce((sum, each) => sum + textLength(each), 0);
    }
    if (bytes > BATCH_BYTES_MAX)
      throw new TooLargeError('tasks', 'BATCH_BYTES_MAX', BATCH_BYTES_MAX, bytes, 'bytes of JSON');
  }
  return records;
}

function lengthAtMost({ content, submission }: NewRecord): number {
  return content ? boundJsonBytes(content) : submission.length;
}

function textLength({ content, submission }: NewRecord): number {
  return content ? JSON.stringify(content).length : submission.length;
}

/** Stores a batch, all or none. What exists already with the same content is left as it is. `at` names a record's place. */
export async function takeIn(
  store: TaskStore,
  records: readonly SubmittedRecord[],
  now: number,
  at: (index: number) => string = inBatch,
): Promise<Intake> {
  const placeOf = (id: string) => at(records.findIndex((record) => record.id === id));
  let batch = withoutRepeats(records, at);
  if (batch.some((record) => record.dependsOn.length > 0)) {
    const cycle = findCycle(batch);
    if (cycle)
      throw new DependencyCycleError(`${placeOf(cycle[0]!)}.dependsOn[${edgeOn(batch, cycle)}]`, cycle);
  }
  for (let round = 0; round < INSERT_ROUNDS_MAX && batch.length > 0; round++) {
    const outcome = await store.insert(batch, now, rulesOf(batch));
    const unknown = outcome.unknown[0];
    if (unknown) {
      const record = batch[unknown.index]!;
      throw unknownDependency(placeOf(record.id), record, unknown.dependencyId);
    }
    if (outcome.conflicts.length === 0) return { inserted: batch, effects: outcome.effects };
    batch = withoutConflicts(batch, outcome.conflicts, placeOf);
  }
  if (batch.length > 0)
    throw new StoreUnavailableError('the ids of this batch keep coming and going; submit it again');
  return { inserted: [], effects: NO_EFFECTS };
}

/** The last word on each key. */
function rulesOf(batch: readonly SubmittedRecord[]): readonly GateChange[] | undefined {
  // No map for a batch of one, which most are.
  if (batch.length === 1) return batch[0]!.rules;
  let last: SubmittedRecord['rules'];
  const byKey = new Map<string, GateChange>();
  for (const { rules } of batch) {
    if (rules === undefined || rules === last) continue;
    last = rules;
    for (const rule of rules) byKey.set(rule.key, rule);
  }
  return byKey.size === 0 ? undefined : [...byKey.values()];
}

function inBatch(index: number): string {
  return `tasks[${index}]`;
}

function withoutRepeats(
  records: readonly SubmittedRecord[],
  at: (index: number) => string,
): readonly SubmittedRecord[] {
  if (records.length === 1) return records;
  const ids = new Set<string>();
  for (const { id } of records) ids.add(id);
  if (ids.size === records.length) return records;
  const byId = new Map<string, SubmittedRecord>();
  records.forEach((record, i) => {
    const earlier = byId.get(record.id);
    if (earlier && !isSameContent(earlier, record)) throw new DuplicateTaskError(at(i), record.id);
    if (!earlier) byId.set(record.id, record);
  });
  return [...byId.values()];
}

function withoutConflicts(
  batch: readonly SubmittedRecord[],
  conflicts: InsertOutcome['conflicts'],
  placeOf: (id: string) => string,
): SubmittedRecord[] {
  const existing = new Map(conflicts.map((record) => [record.id, record]));
  return batch.filter((record) => {
    const conflict = existing.get(record.id);
    if (conflict && !isSameContent(conflict, record))
      throw new DuplicateTaskError(placeOf(record.id), record.id);
    return !conflict;
  });
}

function unknownDependency(at: string, { dependsOn }: NewRecord, id: string): UnknownDependencyError {
  const edge = dependsOn.findIndex((dependency) => dependency.dependencyId === id);
  return new UnknownDependencyError(`${at}.dependsOn[${edge}]`, id);
}
