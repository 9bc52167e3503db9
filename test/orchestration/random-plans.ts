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

/** In place of a number an approval's result says who approved it. */
const APPROVED = { where: { 'result.approved': { eq: true } } } as const;

/** What the queues of these plans must know. */
export const CONDITIONS = { big: (result: unknown) => (result as number) >= 2 };

/** Nobody decides where the plan says so: then the time does. */
type Verdict = 'approve' | 'reject' | 'timeout';

const approval = fc.record({
  verdicts: fc.array(fc.constantFrom<Verdict>('approve', 'approve', 'reject', 'timeout'), {
    minLength: LIVES,
    maxLength: LIVES,
  }),
  onTimeout: fc.constantFrom<'approve' | 'reject'>('approve', 'reject'),
  /** What is to be approved changes while it is asked, each time. */
  isChanged: fc.boolean(),
});

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
  /** Somebody approves it; no agent runs it. */
  approval: fc.oneof({ weight: 3, arbitrary: fc.constant(null) }, { weight: 1, arbitrary: approval }),
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

type PlannedApproval = typeof approval extends fc.Arbitrary<infer T> ? T : never;
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

export interface PlanSettings {
  /** How long approvals wait that nobody decides. */
  readonly timeoutMs: number;
  /** How often the plan is run. @default LIVES */
  readonly lives?: number;
  /** What else is said of a task that is run. */
  readonly more?: (lives: PlannedTask['lives']) => Partial<WorkflowTask<string>>;
}

/** A task's goal is its ref. */
export function workflowOf(plan: Plan, { more = () => ({}), ...asking }: PlanSettings): Workflow<string> {
  const workflow = new Workflow<string>('random');
  // Added in reverse, so that the order of the plan is not that of its dependencies.
  for (let i = plan.tasks.length - 1; i >= 0; i--) {
    const { join, lives, approval: asked } = plan.tasks[i]!;
    const dependsOn = edgesOf(plan, i).map(({ ref, word }) => ({ ref, ...edgeOf(plan, ref, word) }));
    const task = { goal: `t${i}`, maxRetries: 0, dependsOn, join };
    if (asked === null) workflow.add(`t${i}`, { ...more(lives), ...task });
    else workflow.add(`t${i}`, { ...task, approval: questionOf(asked, asking) });
  }
  return workflow;
}

function edgeOf({ tasks }: Plan, ref: string, word: Word) {
  const isAsked = tasks[Number(ref.slice(1))]!.approval !== null;
  return isAsked && word === 'where' ? APPROVED : EDGES[word];
}

function questionOf(
  { verdicts, onTimeout }: PlannedApproval,
  { timeoutMs, lives = LIVES }: Omit<PlanSettings, 'more'>,
) {
  const isTimed = verdicts.slice(0, lives).includes('timeout');
  return { question: 'Sure?', ...(isTimed && { timeoutMs, onTimeout }) };
}

/** Whether it is asked while some of the results that it shows may still come. */
export function isAskedEarly(plan: Plan, i: number): boolean {
  return plan.tasks[i]!.join === 'any' && edgesOf(plan, i).length > 1;
}

/** How often at the most: again where it was changed on purpose, and again where another result came. */
function timesAsked(plan: Plan, i: number): number {
  const later = isAskedEarly(plan, i) ? edgesOf(plan, i).length - 1 : 0;
  return 1 + (plan.tasks[i]!.approval!.isChanged ? 1 : 0) + later;
}

export interface PlannedDecision {
  readonly approved: boolean;
  readonly by: string;
  readonly reason?: string;
}

/** How the approval ends when the plan is run for the `life`-th time: who says what, and why. */
export function decisionOf({ tasks }: Plan, i: number, life: number): PlannedDecision {
  const { verdicts, onTimeout } = tasks[i]!.approval!;
  const verdict = verdicts[life]!;
  if (verdict === 'timeout') return { approved: onTimeout === 'approve', by: 'timeout' };
  return { approved: verdict === 'approve', by: `person ${i}`, reason: `since it is life ${life}` };
}

/** By the clock of the tests a claim bears the time it was asked for: on its way to Redis an end may come before it. */
const STAMP_MS = 5;

/** What becomes of a plan, worked out from the words of the docs alone. */
export class Oracle {
  readonly status: Record<string, string> = {};
  readonly results: Record<string, number | PlannedDecision> = {};
  /** How often each has run: of a cancelled task at most. */
  readonly runs: Record<string, number> = {};
  readonly given: Record<string, Record<string, number | PlannedDecision>> = {};
  /** Those that may have run, or were asked, in the latest life. */
  readonly ran = new Set<string>();
  readonly #plan: Plan;
  #life = 0;

  constructor(plan: Plan) {
    this.#plan = plan;
  }

  /**
   * The first time, and with each retry: what was cancelled stays, and what completed unless it depends on what
   * failed; the rest is decided by how things are now. Whom a cancel reached before its end is a matter of time; all
   * else follows from that.
   */
  run(cancelled: ReadonlySet<string>): void {
    this.ran.clear();
    const again = new Set<string>();
    this.#plan.tasks.forEach((_, i) => {
      const ref = `t${i}`;
      if (this.status[ref] === 'cancelled') return;
      if (this.#isAgain(i, again)) again.add(ref);
      else if (this.status[ref] === 'completed') return;
      const may = this.#mayRun(i);
      delete this.results[ref];
      if (may) this.#start(ref, i);
      if (cancelled.has(ref)) this.status[ref] = 'cancelled';
      else if (may) this.#end(ref, i);
      else this.status[ref] = 'skipped';
    });
    this.#life += 1;
  }

  /** How an approval was asked and ended in its latest life. On the wall time may be faster than who changes it. */
  expectAsked(i: number, history: readonly TaskEvent[], isOnTheWall = false): void {
    const ref = `t${i}`;
    const most = timesAsked(this.#plan, i);
    const life = lifeOf(history);
    const asked = life.filter(({ to }) => to === 'waiting').length;
    expect(asked, `questions of ${ref}`).toBeLessThanOrEqual(most);
    if (this.status[ref] === 'cancelled') return;
    const { approved, by, reason } = decisionOf(this.#plan, i, this.#life - 1);
    const isLess = isAskedEarly(this.#plan, i) || (isOnTheWall && by === 'timeout');
    expect(asked, `questions of ${ref}`).toBeGreaterThanOrEqual(isLess ? 1 : most);
    const why = reason ?? expect.stringMatching(/^nobody decided within \d+ ms$/);
    const told = /^(approved|rejected) by (.*?): (.*)$/.exec(life.at(-1)?.reason ?? '')?.slice(1);
    expect(told, `the end of ${ref}`).toEqual([approved ? 'approved' : 'rejected', by, why]);
  }

  /** No start before its conditions: what it waited for had ended, or of several one that let it go on. */
  expectOrder(i: number, startedAt: number, endedAt: (ref: string) => number): void {
    const edges = edgesOf(this.#plan, i);
    if (edges.length === 0) return;
    const isAny = this.#plan.tasks[i]!.join === 'any';
    const ends = (isAny ? edges.filter((edge) => this.#holds(edge)) : edges).map(({ ref }) => endedAt(ref));
    expect(startedAt + STAMP_MS, `the start of t${i}, after ${JSON.stringify(edges)}`).toBeGreaterThanOrEqual(
      isAny ? Math.min(...ends) : Math.max(...ends),
    );
  }

  /** Whether a retry runs it again: it failed, or depends on what did, and nothing that stays is in its way. */
  #isAgain(i: number, again: ReadonlySet<string>): boolean {
    const status = this.status[`t${i}`];
    const edges = edgesOf(this.#plan, i);
    const stay = edges.filter(({ ref }) => !again.has(ref));
    if (status === undefined || status === 'failed') return status === 'failed';
    if (stay.length === edges.length) return false;
    if (this.#plan.tasks[i]!.join === 'any') return status === 'skipped';
    // What a custom condition says is asked again.
    const isOpen = (edge: PlannedEdge) => edge.word === 'custom' && this.status[edge.ref] === 'completed';
    return status === 'completed' || stay.every((edge) => isOpen(edge) || this.#holds(edge));
  }

  #mayRun(i: number): boolean {
    const edges = edgesOf(this.#plan, i);
    const held = edges.filter((edge) => this.#holds(edge)).length;
    return this.#plan.tasks[i]!.join === 'all' ? held === edges.length : held > 0 || edges.length === 0;
  }

  #start(ref: string, i: number): void {
    this.ran.add(ref);
    if (this.#plan.tasks[i]!.approval !== null) return;
    this.runs[ref] = (this.runs[ref] ?? 0) + 1;
    const known = edgesOf(this.#plan, i).filter((edge) => this.status[edge.ref] === 'completed');
    this.given[ref] = Object.fromEntries(known.map((edge) => [edge.ref, this.results[edge.ref]!]));
  }

  #end(ref: string, i: number): void {
    if (this.#plan.tasks[i]!.approval !== null) {
      const decision = decisionOf(this.#plan, i, this.#life);
      this.status[ref] = decision.approved ? 'completed' : 'failed';
      if (decision.approved) this.results[ref] = decision;
      return;
    }
    const result = this.#plan.tasks[i]!.lives[this.runs[ref]! - 1] ?? null;
    this.status[ref] = result === null ? 'failed' : 'completed';
    if (result !== null) this.results[ref] = result;
  }

  #holds({ ref, word }: PlannedEdge): boolean {
    const status = this.status[ref];
    if (word === 'completion') return true;
    if (word === 'failure') return status === 'failed';
    if (status !== 'completed') return false;
    const result = this.results[ref]!;
    if (typeof result === 'object') return word !== 'custom';
    return word === 'success' || result >= (word === 'where' ? 1 : 2);
  }

  /** What the workflow as a whole has come to. */
  get outcome(): string {
    const has = (status: string) => Object.values(this.status).includes(status);
    return has('failed') ? 'failed' : has('cancelled') ? 'cancelled' : 'completed';
  }
}

/** The results as a plan foretells them: when somebody decided, and how a time was told, is not said there. */
export function foretold(results: object): unknown {
  const entries = Object.entries(results).map(([ref, result]: [string, unknown]) => {
    if (typeof result !== 'object' || result === null) return [ref, result];
    const { at: _, ...decision } = result as { readonly at: number; by: string; reason?: string };
    if (decision.by === 'timeout') delete decision.reason;
    return [ref, decision];
  });
  return Object.fromEntries(entries);
}

function lifeOf(history: readonly TaskEvent[]): readonly TaskEvent[] {
  return history.slice(
    history.findLastIndex(({ to, from }) => to === 'pending' && (from === null || isEnded(from))),
  );
}

/** When the latest life of a task began to run, or was asked, ms since the epoch; null: it did not. */
export function startOf(history: readonly TaskEvent[]): number | null {
  const start = lifeOf(history).find(({ to }) => to === 'assigned' || to === 'in_progress');
  return start?.at ?? null;
}
