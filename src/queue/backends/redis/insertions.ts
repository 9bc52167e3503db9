import type { RedisArgument } from '../../../redis/ioredis.ts';
import type { GateChange, InsertOutcome, NewRecord } from '../../task-store.ts';
import { BATCH_BYTES_MAX, BATCH_TASKS_MAX } from './batcher.ts';
import { identityText, specialText } from './record-text.ts';
import { toOutcomes } from './replies.ts';
import type { ScriptRunner } from './script-runner.ts';
import { stageRecords } from './stage.ts';

/** One call of `insert`: stored whole or not at all. */
export interface Insertion {
  readonly records: readonly NewRecord[];
  readonly now: number;
  readonly bytes: number;
  readonly rules: readonly GateChange[];
}

/** `skew`: by how much this process is behind Redis, ms. */
export function toInsertion(
  records: readonly NewRecord[],
  now: number,
  skew: number,
  rules: readonly GateChange[],
): Insertion {
  const timely = skew === 0 ? records : records.map((record) => shifted(record, skew));
  let bytes = 0;
  for (const { submission } of records) bytes += submission.length;
  return { records: timely, now: now + skew, bytes, rules };
}

export function sizeOfInsertion({ records, bytes }: Insertion): number {
  return Math.max(records.length / BATCH_TASKS_MAX, bytes / BATCH_BYTES_MAX);
}

/** Whether it takes several calls, the last of which stores it. */
export function isStaged(insertion: Insertion): boolean {
  return sizeOfInsertion(insertion) > 1;
}

/** A record made before the time by Redis was known. */
function shifted(record: NewRecord, ms: number): NewRecord {
  const { createdAt, runAt, rank, alarmAt } = record;
  const moved = { createdAt: createdAt + ms, runAt: runAt + ms, rank: rank + ms };
  return { ...record, ...moved, alarmAt: alarmAt === null ? null : alarmAt + ms };
}

/** Sends several in one call. */
export async function sendInsertions(
  scripts: ScriptRunner,
  items: readonly Insertion[],
  slot: number,
): Promise<InsertOutcome[]> {
  const [only] = items;
  if (items.length === 1 && isStaged(only!)) return [await sendStaged(scripts, only!, slot)];
  const { foresight } = scripts;
  const isSingles = items.every(({ records }) => records.length === 1);
  const sizes = isSingles ? '' : items.map(({ records }) => records.length).join(' ');
  const now = items.at(-1)!.now;
  const count = items.reduce((sum, { records }) => sum + records.length, 0);
  const { isRight } = foresight;
  const first = foresight.sent(count);
  const identities: string[] = [];
  const specials: RedisArgument[] = [];
  let index = 0;
  for (const { records, rules } of items) {
    for (const record of records) {
      identities.push(record.id, identityText(record, isRight ? first + index : undefined));
      index++;
      const special = specialText(record, now, record === records[0] ? rules : undefined);
      if (special !== '') specials.push(index, special);
    }
  }
  const values = [sizes, isRight ? `${count} ${first}` : count, ...identities, ...specials];
  let last: number | undefined;
  try {
    const reply = await scripts.run('insert', { now, mark: `i${slot}`, values });
    last = reply.at(-1) as number;
    return toOutcomes(reply, items.length);
  } finally {
    foresight.answered(first, count, last);
  }
}

async function sendStaged(
  scripts: ScriptRunner,
  { records, now, rules }: Insertion,
  slot: number,
): Promise<InsertOutcome> {
  const stage = await stageRecords(scripts, records, now, rules);
  const values = [String(records.length), records.length, '@', stage];
  return toOutcomes(await scripts.run('insert', { now, mark: `i${slot}`, values }), 1)[0]!;
}
