import type { Gate } from '../../gate.ts';
import { parseHistory } from '../../history-text.ts';
import type { TaskEvent } from '../../task.ts';
import {
  GATES_LISTED_MAX,
  type ListPage,
  type ListQuery,
  type Outlook,
  type StoreCounts,
  type TaskRecord,
  type UnjudgedEdge,
} from '../../task-store.ts';
import { toCounts } from './counts.ts';
import { toGate } from './gate-text.ts';
import { historyOf, STATUS_LETTERS } from './record-text.ts';
import { names, readListed, readRecords } from './replies.ts';
import type { ScriptRunner } from './script-runner.ts';

const READ_AT_ONCE_MAX = 500;

interface Question {
  readonly ids: readonly string[];
  readonly resolve: (byId: Map<string, TaskRecord>) => void;
  readonly reject: (error: unknown) => void;
}

/** What is read of a queue in Redis and changes nothing there. */
export class RedisTaskReader {
  readonly #scripts: ScriptRunner;
  #gathered: Question[] = [];

  constructor(scripts: ScriptRunner) {
    this.#scripts = scripts;
  }

  /** Questions of one turn, as those of a task for each of its dependencies, share a call; nobody shares a record. */
  read(ids: readonly string[]): Promise<Map<string, TaskRecord>> {
    return new Promise((resolve, reject) => {
      if (this.#gathered.push({ ids, resolve, reject }) === 1) queueMicrotask(this.#ask);
    });
  }

  readonly #ask = async (): Promise<void> => {
    const questions = this.#gathered;
    this.#gathered = [];
    try {
      const all = await this.#readInParts([...new Set(questions.flatMap(({ ids }) => ids))]);
      for (const { ids, resolve } of questions) {
        const found = ids.flatMap((id) => {
          const record = all.get(id);
          return record ? [[id, questions.length === 1 ? record : { ...record }] as const] : [];
        });
        resolve(new Map(found));
      }
    } catch (error) {
      for (const { reject } of questions) reject(error);
    }
  };

  async #readInParts(ids: readonly string[]): Promise<Map<string, TaskRecord>> {
    const byId = new Map<string, TaskRecord>();
    for (let from = 0; from < ids.length; from += READ_AT_ONCE_MAX) {
      const values = ids.slice(from, from + READ_AT_ONCE_MAX);
      const reply = await this.#scripts.run('read', { now: 0, values });
      for (const record of readRecords(reply, 0)) byId.set(record.id, record);
    }
    return byId;
  }

  async list(query: ListQuery): Promise<ListPage> {
    const { statuses, agentTypes, createdAfter, limit } = query;
    if (statuses?.length === 0 || agentTypes?.length === 0) return { records: [], next: null };
    const records: TaskRecord[] = [];
    const letters = statuses === null ? '*' : statuses.map((status) => STATUS_LETTERS[status]).join('');
    for (let after = query.after; ; ) {
      const values = [after, limit + 1 - records.length, letters, names(agentTypes), createdAfter ?? ''];
      const reply = await this.#scripts.run('list', { now: 0, values });
      records.push(...readListed(reply));
      if (records.length > limit) {
        return { records: records.slice(0, limit), next: records[limit - 1]!.seq };
      }
      if (reply[0] === '') return { records, next: null };
      after = Number(reply[0]);
    }
  }

  async history(id: string): Promise<TaskEvent[]> {
    const reply = await this.#scripts.run('read', { now: 0, values: [id] });
    const [record] = readRecords(reply, 0);
    if (record === undefined) return [];
    return parseHistory(id, historyOf(String(reply[2])), record.events, record.createdAt);
  }

  async outlook(now: number): Promise<Outlook> {
    const [flags, due] = (await this.#scripts.run('outlook', { now })) as [string, string];
    return {
      hasExpired: flags.includes('e'),
      hasAlarmed: flags.includes('a'),
      hasUnjudged: flags.includes('u'),
      hasPending: flags.includes('p'),
      nextDueAt: due === '' ? null : Number(due),
    };
  }

  async gates(keys: readonly string[] | null): Promise<(Gate | null)[]> {
    const asked = keys ?? (await this.#gateKeys());
    if (asked.length === 0) return [];
    const texts = (await this.#scripts.call('HMGET', 'gates', ...asked)) as (string | null)[];
    return asked.map((key, i) => (texts[i] ? toGate(key, texts[i]) : null));
  }

  async #gateKeys(): Promise<string[]> {
    const all = (await this.#scripts.call('HKEYS', 'gates')) as string[];
    return all.sort().slice(0, GATES_LISTED_MAX);
  }

  async unjudged(limit: number): Promise<UnjudgedEdge[]> {
    const reply = (await this.#scripts.run('unjudged', { now: 0, values: [limit] })) as string[];
    const edges: UnjudgedEdge[] = [];
    for (let i = 0; i < reply.length; i += 3) {
      edges.push({ taskId: reply[i]!, dependencyId: reply[i + 1]!, condition: reply[i + 2]! });
    }
    return edges;
  }

  async counts(now: number): Promise<StoreCounts> {
    return toCounts(await this.#scripts.run('counts', { now }), now);
  }
}
