import { edgeVerdict, skipReason } from '../../dependencies.ts';
import { isEnded, type TaskStatus } from '../../task.ts';
import type { Edge, NewRecord } from '../../task-store.ts';
import type { QueueTransaction } from './queue-transaction.ts';

const INSERT_EDGE = `INSERT INTO edges (task, position, dependency_id, wanted, condition, unjudged, is_any)
  VALUES (?, ?, ?, ?, ?, ?, ?)`;
const FORGET_EDGES = 'DELETE FROM edges WHERE task = ?';

interface OpenEdge extends Edge {
  readonly position: number;
  /** Its dependency has completed, and a custom condition has to be evaluated. */
  readonly isUnjudged: boolean;
}

/** What is left of a task's edges, once those to tasks that have ended are decided. */
export interface DecidedEdges {
  readonly open: readonly OpenEdge[];
  /** Why the task is skipped, where it is. */
  readonly skipReason: string | null;
}

export function decideEdges(
  dependsOn: readonly Edge[],
  join: NewRecord['join'],
  statusOf: (id: string) => TaskStatus | undefined,
): DecidedEdges {
  const open: OpenEdge[] = [];
  const failures: string[] = [];
  for (const [position, edge] of dependsOn.entries()) {
    const { dependencyId, on } = edge;
    const status = statusOf(dependencyId);
    const verdict = status !== undefined && isEnded(status) ? edgeVerdict(on, status) : 'open';
    if (verdict === 'holds' && join === 'any') return { open: [], skipReason: null };
    if (verdict === 'fails' && status !== undefined && isEnded(status)) {
      failures.push(skipReason(dependencyId, on, status));
    } else if (verdict !== 'holds') {
      open.push({ ...edge, position, isUnjudged: verdict === 'unjudged' });
    }
  }
  if (join === 'all') return { open, skipReason: failures[0] ?? null };
  return { open, skipReason: open.length === 0 ? (failures.at(-1) ?? null) : null };
}

export function insertEdges(
  tx: QueueTransaction,
  seq: number,
  edges: readonly OpenEdge[],
  join: NewRecord['join'],
): void {
  for (const { position, dependencyId, on, condition, isUnjudged } of edges) {
    tx.connection
      .prepare(INSERT_EDGE)
      .run(seq, position, dependencyId, on, condition, isUnjudged ? 1 : 0, join === 'any' ? 1 : 0);
    tx.edgesWereAdded();
  }
}

export function forgetEdges(tx: QueueTransaction, seq: number): void {
  tx.connection.prepare(FORGET_EDGES).run(seq);
}
