import type { Figures } from './figures.ts';
import { RoundProcess } from './round-process.ts';
import type { Entrant, Section } from './sections.ts';

/** What a section measured: for each entrant its figures, round by round, or why there are none. */
export interface Contest {
  readonly section: Section;
  readonly rounds: Readonly<Record<string, Figures[]>>;
  readonly failures: Readonly<Record<string, string>>;
  /** How long it took to measure. */
  readonly seconds: number;
}

export interface ContestOptions {
  readonly quick: boolean;
  /** The script of a round, see `compiledBench`. */
  readonly script: string;
  readonly progress: (text: string) => void;
}

/** Runs the rounds in turn: first each entrant once, then each again, so that a change of the machine meets all. */
export async function hold(section: Section, options: ContestOptions): Promise<Contest> {
  const startedAt = performance.now();
  const { quick } = options;
  const total = quick ? section.quickRounds : section.rounds;
  const entrants = section.entrants.filter(({ isSlow = false }) => !(quick && isSlow));
  const contest = { section, rounds: {}, failures: {} } satisfies Partial<Contest>;
  for (let number = 1; number <= total; number += 1) {
    const taking = entrants.filter(({ roundsMax = total }) => number <= roundsMax);
    const progress = (text: string) =>
      options.progress(`${section.name}: round ${number} of ${total}, ${text}`);
    await new RoundOfAll(contest, taking, { ...options, progress }).run();
  }
  return { ...contest, seconds: Math.round((performance.now() - startedAt) / 1_000) };
}

interface Standing {
  readonly rounds: Record<string, Figures[]>;
  readonly failures: Record<string, string>;
}

interface Taking {
  readonly entrant: Entrant;
  readonly process: RoundProcess;
}

/** One round of each entrant that has not failed before. All load their code together; then each is alone. */
class RoundOfAll {
  readonly #standing: Standing;
  readonly #takings: readonly Taking[];
  readonly #progress: (text: string) => void;

  constructor(standing: Standing, entrants: readonly Entrant[], { quick, script, progress }: ContestOptions) {
    this.#standing = standing;
    this.#progress = progress;
    this.#takings = entrants
      .filter(({ key }) => standing.failures[key] === undefined)
      .map((entrant) => {
        const { measure, side } = entrant;
        return { entrant, process: new RoundProcess(script, { measure, side, quick }) };
      });
  }

  async run(): Promise<void> {
    await Promise.all(this.#takings.map(({ process }) => process.loaded()));
    const beside = this.#takings.filter(({ entrant }) => entrant.isBeside);
    const measured = beside.map((taking) => this.#measure(taking));
    await Promise.all(beside.map(({ process }) => process.stands()));
    for (const taking of this.#takings) if (!beside.includes(taking)) await this.#measure(taking);
    await Promise.all(measured);
  }

  async #measure({ entrant: { key }, process }: Taking): Promise<void> {
    const { rounds, failures } = this.#standing;
    this.#progress(key);
    try {
      const figures = await process.run();
      rounds[key] = [...(rounds[key] ?? []), figures];
    } catch (error) {
      failures[key] = error instanceof Error ? error.message : String(error);
    }
  }
}
