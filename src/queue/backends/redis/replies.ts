import type { RedisArgument } from '../../../redis/ioredis.ts';
import type { ClaimFilter } from '../../claim-filter.ts';
import {
  type Claim,
  type Effects,
  type InsertOutcome,
  NO_EFFECTS,
  type TaskRecord,
  type Verdict,
} from '../../task-store.ts';
import { type FirstState, firstRecord, ownerField, STATUS_LETTERS, toRecord } from './record-text.ts';

export const INSERTED: InsertOutcome = { conflicts: [], unknown: [], effects: NO_EFFECTS };

export function names(list: readonly string[] | null): string {
  return list === null ? '*' : ` ${list.join(' ')} `;
}

export function filterArguments(filter: ClaimFilter | null): RedisArgument[] {
  if (filter === null) return ['', '*', '*', '*', ''];
  const { priorityMin, agentTypes, runnableBy, ids } = filter;
  const agents = runnableBy === null ? '*' : runnableBy.agents.length === 0 ? ' ' : names(runnableBy.agents);
  const types = runnableBy === null || runnableBy.agentTypes === 'all' ? '*' : names(runnableBy.agentTypes);
  return [priorityMin ?? '', names(agentTypes), agents, types, ids === null ? '' : '1', ...(ids ?? [])];
}

/** Claims of so many tasks are worth a call of their own. */
const LARGE_FROM = 16;

export function isLarge({ limit }: Claim): boolean {
  return limit >= LARGE_FROM;
}

/** What a claim says after its head; `beside`: places of tasks held ahead. */
export function claimArguments(
  { limit, owner, filter, to }: Claim,
  lease: string,
  beside?: readonly number[],
): RedisArgument[] {
  const filtered = filterArguments(filter);
  const asked = beside ? [...filtered.slice(0, 4), 'b', ...beside] : filtered;
  return [limit, ownerField(owner), JSON.stringify(owner), lease, STATUS_LETTERS[to], ...asked];
}

export function readRecords(reply: readonly unknown[], from: number): TaskRecord[] {
  const words = reply as readonly string[];
  const records: TaskRecord[] = [];
  for (let i = from; i + 3 < words.length; i += 4) {
    records.push(toRecord(words[i]!, words[i + 1]!, words[i + 2]!, words[i + 3]!));
  }
  return records;
}

/** As `readRecords`, where each id comes with its sequence. */
export function readListed(reply: readonly unknown[]): TaskRecord[] {
  const words = reply as readonly string[];
  const records: TaskRecord[] = [];
  for (let i = 1; i + 3 < words.length; i += 4) {
    const [seq = '', id = ''] = words[i]!.split(' ');
    records.push(toRecord(id, words[i + 1]!, words[i + 2]!, words[i + 3]!, Number(seq)));
  }
  return records;
}

/** A task's first claim is not spelled out: it is what was asked for. */
export function readClaimed(reply: readonly unknown[], first: FirstState): TaskRecord[] {
  const words = reply as readonly string[];
  const records: TaskRecord[] = [];
  for (let i = 2; i + 3 < words.length; i += 4) {
    const state = words[i + 2]!;
    records.push(
      state === ''
        ? firstRecord(words[i]!, words[i + 1]!, first)
        : toRecord(words[i]!, words[i + 1]!, state, ''),
    );
  }
  return records;
}

/** What an insertion of so many groups was answered, but for the last number. */
export function toOutcomes(reply: readonly unknown[], groups: number): InsertOutcome[] {
  const outcomes = new Array<InsertOutcome>(groups).fill(INSERTED);
  for (let i = 0; i + 2 < reply.length; i += 3) {
    const index = reply[i] as number;
    // Told last.
    if (index < 0) return outcomes.map((outcome) => ({ ...outcome, recalls: true }));
    outcomes[index] = toOutcome(reply[i + 1] as string, reply[i + 2] as unknown[]);
  }
  return outcomes;
}

function toOutcome(kind: string, found: readonly unknown[]): InsertOutcome {
  if (kind === 'conflict') return { ...INSERTED, conflicts: readRecords(found, 0) };
  if (kind === 'effects') return { ...INSERTED, effects: toEffects(found, 0) };
  const unknown: { index: number; dependencyId: string }[] = [];
  for (let i = 0; i < found.length; i += 2) {
    unknown.push({ index: found[i] as number, dependencyId: found[i + 1] as string });
  }
  return { ...INSERTED, unknown };
}

export function toEffects(reply: readonly unknown[], at: number): Effects {
  return {
    released: reply[at] as string[],
    skipped: reply[at + 1] as string[],
    unjudged: reply[at + 2] === 1,
  };
}

/** A verdict as `judge.lua` takes it. */
export function verdictWords({ taskId, dependencyId, condition, holds, reason }: Verdict): RedisArgument[] {
  return [taskId, dependencyId, condition, holds ? 1 : 0, JSON.stringify(reason)];
}
