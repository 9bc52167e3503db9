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
}

interface Known {
  readonly agent: string;
  readonly agentType: string | undefined;
  runs: number;
  successes: number;
  totalMs: number;
}

/** Pairs of agent and type that are remembered; the one longest without a run is forgotten first. */
const EXPERIENCE_PAIRS_MAX = 10_000;

/** Success and duration by agent and type of task: what this process saw, and what others have shared. */
export class Experience {
  /** Longest without a run first. */
  readonly #own = new Map<string, Known>();
  #shared = new Map<string, Known>();

  record(agent: string, agentType: string | undefined, success: boolean, ms: number): void {
    const key = keyOf(agent, agentType);
    const known = this.#own.get(key) ?? { agent, agentType, runs: 0, successes: 0, totalMs: 0 };
    add(known, { runs: 1, successes: success ? 1 : 0, totalMs: ms });
    this.#own.delete(key);
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

  /** What this process saw itself, newest first. */
  own(limit: number): ExperienceRecord[] {
    return [...this.#own.values()].reverse().slice(0, limit);
  }

  /** Replaces what is known from others. Records that cannot be are left out. */
  share(records: readonly (ExperienceRecord | null)[]): void {
    const shared = new Map<string, Known>();
    for (const record of records) {
      if (record === null || !isSound(record)) continue;
      const { agent, agentType } = record;
      const key = keyOf(agent, agentType);
      const known = shared.get(key) ?? { agent, agentType, runs: 0, successes: 0, totalMs: 0 };
      if (shared.size < EXPERIENCE_PAIRS_MAX) shared.set(key, known);
      add(known, record);
    }
    this.#shared = shared;
  }

  #forgetOldest(): void {
    const oldest = this.#own.keys().next();
    if (!oldest.done) this.#own.delete(oldest.value);
  }
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
