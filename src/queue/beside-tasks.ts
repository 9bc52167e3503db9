import { copyAccounts } from './account-move.ts';
import { threadsOf } from './limits.ts';
import { copyPlans, type RegistryMove } from './registry-move.ts';
import type { TaskRecord, TaskStore } from './task-store.ts';
import { readSubmission } from './task-view.ts';

interface TasksMove {
  readonly source: TaskStore;
  readonly target: TaskStore;
  readonly now: () => number;
  readonly copyThreads: (threadIds: readonly string[]) => Promise<void>;
}

/** What tasks have beside them, and several of them may share: accounts, plans of workflows, checkpoints. */
export class BesideTasks {
  readonly #move: TasksMove;
  readonly #registries: RegistryMove;
  readonly #accounts = new Set<string>();
  readonly #workflows = new Set<string>();
  readonly #sharedThreads = new Set<string>();
  /** Workflows whose tasks came before their plan was written. */
  #planless: string[] = [];

  constructor(move: TasksMove) {
    const { source, target, now } = move;
    this.#move = move;
    this.#registries = { source: source.registry, target: target.registry, now };
  }

  /** Copies it where these are not claimable yet. */
  readonly copy = async (records: readonly TaskRecord[]): Promise<void> => {
    const ran = records.filter(({ fence }) => fence > 0).map(({ id }) => id);
    await copyAccounts(this.#move, ran, this.#accounts);
    const workflows = unseen(this.#workflows, records.flatMap(workflowOf));
    this.#planless.push(...(await copyPlans(this.#registries, workflows)));
    const shared = unseen(this.#sharedThreads, records.flatMap(sharedThreadsOf));
    await this.#move.copyThreads([...records.filter(hasThread).map(({ id }) => id), ...shared]);
  };

  async copyLatePlans(): Promise<void> {
    this.#planless = await copyPlans(this.#registries, this.#planless);
  }
}

function unseen(seen: Set<string>, names: readonly string[]): string[] {
  return names.filter((name) => seen.size < seen.add(name).size);
}

function workflowOf(record: TaskRecord): string[] {
  const { workflow } = metadataOf(record);
  const id = (workflow as { readonly id?: unknown } | undefined)?.id;
  return typeof id === 'string' ? [id] : [];
}

/** Where it ran, or is to go on from what another one did. */
function hasThread(record: TaskRecord): boolean {
  return record.fence > 0 || metadataOf(record).rerunOf !== undefined;
}

/** Copied with the first task that names them, though it may have to run yet. */
function sharedThreadsOf({ quota }: TaskRecord): string[] {
  return threadsOf((quota?.limits ?? []).map(({ key }) => key));
}

function metadataOf(record: TaskRecord): Readonly<Record<string, unknown>> {
  return (readSubmission(record).metadata ?? {}) as Readonly<Record<string, unknown>>;
}
