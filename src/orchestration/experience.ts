import { afterRun, type Evidence, faded, isEvidence, together } from './evidence.ts';

/** What is known of an agent's work on one type of task. */
export interface Performance {
  readonly runs: number;
  readonly successes: number;
  readonly totalMs: number;
}

/** As it is shared with other processes. */
export interface ExperienceRecord extends Performance {
  readonly agent: string;
  readonly agentType?: string | undefined;
  /** Absent from processes of an earlier version. */
  readonly recent?: Evidence | undefined;
}

interface Known {
  readonly agent: string;
  readonly agentType: string | undefined;
  runs: number;
  successes: number;
  totalMs: number;
  recent: Evidence | undefined;
  /** The type's outcome, counted, at which `recent` was last renewed. */
  turn: number;
  /** The outcome of all, counted, that was its last. */
  at: number;
}

/** All that went on in one type. */
interface TypeKnown {
  /** Outcomes so far. */
  turns: number;
  /** Agents that had some of them, by name. */
  readonly agents: Map<string, Known>;
}

/** Pairs of agent and type that are remembered; the one longest without a run is forgotten first. */
const EXPERIENCE_PAIRS_MAX = 10_000;

/**
 * What an agent is known for counts for half after so many outcomes per agent of the type to which it had nothing to
 * add: it is not known whether it is still so. Counted in outcomes, it suits runs of milliseconds and of hours.
 */
const HALF_LIFE_TURNS = 80;

/** Success and duration by agent and type of task: what this process saw, and what others have shared. */
export class Experience {
  // Not kept in order: to delete and set a key for each outcome makes table after table.
  readonly #own = new Map<string, Known>();
  #outcomes = 0;
  readonly #types = new Map<string | undefined, TypeKnown>();
  #shared = new Map<string, Known>();

  record(agent: string, agentType: string | undefined, success: boolean, ms: number): void {
    const key = keyOf(agent, agentType);
    const found = this.#own.get(key);
    const known = found ?? newlyKnown(agent, agentType);
    const type = this.#type(agentType);
    if (found === undefined) type.agents.set(agent, known);
    known.recent = afterRun(this.#faded(known, type), success, ms);
    type.turns += 1;
    known.turn = type.turns;
    add(known, { runs: 1, successes: success ? 1 : 0, totalMs: ms });
    known.at = ++this.#outcomes;
    if (found !== undefined) return;
    this.#own.set(key, known);
    if (this.#own.size > EXPERIENCE_PAIRS_MAX) this.#forgetOldest();
  }

  of(agent: string, agentType: string | undefined): Performance | undefined {
    const key = keyOf(agent, agentType);
    const own = this.#own.get(key);
    const shared = this.#shared.get(key);
    if (own === undefined || shared === undefined) return own ?? shared;
    const { runs, successes, totalMs } = own;
    return {
      runs: runs + shared.runs,
      successes: successes + shared.successes,
      totalMs: totalMs + shared.totalMs,
    };
  }

  /** As `of`, with old runs counting for little. */
  recent(agent: string, agentType: string | undefined): Evidence | undefined {
    const type = this.#types.get(agentType);
    const known = type?.agents.get(agent);
    const own = type && known && this.#faded(known, type);
    const shared = this.#shared.size === 0 ? undefined : this.#shared.get(keyOf(agent, agentType))?.recent;
    return own === undefined || shared === undefined ? (own ?? shared) : together(own, shared);
  }

  /** How many outcomes of the type came since the agent's last; Infinity where it has had none here. */
  turnsSince(agent: string, agentType: string | undefined): number {
    const type = this.#types.get(agentType);
    const known = type?.agents.get(agent);
    return type === undefined || known === undefined ? Infinity : type.turns - known.turn;
  }

  /** What this process saw itself, newest first. */
  own(limit: number): ExperienceRecord[] {
    const newest = [...this.#own.values()].sort((a, b) => b.at - a.at).slice(0, limit);
    return newest.map((known) => {
      const { agent, agentType, runs, successes, totalMs } = known;
      const recent = this.#faded(known, this.#type(agentType));
      return { agent, agentType, runs, successes, totalMs, ...(recent && { recent: short(recent) }) };
    });
  }

  /** Replaces what is known from others. Records that cannot be are left out. */
  share(records: readonly (ExperienceRecord | null)[]): void {
    const shared = new Map<string, Known>();
    for (const record of records) {
      if (record === null || !isSound(record)) continue;
      const { agent, agentType, recent } = record;
      const key = keyOf(agent, agentType);
      const known = shared.get(key) ?? newlyKnown(agent, agentType);
      if (shared.size < EXPERIENCE_PAIRS_MAX) shared.set(key, known);
      add(known, record);
      if (isEvidence(recent)) known.recent = known.recent ? together(known.recent, recent) : recent;
    }
    this.#shared = shared;
  }

  #type(agentType: string | undefined): TypeKnown {
    const known = this.#types.get(agentType) ?? { turns: 0, agents: new Map<string, Known>() };
    if (known.turns === 0) this.#types.set(agentType, known);
    return known;
  }

  #faded({ recent, turn }: Known, { turns, agents }: TypeKnown): Evidence | undefined {
    const silent = turns - turn;
    if (recent === undefined || silent === 0) return recent;
    return faded(recent, 0.5 ** (silent / (HALF_LIFE_TURNS * Math.max(1, agents.size))));
  }

  #forgetOldest(): void {
    let oldest: Known | undefined;
    for (const known of this.#own.values()) if (oldest === undefined || known.at < oldest.at) oldest = known;
    if (oldest === undefined) return;
    const { agent, agentType } = oldest;
    this.#own.delete(keyOf(agent, agentType));
    const { agents } = this.#type(agentType);
    agents.delete(agent);
    if (agents.size === 0) this.#types.delete(agentType);
  }
}

function newlyKnown(agent: string, agentType: string | undefined): Known {
  return { agent, agentType, runs: 0, successes: 0, totalMs: 0, recent: undefined, turn: 0, at: 0 };
}

/** Four digits tell all that is known, and keep the entries short. */
function short({ weight, good, logMs, spread }: Evidence): Evidence {
  const w = rounded(weight);
  return { weight: w, good: Math.min(w, rounded(good)), logMs: rounded(logMs), spread: rounded(spread) };
}

function rounded(value: number): number {
  return Math.round(value * 10_000) / 10_000;
}

function add(known: Known, { runs, successes, totalMs }: Performance): void {
  known.runs += runs;
  known.successes += successes;
  known.totalMs += totalMs;
}

function isSound({ agent, runs, successes, totalMs }: ExperienceRecord): boolean {
  return (
    typeof agent === 'string' &&
    [runs, successes, totalMs].every((value) => Number.isFinite(value) && value >= 0) &&
    runs > 0 &&
    successes <= runs
  );
}

/** The separator cannot occur in the name of an agent or a type. */
function keyOf(agent: string, agentType: string | undefined): string {
  return agentType === undefined ? agent : `${agent}|${agentType}`;
}
