import type { TaskInterrupt } from '../queue/task.ts';
import type { GraphState, RunnableGraph } from './graph.ts';
import { subgraphState } from './questions.ts';

/*
 * A graph compiled with interruptBefore or interruptAfter stops without asking anything. The stop becomes a
 * question of its own, named by the checkpoint it stopped at; any answer lets the graph go on.
 */

const PREFIX = 'breakpoint:';

/** The question that a stop stands for. */
export function breakpointQuestion(state: GraphState): TaskInterrupt {
  return {
    id: `${PREFIX}${checkpointId(deepest(state))}`,
    value: { next: state.tasks.map((task) => task.name) },
  };
}

/**
 * Whether the thread stands at one of the graph's own breakpoints. `invoke(null)` would run past it, also
 * where the process died before the stop was recorded. Breakpoints inside subgraphs are not seen here.
 */
export async function standsAtBreakpoint(graph: RunnableGraph, state: GraphState): Promise<boolean> {
  const next = state.tasks.map((task) => task.name);
  if (contains(graph.interruptBefore, next)) return true;
  if (!isSet(graph.interruptAfter) || state.parentConfig === undefined) return false;
  const before = await graph.getState(state.parentConfig);
  return contains(
    graph.interruptAfter,
    before.tasks.map((task) => task.name),
  );
}

function isSet(names: readonly string[] | '*' | undefined): names is readonly string[] | '*' {
  return names !== undefined && names.length > 0;
}

function contains(names: readonly string[] | '*' | undefined, tasks: readonly string[]): boolean {
  const own = tasks.filter((task) => !task.startsWith('__'));
  if (!isSet(names)) return false;
  return names === '*' ? own.length > 0 : own.some((task) => names.includes(task));
}

/** Where the stop happened: in the innermost subgraph that has something left to do. */
function deepest(state: GraphState): GraphState {
  for (const task of state.tasks) {
    const inner = subgraphState(task);
    if (inner !== undefined && inner.tasks.length > 0) return deepest(inner);
  }
  return state;
}

function checkpointId(state: GraphState): string {
  return String(state.config.configurable.checkpoint_id);
}
