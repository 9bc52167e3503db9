import { edgeVerdict, skipReason } from '../../dependencies.ts';
import { type EndStatus, isEnded } from '../../task.ts';
import { type Effects, NO_EFFECTS, type UnjudgedEdge, type Verdict } from '../../task-store.ts';
import { type MemoryEdge, type MemoryEntry, undecidedIds } from './memory-entry.ts';

/** What a purged dependency is taken for: nobody knows any more how it ended. */
const GONE = 'skipped';

/** What the decision of an edge may do to the task that waits. */
export interface Dependents {
  get(id: string): MemoryEntry | undefined;
  release(entry: MemoryEntry, now: number): void;
  skip(entry: MemoryEntry, reason: string, now: number, decided: Decided): void;
}

/** The effects of one call, as they add up. */
export class Decided {
  readonly released: string[] = [];
  readonly skipped: string[] = [];
  unjudged = false;
  /** Endings whose dependents are being decided. */
  readonly endings: { readonly entry: MemoryEntry; readonly status: EndStatus }[] = [];

  get effects(): Effects {
    const { released, skipped, unjudged } = this;
    return released.length === 0 && skipped.length === 0 && !unjudged
      ? NO_EFFECTS
      : { released, skipped, unjudged };
  }
}

/** The edges between tasks: decided when a dependency ends, or judged above where their condition is custom. */
export class DependencyEdges {
  readonly #unjudged = new Set<MemoryEdge>();
  readonly #dependents: Dependents;

  constructor(dependents: Dependents) {
    this.#dependents = dependents;
  }

  /** Puts a new entry's edges in place; edges to tasks that have ended are decided at once. */
  link(entry: MemoryEntry, now: number, decided: Decided): void {
    if (entry.edges.length === 0) return;
    for (const edge of entry.edges) {
      // Only an edge that was added later may lead to a task that is gone.
      const dependency = this.#dependents.get(edge.dependencyId);
      const status = dependency?.record.status ?? GONE;
      if (isEnded(status)) this.#decide(entry, edge, status, now, decided);
      else if (dependency) addDependent(dependency, edge);
    }
    entry.record.blockedBy = undecidedIds(entry);
  }

  /** Its own edges count no longer; those to it are decided, and so on downwards. A list, not recursion: chains are long. */
  end(entry: MemoryEntry, status: EndStatus, now: number, decided: Decided | null): void {
    for (const edge of entry.edges) this.#unjudged.delete(edge);
    // Without dependents there are no effects to gather.
    if (!decided || !entry.dependents) return;
    decided.endings.push({ entry, status });
    if (decided.endings.length > 1) return;
    for (let i = 0; i < decided.endings.length; i++) {
      const ending = decided.endings[i]!;
      this.#decideAll(ending.entry, ending.status, now, decided);
    }
    decided.endings.length = 0;
  }

  unjudged(limit: number): UnjudgedEdge[] {
    return [...this.#unjudged]
      .slice(0, limit)
      .map(({ taskId, dependencyId, condition }) => ({ taskId, dependencyId, condition: condition ?? '' }));
  }

  judge({ taskId, dependencyId, condition, holds, reason }: Verdict, now: number, decided: Decided): void {
    const entry = this.#dependents.get(taskId);
    const edge = entry?.edges.find(
      (e) => e.verdict === 'unjudged' && e.dependencyId === dependencyId && e.condition === condition,
    );
    if (!entry || !edge) return;
    this.#unjudged.delete(edge);
    edge.verdict = holds ? 'holds' : 'fails';
    this.#reconsider(entry, edge, reason, now, decided);
  }

  /** Edges that matter no more. */
  #void(entry: MemoryEntry): void {
    for (const edge of entry.edges) {
      this.#unjudged.delete(edge);
      if (edge.verdict === 'undecided' || edge.verdict === 'unjudged') edge.verdict = 'void';
    }
  }

  #decideAll(ended: MemoryEntry, status: EndStatus, now: number, decided: Decided): void {
    const edges = ended.dependents ?? [];
    ended.dependents = null;
    for (const edge of edges) {
      const dependent = this.#dependents.get(edge.taskId);
      if (dependent && edge.verdict === 'undecided') this.#decide(dependent, edge, status, now, decided);
    }
  }

  #decide(entry: MemoryEntry, edge: MemoryEdge, ended: EndStatus, now: number, decided: Decided): void {
    if (isEnded(entry.record.status) || edge.verdict !== 'undecided') return;
    edge.verdict = edgeVerdict(edge.on, ended);
    if (edge.verdict === 'unjudged') {
      this.#unjudged.add(edge);
      decided.unjudged = true;
    } else {
      this.#reconsider(entry, edge, skipReason(edge.dependencyId, edge.on, ended), now, decided);
    }
  }

  /** After an edge of a waiting task was decided: skip it, release it, or leave it blocked. */
  #reconsider(entry: MemoryEntry, edge: MemoryEdge, reason: string, now: number, decided: Decided): void {
    const { record } = entry;
    if (record.status !== 'pending') return;
    const isLast = undecidedIds(entry).length === 0;
    if (edge.verdict === 'fails' && (entry.join === 'all' || isLast)) {
      decided.skipped.push(record.id);
      this.#dependents.skip(entry, reason, now, decided);
      return;
    }
    if (edge.verdict === 'holds' && entry.join === 'any') this.#void(entry);
    record.blockedBy = undecidedIds(entry);
    record.version++;
    if (record.blockedBy.length === 0 && entry.stage === 'blocked') {
      decided.released.push(record.id);
      this.#dependents.release(entry, now);
    }
  }
}

function addDependent(entry: MemoryEntry, edge: MemoryEdge): void {
  entry.dependents ??= [];
  entry.dependents.push(edge);
}
