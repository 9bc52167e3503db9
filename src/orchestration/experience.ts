/** What is known of an agent's work on one type of task. */
export interface ExperienceRecord {
  readonly runs: number;
  readonly successes: number;
  readonly totalMs: number;
}

/** Pairs of agent and type that are remembered; the one longest without a run is forgotten first. */
const EXPERIENCE_PAIRS_MAX = 10_000;

/** Success and duration by agent and type of task. In memory: it starts empty with the process. */
export class Experience {
  readonly #records = new Map<string, { runs: number; successes: number; totalMs: number }>();

  record(agent: string, agentType: string | undefined, success: boolean, ms: number): void {
    const key = keyOf(agent, agentType);
    const record = this.#records.get(key) ?? { runs: 0, successes: 0, totalMs: 0 };
    record.runs += 1;
    if (success) record.successes += 1;
    record.totalMs += ms;
    this.#records.delete(key);
    this.#records.set(key, record);
    if (this.#records.size > EXPERIENCE_PAIRS_MAX) this.#forgetOldest();
  }

  of(agent: string, agentType: string | undefined): ExperienceRecord | undefined {
    return this.#records.get(keyOf(agent, agentType));
  }

  #forgetOldest(): void {
    const oldest = this.#records.keys().next();
    if (!oldest.done) this.#records.delete(oldest.value);
  }
}

/** The separator cannot occur in the name of an agent or a type. */
function keyOf(agent: string, agentType: string | undefined): string {
  return agentType === undefined ? agent : `${agent}|${agentType}`;
}
