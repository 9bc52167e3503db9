import { edgeVerdict, skipReason } from '../../dependencies.ts';
import { type EndStatus, isEnded } from '../../task.ts';
import type { Edge, Effects, Verdict } from '../../task-store.ts';
import { forgetEdges } from './edge-rows.ts';
import type { QueueTransaction } from './queue-transaction.ts';
import { SELECT_BY_ID, SELECT_BY_SEQ, selectRow, type TaskRow } from './task-row.ts';

export interface MutableEffects extends Effects {
  readonly released: string[];
  readonly skipped: string[];
  unjudged: boolean;
}

export function noEffects(): MutableEffects {
  return { released: [], skipped: [], unjudged: false };
}

interface Ended {
  readonly id: string;
  readonly status: EndStatus;
}

interface EdgeRow {
  readonly task: number;
  readonly position: number;
  readonly wanted: Edge['on'];
  /** The first edge of the task that holds is enough. */
  readonly isAny: number;
}

const UNJUDGED = 'task = ? AND dependency_id = ? AND condition = ? AND unjudged = 1';
const SELECT_UNJUDGED = `SELECT is_any FROM edges WHERE ${UNJUDGED}`;
const FORGET_UNJUDGED = `DELETE FROM edges WHERE ${UNJUDGED}`;
export const SELECT_EDGES_TO = `SELECT task, position, wanted, is_any AS isAny FROM edges
  WHERE dependency_id = ? AND unjudged = 0 ORDER BY task, position`;

/**
 * Decides the edges of tasks that have ended, and what follows from that for the tasks that waited, down to
 * the last of them. A list of endings is worked off, so a chain may be as long as it likes.
 */
export class Dependents {
  readonly #tx: QueueTransaction;
  readonly #now: number;
  readonly effects: MutableEffects;
  readonly #endings: Ended[] = [];

  constructor(tx: QueueTransaction, now: number) {
    this.#tx = tx;
    this.#now = now;
    this.effects = noEffects();
  }

  /** The task has ended: its own edges are void, and those of others to it are decided. */
  hasEnded(row: TaskRow): void {
    const { id, seq, status } = row.record;
    if (!this.#tx.hasEdges || !isEnded(status)) return;
    forgetEdges(this.#tx, seq);
    this.#endings.push({ id, status });
    this.#workOff();
  }

  skip(seq: number, reason: string): void {
    this.#skip(seq, reason);
    this.#workOff();
  }

  /** A verdict counts once, on an edge that waits for it. */
  judge({ taskId, dependencyId, condition, holds, reason }: Verdict): void {
    const { connection } = this.#tx;
    const row = selectRow(connection, SELECT_BY_ID, taskId);
    if (!row) return;
    const edge = [row.record.seq, dependencyId, condition];
    const isAny = connection.prepareValue(SELECT_UNJUDGED).get(...edge) === 1;
    const { changes } = connection.prepare(FORGET_UNJUDGED).run(...edge);
    if (changes === 0) return;
    if (holds) this.#hold(row.record.seq, isAny, changes);
    else this.#fail(row.record.seq, isAny, changes, reason);
    this.#workOff();
  }

  #workOff(): void {
    for (let ended = this.#endings.pop(); ended; ended = this.#endings.pop()) this.#settle(ended);
  }

  #settle({ id, status }: Ended): void {
    const edges = this.#tx.connection.prepare(SELECT_EDGES_TO).all(id) as EdgeRow[];
    for (const edge of edges) this.#decide(edge, id, status);
  }

  #decide({ task, position, wanted, isAny }: EdgeRow, dependencyId: string, status: EndStatus): void {
    const { connection } = this.#tx;
    const verdict = edgeVerdict(wanted, status);
    if (verdict === 'unjudged') {
      connection.prepare('UPDATE edges SET unjudged = 1 WHERE task = ? AND position = ?').run(task, position);
      this.effects.unjudged = true;
      return;
    }
    // An edge that is gone belonged to a task that was skipped, or released, by an earlier edge of this list.
    const { changes } = connection
      .prepare('DELETE FROM edges WHERE task = ? AND position = ?')
      .run(task, position);
    if (changes === 0) return;
    if (verdict === 'holds') this.#hold(task, isAny === 1, 1);
    else this.#fail(task, isAny === 1, 1, skipReason(dependencyId, wanted, status));
  }

  /** Some edges of the task hold; with the last of them it is released, or with the first where any is enough. */
  #hold(seq: number, isAny: boolean, edges: number): void {
    const row = selectRow(this.#tx.connection, SELECT_BY_SEQ, seq);
    if (!row) return;
    if (isAny) forgetEdges(this.#tx, seq);
    const blocked = isAny ? 0 : Math.max(0, row.blocked - edges);
    this.#tx.update(row, row.record, undefined, this.#now, blocked, edges);
    if (blocked === 0 && row.record.status === 'pending') this.effects.released.push(row.record.id);
  }

  /** Some edges of the task fail: it is skipped, unless another one may still hold and is enough. */
  #fail(seq: number, isAny: boolean, edges: number, reason: string): void {
    const row = isAny ? selectRow(this.#tx.connection, SELECT_BY_SEQ, seq) : undefined;
    if (row && row.blocked > edges) {
      this.#tx.update(row, row.record, undefined, this.#now, row.blocked - edges, edges);
    } else {
      this.#skip(seq, reason);
    }
  }

  #skip(seq: number, reason: string): void {
    const row = selectRow(this.#tx.connection, SELECT_BY_SEQ, seq);
    if (!row || isEnded(row.record.status)) return;
    const { record } = row;
    const at = this.#now;
    const next = {
      ...record,
      status: 'skipped',
      owner: null,
      leaseExpiresAt: null,
      alarmAt: null,
      completedAt: at,
    } as const;
    this.#tx.update(row, next, { from: record.status, to: 'skipped', at, reason }, at, 0);
    forgetEdges(this.#tx, seq);
    this.effects.skipped.push(record.id);
    this.#endings.push({ id: record.id, status: 'skipped' });
  }
}
