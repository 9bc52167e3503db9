import { priorityOf } from '../queue/priority.ts';
import type { AgentScore, NewTask, Task } from '../queue/task.ts';
import type { Experience, Performance } from './experience.ts';

/** An agent as the coordinator sees it when a task is to be assigned. */
export interface Candidate {
  readonly agent: string;
  readonly capabilities: readonly string[];
  /** Tasks it runs now. */
  readonly running: number;
}

/** The part of a task that scores look at. */
export type ScorableTask = Pick<Task, 'id' | 'priority'> & {
  /** Seeds the draws of a strategy, with the id. @default 1 */
  readonly attempt?: number | undefined;
  readonly agentType?: string | undefined;
  readonly agent?: string | undefined;
};

/** As a submitter may write it: the priority by number or by name, 5 without one. */
export type AssignableTask = Pick<Task, 'id'> & {
  readonly priority?: NewTask['priority'];
  /** Seeds the draws of a strategy, with the id. @default 1 */
  readonly attempt?: number | undefined;
  readonly agentType?: string | undefined;
  readonly agent?: string | undefined;
};

export function scorable(task: AssignableTask): ScorableTask {
  return typeof task.priority === 'number' ? (task as ScorableTask) : { ...task, priority: priorityOf(task) };
}

const CAPABILITY_POINTS = 50;
const LOAD_POINTS = -5;
const SUCCESS_POINTS = 20;
const SPEED_POINTS = 10;
/** What an agent without experience counts as: neither good nor bad. */
const NEUTRAL_SHARE = 0.5;

/**
 * Jotty's seed formula: 50 where the type is among the agent's capabilities by name (`general` passes the
 * filter and scores nothing) · 40/25/10/5 for critical/high/medium/low · −5 per running task ·
 * +20 × success rate · +10 × (fastest mean / own mean). Without experience of the type both shares are ½.
 */
export function scoreAll(
  task: ScorableTask,
  candidates: readonly Candidate[],
  experience: Experience,
): AgentScore[] {
  const known = candidates.map(({ agent }) => experience.of(agent, task.agentType));
  const fastestMs = Math.min(...known.map(meanMs));
  const scores = candidates.map((candidate, i) => scoreOne(task, candidate, known[i], fastestMs));
  return scores.length > 1 ? scores.sort((a, b) => b.score - a.score) : scores;
}

/** Critical is 9–10, high 7–8, medium 4–6, low 1–3. */
function priorityPoints(priority: number): number {
  if (priority >= 9) return 40;
  if (priority >= 7) return 25;
  return priority >= 4 ? 10 : 5;
}

function scoreOne(
  task: ScorableTask,
  candidate: Candidate,
  known: Performance | undefined,
  fastestMs: number,
): AgentScore {
  const matches = task.agentType !== undefined && candidate.capabilities.includes(task.agentType);
  const parts = {
    capability: matches ? CAPABILITY_POINTS : 0,
    priority: priorityPoints(task.priority),
    load: candidate.running === 0 ? 0 : LOAD_POINTS * candidate.running,
    success: SUCCESS_POINTS * (known === undefined ? NEUTRAL_SHARE : known.successes / known.runs),
    speed: SPEED_POINTS * (known === undefined ? NEUTRAL_SHARE : speedShare(meanMs(known), fastestMs)),
  };
  const score = parts.capability + parts.priority + parts.load + parts.success + parts.speed;
  return { agent: candidate.agent, score, parts };
}

function speedShare(ownMs: number, fastestMs: number): number {
  return ownMs <= fastestMs ? 1 : fastestMs / ownMs;
}

/** Infinity without experience: then nobody is slower. */
function meanMs(known: Performance | undefined): number {
  return known === undefined ? Infinity : known.totalMs / known.runs;
}
