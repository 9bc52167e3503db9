import type { Dependency, EndStatus } from './task.ts';
import type { Edge } from './task-store.ts';
import { whereText } from './where.ts';

/** What an ending decides for an edge. `unjudged`: only the custom condition can tell, above the store. */
export type EdgeVerdict = 'holds' | 'fails' | 'unjudged';

export function edgeVerdict(on: Edge['on'], ended: EndStatus): EdgeVerdict {
  switch (on) {
    case 'completion':
      return 'holds';
    case 'success':
      return ended === 'completed' ? 'holds' : 'fails';
    case 'failure':
      return ended === 'failed' ? 'holds' : 'fails';
    case 'custom':
      return ended === 'completed' ? 'unjudged' : 'fails';
  }
}

/** The reason recorded with a task that is skipped, since this edge can no longer hold. */
export function skipReason(dependencyId: string, on: Edge['on'], ended: EndStatus): string {
  return `dependency ${dependencyId} is ${ended}, ${on === 'custom' ? 'success' : on} was needed`;
}

export function toEdge(dependency: string | Dependency): Edge {
  if (typeof dependency === 'string') return { dependencyId: dependency, on: 'success', condition: null };
  const { id, where } = dependency;
  if (where !== undefined) return { dependencyId: id, on: 'custom', condition: whereText(where) };
  const on = dependency.on ?? 'success';
  return typeof on === 'string'
    ? { dependencyId: id, on, condition: null }
    : { dependencyId: id, on: 'custom', condition: on.custom };
}

/** As it is shown: in one form, with its default. */
export function toDependency(dependency: string | Dependency): Dependency {
  if (typeof dependency === 'string') return { id: dependency, on: 'success' };
  const { id, on, where } = dependency;
  return on === undefined && where === undefined ? { id, on: 'success' } : dependency;
}

interface Linked {
  readonly id: string;
  readonly dependsOn: readonly Pick<Edge, 'dependencyId'>[];
}

/**
 * The ids round a cycle among the records of one batch, or null. Only a batch can close a cycle, since a
 * stored task depends on tasks that were there before it. Iterative: a chain may be as long as a batch.
 */
export function findCycle(records: readonly Linked[]): string[] | null {
  const byId = new Map(records.filter((r) => r.dependsOn.length > 0).map((r) => [r.id, r]));
  const done = new Set<string>();
  for (const start of byId.keys()) {
    const cycle = walk(start, byId, done);
    if (cycle) return cycle;
  }
  return null;
}

/** Which edge of the first task on the cycle leads to the second. */
export function edgeOn(records: readonly Linked[], [first, second]: readonly string[]): number {
  const { dependsOn } = records.find(({ id }) => id === first)!;
  return dependsOn.findIndex(({ dependencyId }) => dependencyId === second);
}

function walk(start: string, byId: ReadonlyMap<string, Linked>, done: Set<string>): string[] | null {
  const path: { id: string; next: number }[] = [{ id: start, next: 0 }];
  const onPath = new Set([start]);
  while (path.length > 0) {
    const here = path[path.length - 1]!;
    const edge = done.has(here.id) ? undefined : byId.get(here.id)?.dependsOn[here.next++];
    if (!edge) {
      done.add(here.id);
      onPath.delete(here.id);
      path.pop();
    } else if (onPath.has(edge.dependencyId)) {
      const ids = path.map((step) => step.id);
      return [...ids.slice(ids.indexOf(edge.dependencyId)), edge.dependencyId];
    } else if (!done.has(edge.dependencyId) && byId.has(edge.dependencyId)) {
      path.push({ id: edge.dependencyId, next: 0 });
      onPath.add(edge.dependencyId);
    }
  }
  return null;
}
