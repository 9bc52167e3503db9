import { LIST_TASKS_MAX } from './bounds.ts';
import { laneKey } from './claim-filter.ts';
import { type Gate, obstacleAt } from './gate.ts';
import { isAhead } from './rank.ts';
import type { TaskRecord, TaskStore } from './task-store.ts';

/** Somebody who goes first and may not start yet, with the key that keeps him back and until when. */
export interface Predecessor {
  readonly id: string;
  readonly key: string;
  readonly until: number | null;
}

/**
 * Whoever keeps back this task though its own start would fit: in a lane nobody goes before another who weighs too
 * much for what is left of a rate, or the heavy ones would never start. Reads on until one is found; `gates` are those
 * of the task's limits, in their order.
 */
export async function heavierBefore(
  store: TaskStore,
  record: TaskRecord,
  gates: readonly (Gate | null)[],
  now: number,
): Promise<Predecessor | null> {
  if (!gates.some((gate) => gate?.rate)) return null;
  const lane = laneKey(record);
  const query = {
    statuses: ['pending', 'retrying'] as const,
    agentTypes: record.agentType === null ? null : [record.agentType],
    createdAfter: null,
    limit: LIST_TASKS_MAX,
  };
  for (let after: number | null = 0; after !== null; ) {
    const page = await store.list({ ...query, after });
    for (const other of page.records) {
      if (laneKey(other) !== lane || !isAhead(other, record) || !isReady(other, now)) continue;
      const obstacle = heaviest(other, gates, now);
      if (obstacle) return { id: other.id, key: obstacle.key, until: obstacle.until };
    }
    after = page.next;
  }
  return null;
}

function isReady({ runAt, blockedBy }: TaskRecord, now: number): boolean {
  return runAt <= now && blockedBy.length === 0;
}

function heaviest({ quota }: TaskRecord, gates: readonly (Gate | null)[], now: number) {
  for (const [i, gate] of gates.entries()) {
    const obstacle = gate && obstacleAt(gate, quota?.limits[i]?.weight ?? 1, now);
    if (obstacle) return obstacle;
  }
  return null;
}
