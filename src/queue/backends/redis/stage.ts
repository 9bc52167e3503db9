import { setImmediate as nextTurn } from 'node:timers/promises';
import type { GateChange, NewRecord } from '../../task-store.ts';
import { identityText, specialText } from './record-text.ts';
import type { ScriptRunner } from './script-runner.ts';

/** One part of a large batch: about 5 ms of work for this process, less for Redis. */
const PART_TASKS_MAX = 500;
const PART_CHARS_MAX = 256 * 1024;
/** What a process left behind in the midst of a batch goes away by itself. */
const STAGE_KEPT_MS = 60_000;

let stages = 0;

/** Lays down a large batch beside the queue, part by part. Returns the name under which `insert.lua` finds it. */
export async function stageRecords(
  scripts: ScriptRunner,
  records: readonly NewRecord[],
  now: number,
  rules: readonly GateChange[],
): Promise<string> {
  const name = `${scripts.instance}:${++stages}`;
  const key = `stage:${name}`;
  let values: (string | number)[] = [];
  let chars = 0;
  for (let i = 0; i < records.length; i++) {
    const packed = pack(records[i]!, now, i === 0 ? rules : []);
    values.push(i + 1, packed);
    chars += packed.length;
    const isFull = values.length >= 2 * PART_TASKS_MAX || chars > PART_CHARS_MAX;
    if (!isFull && i < records.length - 1) continue;
    await scripts.call('HSET', key, ...values);
    await scripts.call('PEXPIRE', key, STAGE_KEPT_MS);
    await nextTurn();
    values = [];
    chars = 0;
  }
  return name;
}

function pack(record: NewRecord, now: number, rules: readonly GateChange[]): string {
  const special = specialText(record, now, rules);
  return `${record.id}\n${special.length}\n${special}${identityText(record)}`;
}
