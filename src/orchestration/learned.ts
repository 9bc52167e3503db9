import type { AgentScore } from '../queue/task.ts';
import { Draws, seedOf } from './draws.ts';
import type { Evidence } from './evidence.ts';
import type { Experience } from './experience.ts';
import type { Candidate, ScorableTask } from './scoring.ts';

/** Rows of the table that are made and kept: the best. */
const ROWS_MAX = 32;
const POINTS = 100;

/** The floor: one task in so many goes to the agent that has not been tried for longest, however bad it was. */
const TRIAL_SHARE = 0.02;
/** Tasks of this priority and above are no trials. */
const CRITICAL = 9;

/** What the type's other agents are worth as evidence of an agent, in runs. */
const PRIOR_RUNS = 3;
/**
 * Each run counts as so many where success is drawn. As wide as theory has it, a draw sends more to agents known to be
 * poor than is ever learned by that: on the fleets of bench/routing this is 1 to 3 % more success, in the same time.
 */
const CERTAINTY = 3;
/** Variance of ln(duration): between agents, and of one agent's runs before there are some. */
const BETWEEN_AGENTS = 1;
const WITHIN_AGENT = 0.3;
/** What is known of an agent's own variance before its runs tell, in runs. */
const SPREAD_RUNS = 5;

/** A failure costs more than the time of its run: a back-off, the next run's wait, and an attempt of those a task has. */
const FAILURE_POWER = 2.5;
/** Each running task is taken to slow the others a little, so that equals share. */
const LOAD_COST = 0.02;
/** One that takes every type is taken for so much slower than one that names it, until its runs tell. */
const GENERALIST_COST = 20;

/** What all agents of the type have in common, before one's own runs are looked at. */
interface Prior {
  readonly success: number;
  readonly logMs: number;
}

/**
 * Thompson sampling: of each agent a success rate and a duration are drawn from what is known of it, and the
 * one that would be done soonest by these draws is taken: time ÷ success ^ 2.5, shown as points (the best has
 * 100). Little is known of an agent that is new, or was not tried for long; its draws differ much, and so it is
 * tried. One task in fifty goes to the agent of its type that was not tried for longest (part `trial`).
 *
 * The draws are seeded by the task's id and attempt, and stand in the table: `success`, `ms`.
 */
export function drawScores(
  task: ScorableTask,
  candidates: readonly Candidate[],
  experience: Experience,
): AgentScore[] {
  const seed = seedOf(`${task.id}#${task.attempt ?? 1}`);
  const draws = new Draws(seed);
  if (candidates.length === 1) return [onlyScore(task, candidates[0]!, experience, draws, seed)];
  const trial = trialOf(task, candidates, experience, draws);
  const known = candidates.map(({ agent }) => experience.recent(agent, task.agentType));
  const prior = priorOf(known);
  const rows = candidates.map((candidate, i) =>
    drawRow(task, candidate, known[i], prior, draws.begin(seed, seedOf(candidate.agent))),
  );
  const best = bestOf(rows, ROWS_MAX);
  const lead = rows.find(({ agent }) => agent === trial);
  return table(lead === undefined ? best : [lead, ...best.filter((row) => row !== lead)], lead);
}

/** Of one that need not be compared. */
function onlyScore(
  task: ScorableTask,
  candidate: Candidate,
  experience: Experience,
  draws: Draws,
  seed: number,
): AgentScore {
  const known = experience.recent(candidate.agent, task.agentType);
  const row = drawRow(task, candidate, known, priorOf([known]), draws.begin(seed, seedOf(candidate.agent)));
  return { agent: row.agent, score: POINTS, parts: partsOf(row) };
}

interface Row {
  readonly agent: string;
  readonly success: number;
  readonly ms: number;
  readonly load: number;
  readonly cost: number;
}

function drawRow(
  { agentType }: ScorableTask,
  candidate: Candidate,
  known: Evidence | undefined,
  prior: Prior,
  draws: Draws,
): Row {
  const { agent, running } = candidate;
  const { weight, good, logMs, spread } = known ?? NOTHING;
  const success = draws.beta(
    CERTAINTY * (good + PRIOR_RUNS * prior.success),
    CERTAINTY * (weight - good + PRIOR_RUNS * (1 - prior.success)),
  );
  const within = (spread + SPREAD_RUNS * WITHIN_AGENT) / (weight + SPREAD_RUNS);
  const precision = weight / within + 1 / BETWEEN_AGENTS;
  const expected = prior.logMs + (isNamed(candidate, agentType) ? 0 : Math.log(GENERALIST_COST));
  const mean = ((weight * logMs) / within + expected / BETWEEN_AGENTS) / precision;
  const ms = Math.exp(mean + draws.normal() / Math.sqrt(precision) + within / 2);
  const load = 1 + LOAD_COST * running;
  return { agent, success, ms, load, cost: (ms * load) / success ** FAILURE_POWER };
}

/** Not only as one that takes every type. */
function isNamed({ capabilities }: Candidate, agentType: string | undefined): boolean {
  return agentType === undefined || capabilities.includes(agentType);
}

const NOTHING: Evidence = { weight: 0, good: 0, logMs: 0, spread: 0 };
const NO_PRIOR: Prior = { success: 0.5, logMs: Math.log(1_000) };

/** The middle of those that are known, each for what it is known by, up to a few runs. */
function priorOf(known: readonly (Evidence | undefined)[]): Prior {
  let success = NO_PRIOR.success;
  let logMs = 0;
  let agents = 1;
  let timed = 0;
  for (const evidence of known) {
    if (evidence === undefined || evidence.weight === 0) continue;
    const share = evidence.weight / (evidence.weight + 1);
    success += (share * evidence.good) / evidence.weight;
    logMs += share * evidence.logMs;
    agents += share;
    timed += share;
  }
  return { success: success / agents, logMs: timed === 0 ? NO_PRIOR.logMs : logMs / timed };
}

/** Who is to be tried whatever is known of it, if this task is for that. */
function trialOf(
  { agentType, priority }: ScorableTask,
  candidates: readonly Candidate[],
  experience: Experience,
  draws: Draws,
): string | undefined {
  if (candidates.length < 2 || priority >= CRITICAL || draws.uniform() >= TRIAL_SHARE) return undefined;
  let longest: string | undefined;
  let turns = -1;
  for (const candidate of candidates) {
    if (!isNamed(candidate, agentType)) continue;
    const { agent } = candidate;
    const since = experience.turnsSince(agent, agentType);
    if (since > turns) [longest, turns] = [agent, since];
  }
  return longest;
}

/** The cheapest, in order; sorting all of a large fleet for each task would cost more than the draws. */
function bestOf(rows: readonly Row[], count: number): Row[] {
  if (rows.length <= count) return [...rows].sort(byCost);
  const best: Row[] = rows.slice(0, count).sort(byCost);
  for (const row of rows.slice(count)) {
    if (row.cost >= best[count - 1]!.cost) continue;
    const place = best.findIndex(({ cost }) => cost > row.cost);
    best.splice(place, 0, row);
    best.pop();
  }
  return best;
}

function byCost(a: Row, b: Row): number {
  return a.cost - b.cost;
}

function table(rows: readonly Row[], trial: Row | undefined): AgentScore[] {
  const cheapest = Math.min(...rows.map(({ cost }) => cost));
  return rows.map((row) => {
    const { agent, cost } = row;
    const points = rounded((POINTS * cheapest) / cost);
    const parts = partsOf(row);
    return row === trial
      ? { agent, score: POINTS + points, parts: { ...parts, trial: POINTS } }
      : { agent, score: points, parts };
  });
}

function partsOf({ success, ms, load }: Row): AgentScore['parts'] {
  const drawn = { success: rounded(success), ms: Math.round(ms) };
  return load > 1 ? { ...drawn, load } : drawn;
}

/** Tables are kept with each task: more digits would tell nobody more. */
function rounded(value: number): number {
  return Math.round(value * 1_000) / 1_000;
}
