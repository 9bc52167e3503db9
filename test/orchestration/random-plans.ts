import fc from 'fast-check';
import { expect } from 'vitest';
import { Workflow, type WorkflowTask } from '../../src/index.ts';
import { isEnded, type TaskEvent } from '../../src/queue/task.ts';

/** So often may a plan be run: a first time and two retries. */
export const LIVES = 3;
const TASKS_MAX = 12;
const STEPS_MAX = 3;
const CANCELS_MAX = 4;
/** The cancels of a plan come before its n-th step; a plan has about so many. */
const STEPS_IN_ALL = 20;

type Word = 'success' | 'failure' | 'completion' | 'where' | 'custom';

const EDGES = {
  success: {},
  failure: { on: 'failure' },
  completion: { on: 'completion' },
  where: { where: { result: { gte: 1 } } },
  custom: { on: { custom: 'big' } },
} as const;

/** What the queues of these plans must know. */
export const CONDITIONS = { big: (result: unknown) => (result as number) >= 2 };

const task = fc.record({
  edges: fc.array(
    fc.record({
      pick: fc.nat({ max: 1_000 }),
      word: fc.constantFrom<Word>('success', 'success', 'failure', 'completion', 'where', 'custom'),
    }),
    { maxLength: 3 },
  ),
  join: fc.constantFrom<'all' | 'any'>('all', 'all', 'any'),
  /** What comes of each life; null is a failure. */
  lives: fc.array(fc.constantFrom(null, 0, 1, 2), { minLength: LIVES, maxLength: LIVES }),
  /** How many turns of the event loop a run takes. */
  steps: fc.nat({ max: STEPS_MAX }),
});

const cancel = fc.record({
  /** Comes before so many steps of the whole plan. */
  at: fc.nat({ max: STEPS_IN_ALL }),
  /** Which task; null is the whole workflow. */
  pick: fc.oneof(
    { weight: 4, arbitrary: fc.nat({ max: 1_000 }) },
    { weight: 1, arbitrary: fc.constant(null) },
  ),
});

type PlannedTask = typeof task extends fc.Arbitrary<infer T> ? T : never;
export type Cancel = typeof cancel extends fc.Arbitrary<infer T> ? T : never;

export interface Plan {
  readonly tasks: readonly PlannedTask[];
  readonly cancels: readonly Cancel[];
}

export const anyPlan: fc.Arbitrary<Plan> = fc.record({
  tasks: fc.array(task, { minLength: 1, maxLength: TASKS_MAX, size: 'max' }),
  // Half of them are left alone.
  cancels: fc.oneof(fc.constant([]), fc.array(cancel, { minLength: 1, maxLength: CANCELS_MAX })),
});

interface PlannedEdge {
  readonly ref: string;
  readonly word: Word;
}

function edgesOf({ tasks }: Plan, i: number): PlannedEdge[] {
  if (i === 0) return [];
  return tasks[i]!.edges.map(({ pick, word }) => ({ ref: `t${pick % i}`, word }));
}

/** A task's goal is its ref; `more` is what else is said of it. */
export function workflowOf(
  plan: Plan,
  more: (lives: PlannedTask['lives']) => Partial<WorkflowTask<string>> = () => ({}),
): Workflow<string> {
  const workflow = new Workflow<string>('random');
  // Added in reverse, so that the order of the plan is not that of its dependencies.
  for (let i = plan.tasks.length - 1; i >= 0; i--) {
    const { join, lives } = plan.tasks[i]!;
    const dependsOn = edgesOf(plan, i).map(({ ref, word }) => ({ ref, ...EDGES[word] }));
    workflow.add(`t${i}`, { ...more(lives), goal: `t${i}`, maxRetries: 0, dependsOn, join });
  }
  return workflow;
}

/** What becomes of a plan, worked out from the words of the docs alone. */
export class Oracle {
  readonly status: Record<string, string> = {};
  readonly results: Record<string, number> = {};
  /** How often each has run: of a cancelled task at most. */
  readonly runs: Record<string, number> = {};
  readonly given: Record<string, Record<string, number>> = {};
  /** Those that may have run in the latest life. */
  readonly ran = new Set<string>();
  readonly #plan: Plan;

  constructor(plan: Plan) {
    this.#plan = plan;
  }

  /**
   * The first time, and with each retry: what completed or was cancelled stays, the rest is decided by how things
   * are now. Whom a cancel reached before its end is a matter of time; all else follows from that.
   */
  run(cancelled: ReadonlySet<string>): void {
    this.ran.clear();
    this.#plan.tasks.forEach((_, i) => {
      const ref = `t${i}`;
      if (this.status[ref] === 'completed' || this.status[ref] === 'cancelled') return;
      const may = this.#mayRun(i);
      if (may) this.#start(ref, i);
      if (cancelled.has(ref)) this.status[ref] = 'cancelled';
      else if (may) this.#end(ref, i);
      else this.status[ref] = 'skipped';
    });
  }

  /** No start before its conditions: what it waited for had ended, or of several one that let it go on. */
  expectOrder(i: number, startedAt: number, endedAt: (ref: string) => number): void {
    const edges = edgesOf(this.#plan, i);
    if (edges.length === 0) return;
    const isAny = this.#plan.tasks[i]!.join === 'any';
    const ends = (isAny ? edges.filter((edge) => this.#holds(edge)) : edges).map(({ ref }) => endedAt(ref));
    expect(startedAt, `the start of t${i}, after ${JSON.stringify(edges)}`).toBeGreaterThanOrEqual(
      isAny ? Math.min(...ends) : Math.max(...ends),
    );
  }

  #mayRun(i: number): boolean {
    const edges = edgesOf(this.#plan, i);
    const held = edges.filter((edge) => this.#holds(edge)).length;
    return this.#plan.tasks[i]!.join === 'all' ? held === edges.length : held > 0 || edges.length === 0;
  }

  #start(ref: string, i: number): void {
    this.ran.add(ref);
    this.runs[ref] = (this.runs[ref] ?? 0) + 1;
    const known = edgesOf(this.#plan, i).filter((edge) => this.status[edge.ref] === 'completed');
    this.given[ref] = Object.fromEntries(known.map((edge) => [edge.ref, this.results[edge.ref]!]));
  }

  #end(ref: string, i: number): void {
    const result = this.#plan.tasks[i]!.lives[this.runs[ref]! - 1] ?? null;
    this.status[ref] = result === null ? 'failed' : 'completed';
    if (result !== null) this.results[ref] = result;
  }

  #holds({ ref, word }: PlannedEdge): boolean {
    const status = this.status[ref];
    if (word === 'completion') return true;
    if (word === 'failure') return status === 'failed';
    if (status !== 'completed') return false;
    return word === 'success' || this.results[ref]! >= (word === 'where' ? 1 : 2);
  }

  /** What the workflow as a whole has come to. */
  get outcome(): string {
    const has = (status: string) => Object.values(this.status).includes(status);
    return has('failed') ? 'failed' : has('cancelled') ? 'cancelled' : 'completed';
  }
}

/** When the latest life of a task began to run, ms since the epoch; null: it did not. */
export function startOf(history: readonly TaskEvent[]): number | null {
  const life = history.findLastIndex(({ to, from }) => to === 'pending' && (from === null || isEnded(from)));
  const start = history.slice(life).find(({ to }) => to === 'assigned' || to === 'in_progress');
  return start?.at ?? null;
}
