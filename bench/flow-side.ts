import type { FlowNode } from './flow-graphs.ts';

/** What the benchmark asks of who can let tasks wait for others. */
export interface FlowSide {
  /** Opens an empty place; sides in memory ignore the path. */
  open(path: string): Promise<OpenFlows>;
  /** Lets a task wait for many, and many for it. Without it only trees are asked for. @default false */
  readonly hasGraphs?: boolean;
}

export interface OpenFlows {
  /** From the submission until the last completion is stored, with no-op handlers. */
  run(nodes: readonly FlowNode[]): Promise<void>;
  /** Submits one task with its dependents, and ends it. */
  release?(nodes: readonly FlowNode[]): Promise<Release>;
  close(): Promise<void>;
}

/** ms from the call that ends the task. */
export interface Release {
  /** Until that call has returned and the dependents are released. */
  readonly endedMs: number;
  /** Until all dependents have been handed out. */
  readonly claimedMs: number;
}

/** So many no-op handlers at a time, and so many tasks are asked for at once. */
export const FLOW_CONCURRENCY = 100;

/** Each side is loaded only in the process that measures it, so that none disturbs another. */
const LOADERS: Readonly<Record<string, () => Promise<FlowSide>>> = {
  ...Object.fromEntries(
    ['jotty', 'jotty-memory', 'redis', 'hybrid'].flatMap((side) => [
      [side, async () => (await import('./peers/jotty-flows.ts')).jottyFlows(side)],
      [`${side}-manager`, async () => (await import('./peers/jotty-flows.ts')).managedFlows(side)],
    ]),
  ),
  bullmq: async () => (await import('./peers/bullmq-flows.ts')).bullmqFlows,
  'pg-boss': async () => (await import('./peers/pg-boss-flows.ts')).pgBossFlows,
};

export async function flowSideByName(name: string): Promise<FlowSide> {
  const load = LOADERS[name];
  if (load === undefined)
    throw new Error(`expected a side (${Object.keys(LOADERS).join(', ')}), got ${name}`);
  return load();
}
