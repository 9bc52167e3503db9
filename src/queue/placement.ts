import { StoreUnavailableError } from '../errors.ts';
import { TIME_MS_MAX } from './bounds.ts';
import { toEdge } from './dependencies.ts';
import { hashOf, isSameContent } from './submission.ts';
import type { Edge, GateChange, NewRecord, TaskRecord, TaskStore } from './task-store.ts';
import { readSubmission } from './task-view.ts';

/** A task that is on its way is not claimable before this time, which no submitter can give. */
export const ON_ITS_WAY = TIME_MS_MAX + 1;

/** An insert that loses this often to submissions of the same ids meets a broken store, not other writers. */
const INSERT_ROUNDS_MAX = 100;

/** A task as it stands in both stores. */
export interface Pair {
  readonly from: TaskRecord;
  readonly to: TaskRecord;
}

export interface Placed {
  readonly pairs: readonly Pair[];
  /** Tasks that have no place in the target. */
  readonly left: readonly string[];
}

interface Stores {
  readonly source: TaskStore;
  readonly target: TaskStore;
}

/** Tasks of the source that the target does not have. */
interface Missing {
  readonly records: readonly TaskRecord[];
  readonly left: readonly string[];
}

/**
 * Inserts what the target does not have of a page that follows `after`, out of the reach of claims, and returns
 * all as they stand there.
 */
export async function place(
  stores: Stores & { readonly now: () => number },
  page: readonly TaskRecord[],
  after: number,
): Promise<Placed> {
  const { target, now } = stores;
  for (let round = 0; round < INSERT_ROUNDS_MAX; round++) {
    const known = await target.get(idsOf(page));
    const missing = page.filter((_, i) => known[i] === null);
    const { records, left } = await withDependencies(stores, missing, after);
    const { conflicts, unknown } =
      records.length === 0
        ? NONE
        : await target.insert(records.map(asNew), now(), await gatesOf(stores.source, records));
    // Somebody submitted one of them, or purged what one waits for, since it was looked at.
    if (conflicts.length > 0 || unknown.length > 0) continue;
    return paired(target, new Set([...page, ...records]), left);
  }
  throw new StoreUnavailableError('the ids of the tasks to move keep coming and going there; try again');
}

/** The keys that the records name, as they stand there; who holds them does not matter, since nothing runs. */
async function gatesOf(source: TaskStore, records: readonly TaskRecord[]): Promise<GateChange[]> {
  const keys = new Set(records.flatMap(({ quota }) => quota?.limits.map(({ key }) => key) ?? []));
  if (keys.size === 0) return [];
  const gates = await source.gates([...keys]);
  return gates.flatMap((gate) => {
    if (!gate) return [];
    const { key, max, rate, isPaused, closedUntil } = gate;
    return [{ key, rule: { max, rate }, isPaused, closedUntil }];
  });
}

const NONE = { conflicts: [], unknown: [] };

async function paired(
  target: TaskStore,
  records: ReadonlySet<TaskRecord>,
  missing: readonly string[],
): Promise<Placed> {
  const placed = await target.get(idsOf([...records]));
  const left = [...missing];
  const pairs = [...records].flatMap((from, i) => {
    const to = placed[i];
    if (to && isSameContent(from, to)) return { from, to };
    if (to) left.push(from.id);
    return [];
  });
  return { pairs, left };
}

/**
 * A dependency may have been submitted after its dependent, in the same batch: it comes along. One that was
 * moved before and is gone has ended there, and one whose id is another task's there is not the one meant: who
 * waits for these is left, and so on downwards.
 */
async function withDependencies(
  { source, target }: Stores,
  missing: readonly TaskRecord[],
  after: number,
): Promise<Missing> {
  const batch = new Map(missing.map((record) => [record.id, record]));
  const absent = new Set<string>();
  const seen = new Set<string>();
  for (let wanted = blockersOf(missing); wanted.length > 0; ) {
    const ids = wanted.filter((id) => !batch.has(id) && seen.size < seen.add(id).size);
    const [here, there] = await Promise.all([source.get(ids), target.get(ids)]);
    const found: TaskRecord[] = [];
    ids.forEach((id, i) => {
      const [from, to] = [here[i], there[i]];
      if (to && (!from || isSameContent(from, to))) return;
      if (!to && from && from.seq > after) found.push(from);
      else absent.add(id);
    });
    for (const record of found) batch.set(record.id, record);
    wanted = blockersOf(found);
  }
  return withoutDependents([...batch.values()], absent);
}

/** Leaves out what waits for something absent, directly or by way of others. */
function withoutDependents(records: readonly TaskRecord[], absent: Set<string>): Missing {
  const left: string[] = [];
  let kept = records;
  for (let size = -1; size !== absent.size; ) {
    size = absent.size;
    kept = kept.filter(({ id, blockedBy }) => {
      if (!blockedBy.some((blocker) => absent.has(blocker))) return true;
      absent.add(id);
      left.push(id);
      return false;
    });
  }
  return { records: kept, left };
}

function asNew(record: TaskRecord): NewRecord {
  const { id, content, priority, agentType, agent, rank, createdAt } = record;
  // A store in process has neither text nor hash; the target may want both.
  const submission = content === undefined ? record.submission : JSON.stringify(content);
  const hash = content === undefined ? record.hash : hashOf(id, submission);
  const dependsOn = undecidedEdges(record);
  return {
    id,
    submission,
    hash,
    priority,
    agentType,
    agent,
    rank,
    createdAt,
    runAt: ON_ITS_WAY,
    alarmAt: null,
    dependsOn,
    join: record.blockedBy.length > 0 ? (readSubmission(record).join ?? 'all') : 'all',
    quota: record.quota,
  };
}

/** The edges still open; what they wait for is only told by the submission. */
function undecidedEdges(record: TaskRecord): Edge[] {
  if (record.blockedBy.length === 0) return [];
  const edges = (readSubmission(record).dependsOn ?? []).map(toEdge);
  return edges.filter((edge) => record.blockedBy.includes(edge.dependencyId));
}

function blockersOf(records: readonly TaskRecord[]): string[] {
  return [...new Set(records.flatMap((record) => record.blockedBy))];
}

function idsOf(records: readonly TaskRecord[]): string[] {
  return records.map((record) => record.id);
}
