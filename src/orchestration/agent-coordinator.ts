import { InvalidOptionError } from '../errors.ts';
import type { AgentScore } from '../queue/task.ts';
import type { Assignment } from '../queue/task-queue.ts';
import { GENERAL_CAPABILITY } from '../queue/workers.ts';
import { Experience, type ExperienceRecord, type Performance } from './experience.ts';
import { drawScores } from './learned.ts';
import { RecentAssignments } from './recent-assignments.ts';
import { type AssignableTask, type ScorableTask, scorable, scoreAll } from './scoring.ts';

/** Picks one of the agents in the score table, which holds those that may run the task, best first. */
export type StrategyFunction = (task: ScorableTask, scores: readonly AgentScore[]) => string | null;

/**
 * `learned` tries and uses by what each agent was like lately (Thompson sampling), `scored` is the fixed formula of
 * points, `leastLoaded` and `roundRobin` learn nothing. A function picks by the table of `scored`.
 */
export type Strategy = 'learned' | 'scored' | 'leastLoaded' | 'roundRobin' | StrategyFunction;

export interface AgentCoordinatorOptions {
  /** How one of several agents is picked. @default 'learned' */
  readonly strategy?: Strategy | undefined;
}

interface RegisteredAgent {
  readonly agent: string;
  readonly capabilities: readonly string[];
  readonly maxConcurrent: number;
  running: number;
}

/** Assignments that `explain` remembers; the oldest is forgotten first. The queue keeps them with the tasks. */
const EXPLAINED_TASKS_MAX = 1_000;

/** Made in this process so far. */
let coordinators = 0;

/**
 * Picks the agent for a task. Hard filters come first: the pinned agent, the capability, free capacity. Then
 * the strategy decides, by default by what `learned.ts` draws. It learns from each outcome.
 */
export class AgentCoordinator {
  readonly #agents = new Map<string, RegisteredAgent>();
  readonly #experience = new Experience();
  readonly #assignments = new RecentAssignments(EXPLAINED_TASKS_MAX);
  /** Which one of this process's it is. */
  readonly #number = ++coordinators;
  /** Choices so far, also of nobody, and ends of runs. */
  #turn = 0;
  /** As it was given. */
  readonly strategy: Strategy;
  readonly #strategy: StrategyFunction;
  readonly #score: typeof scoreAll;

  constructor(options: AgentCoordinatorOptions = {}) {
    const { strategy = 'learned' } = options;
    this.strategy = strategy;
    this.#score = strategy === 'learned' ? drawScores : scoreAll;
    this.#strategy = strategyFrom(strategy, (agent) => this.load(agent));
  }

  /** An agent's name is one of its capabilities; `general` takes every type. Registering again replaces. */
  registerAgent(
    id: string,
    capabilities: readonly string[] = [],
    options: { readonly maxConcurrent?: number | undefined } = {},
  ): void {
    this.#agents.set(id, {
      agent: id,
      capabilities: [...new Set([id, ...capabilities])],
      maxConcurrent: options.maxConcurrent ?? Infinity,
      running: this.#agents.get(id)?.running ?? 0,
    });
  }

  /** Counts the task as running on the agent returned, until `recordOutcome` or `release`. null where no agent may run it now. */
  assign(task: AssignableTask): string | null {
    return this.choose(task)?.agent ?? null;
  }

  /** As `assign`, with the score table. `among` has the names of the agents at hand, where others share the coordinator. */
  choose(assignable: AssignableTask, among?: { has(agent: string): boolean }): Assignment | null {
    this.#turn += 1;
    const task = scorable(assignable);
    const candidates = this.#candidates(task, among);
    if (candidates.length === 0) return null;
    const scores = this.#score(task, candidates, this.#experience);
    const agent = scores.length === 1 ? scores[0]!.agent : this.#strategy(task, scores);
    const chosen = agent === null ? undefined : candidates.find((candidate) => candidate.agent === agent);
    if (chosen === undefined) return null;
    chosen.running += 1;
    const assignment = { agent: chosen.agent, scores };
    this.#assignments.add(task.id, assignment);
    return assignment;
  }

  /**
   * `ms` is how long the run took.
   * @throws InvalidOptionError where it is not a number from 0: it would spoil all later scores.
   */
  recordOutcome(agentId: string, task: Pick<ScorableTask, 'agentType'>, success: boolean, ms: number): void {
    if (!(ms >= 0 && ms < Infinity)) throw new InvalidOptionError('ms', 'a number from 0', ms);
    this.release(agentId);
    this.learn(agentId, task, success, ms);
  }

  /** As `recordOutcome`, of a run that was not assigned here: an agent's part in a goal of several. */
  learn(agentId: string, task: Pick<ScorableTask, 'agentType'>, success: boolean, ms: number): void {
    this.#experience.record(agentId, task.agentType, success, ms);
  }

  /** Ends a run that says nothing about the agent: handed back, cancelled, waiting for a person. */
  release(agentId: string): void {
    this.#turn += 1;
    const agent = this.#agents.get(agentId);
    if (agent !== undefined && agent.running > 0) agent.running -= 1;
  }

  /** The assignment, just made, with its place among all that this coordinator does; one agent alone leaves nothing to be told. */
  counted({ agent, scores }: Assignment): Assignment {
    if (this.#agents.size === 1) return { agent, scores };
    return { agent, scores, turns: [this.#number, this.#turn] };
  }

  /** The number of its latest choice, or end of a run. */
  get turn(): number {
    return this.#turn;
  }

  /** The score table of the task's last assignment in this process, best first; empty where there was none. */
  explain(taskId: string): readonly AgentScore[] {
    return this.#assignments.of(taskId)?.scores ?? [];
  }

  /** What was learned in this process, for others: at most `limit` pairs of agent and type, the latest first. */
  experience(limit: number): ExperienceRecord[] {
    return this.#experience.own(limit);
  }

  /** Takes over what other processes learned, in place of what they shared before. */
  learnFrom(records: readonly ExperienceRecord[]): void {
    this.#experience.share(records);
  }

  /** What is known of an agent's work on a type of task, here and in the processes that shared theirs. */
  performance(agentId: string, agentType?: string): Performance | undefined {
    return this.#experience.of(agentId, agentType);
  }

  /** Tasks the agent runs now. */
  load(agentId: string): number {
    return this.#agents.get(agentId)?.running ?? 0;
  }

  #candidates(task: ScorableTask, among?: { has(agent: string): boolean }): RegisteredAgent[] {
    const candidates: RegisteredAgent[] = [];
    for (const agent of this.#agents.values()) {
      if (agent.running >= agent.maxConcurrent || !mayRun(agent, task)) continue;
      if (among === undefined || among.has(agent.agent)) candidates.push(agent);
    }
    return candidates;
  }
}

function mayRun(agent: RegisteredAgent, task: ScorableTask): boolean {
  if (task.agent !== undefined) return task.agent === agent.agent;
  const { agentType } = task;
  return (
    agentType === undefined ||
    agent.capabilities.includes(agentType) ||
    agent.capabilities.includes(GENERAL_CAPABILITY)
  );
}

function strategyFrom(strategy: Strategy, load: (agent: string) => number): StrategyFunction {
  if (typeof strategy === 'function') return strategy;
  switch (strategy) {
    case 'learned':
    case 'scored':
      return (_task, scores) => scores[0]?.agent ?? null;
    case 'leastLoaded':
      return (_task, scores) => leastLoaded(scores, load);
    case 'roundRobin':
      return roundRobin();
    default:
      throw new InvalidOptionError(
        'strategy',
        'learned, scored, leastLoaded, roundRobin or a function',
        strategy,
      );
  }
}

/** Ties go to the better score. */
function leastLoaded(scores: readonly AgentScore[], load: (agent: string) => number): string | null {
  let best: AgentScore | undefined;
  for (const score of scores) if (best === undefined || load(score.agent) < load(best.agent)) best = score;
  return best?.agent ?? null;
}

/** Whoever of the candidates was picked longest ago. */
function roundRobin(): StrategyFunction {
  const pickedAt = new Map<string, number>();
  let turn = 0;
  return (_task, scores) => {
    const names = scores.map((score) => score.agent).sort();
    const next = names.reduce<string | null>(
      (best, name) => (best === null || (pickedAt.get(name) ?? 0) < (pickedAt.get(best) ?? 0) ? name : best),
      null,
    );
    if (next !== null) pickedAt.set(next, ++turn);
    return next;
  };
}
