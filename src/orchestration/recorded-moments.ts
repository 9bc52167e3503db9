import { grouped, type RecordedRun, type RecordedTask } from './recorded-runs.ts';

/** What stands apart in time, of what was in one ms. Times in ms leave no room for much less. */
const STEP_MS = 1 / 1_024;
/** What is submitted is in the store, and what is due is taken, so much later at most. */
export const LATE_MS = 10;
/** A coordinator that counts from the beginning again after so long is another one, ms. */
const RESTART_MS = 1_000;

/** When a run began and ended, to less than a ms. */
export interface RunMoments {
  readonly from: number;
  readonly to: number;
}

/** A choice, also of nobody, or the end of a run. */
interface Turn {
  readonly turn: number;
  readonly at: number;
  readonly tell: (moment: number) => void;
}

/** A claim that came to no run: nobody had time for the task, or it was cancelled. */
interface VainClaim {
  readonly worker: string;
  /** In whole ms until it is told. */
  at: number;
  readonly tell: (moment: number) => void;
}

/**
 * History is in whole ms. What one coordinator did in one of them stands in order by its turns; so each claim, end and
 * submission gets a moment of its own.
 */
export class RecordedMoments {
  /** The most runs that a process had at a time. */
  readonly peak: number;
  /** Of the claims of each process, ascending. */
  readonly claims: readonly (readonly number[])[];
  readonly #runs = new Map<RecordedRun, RunMoments>();
  readonly #first = new Map<string, number>();
  readonly #submissions = new Map<string, number>();

  constructor(tasks: readonly RecordedTask[]) {
    const processes = processesOf(tasks.flatMap(({ runs }) => runs));
    const vain = tasks.flatMap((task) => this.#vainClaims(task)).sort((a, b) => a.at - b.at);
    const vainByWorker = grouped(vain, ({ worker }) => worker);
    this.claims = processes.map((runs) => {
      // The first of a worker's processes has what is told of the worker alone.
      const { worker } = runs[0]!;
      const own = vainByWorker.get(worker) ?? [];
      vainByWorker.delete(worker);
      this.#order(runs, own);
      const moments = [...own.map(({ at }) => at), ...runs.map((run) => this.of(run).from)];
      return moments.sort((a, b) => a - b);
    });
    this.peak = Math.max(1, ...processes.map((runs) => peakOf(runs.map((run) => this.of(run)))));
    this.#placeSubmissions(tasks);
  }

  of(run: RecordedRun): RunMoments {
    return this.#runs.get(run) ?? { from: run.from, to: run.from + run.ms };
  }

  submissionOf(id: string): number {
    return this.#submissions.get(id)!;
  }

  #order(runs: readonly RecordedRun[], vain: readonly VainClaim[]): void {
    const turns = runs.flatMap((run): Turn[] => {
      const [, chosen, ended] = run.turns ?? [];
      if (chosen === undefined || ended === undefined) return [];
      const to = run.from + run.ms;
      return [
        { turn: chosen, at: run.from, tell: (from) => this.#runs.set(run, { from, to }) },
        {
          turn: ended,
          at: to,
          tell: (moment) => this.#runs.set(run, { from: this.of(run).from, to: moment }),
        },
      ];
    });
    turns.sort((a, b) => a.turn - b.turn);
    let moment = Number.NEGATIVE_INFINITY;
    for (const { at, tell } of withVainClaims(turns, vain)) {
      moment = Math.max(moment + STEP_MS, at);
      tell(moment);
    }
  }

  #vainClaims({ task, claims, runs }: RecordedTask): VainClaim[] {
    const begun = new Set(runs.map(({ from }) => from));
    return claims.flatMap((claim, i) => {
      if (begun.has(claim.at)) return [];
      if (i === 0) this.#first.set(task.id, claim.at);
      const vain: VainClaim = {
        ...claim,
        tell: (moment) => {
          vain.at = moment;
          if (i === 0) this.#first.set(task.id, moment);
        },
      };
      return [vain];
    });
  }

  /** As late as can be: what was not taken before was not there. Their order is the queue's. */
  #placeSubmissions(tasks: readonly RecordedTask[]): void {
    let next = Number.POSITIVE_INFINITY;
    for (const { task, runs } of [...tasks].reverse()) {
      const first = this.#first.get(task.id) ?? (runs[0] && this.of(runs[0]).from);
      const latest = task.createdAt + LATE_MS;
      next = Math.min(next, first === undefined ? latest : Math.min(latest, first - STEP_MS / 2));
      this.#submissions.set(task.id, next);
    }
  }
}

/** A choice of nobody is counted too, and told nowhere: it has one of the numbers that are missing at its time. */
function withVainClaims(turns: readonly Turn[], vain: readonly VainClaim[]): Turn[] {
  const all: Turn[] = [];
  let next = 0;
  for (const [i, known] of turns.entries()) {
    const before = turns[i - 1];
    let missing = known.turn - (before?.turn ?? 0) - 1;
    for (; missing > 0 && next < vain.length && vain[next]!.at <= known.at; missing--, next++) {
      const { at, tell } = vain[next]!;
      all.push({ turn: known.turn - missing, at, tell });
    }
    all.push(known);
  }
  return all;
}

/** Runs by the coordinator that chose for them. */
function processesOf(runs: readonly RecordedRun[]): RecordedRun[][] {
  const latest = new Map<string, { lives: number; turn: number; at: number }>();
  const inTime = [...runs].sort((a, b) => a.from - b.from);
  const processes = grouped(inTime, ({ worker, turns: [number = 0, turn = 0] = [], from }) => {
    const name = `${worker}|${number}`;
    const life = latest.get(name) ?? { lives: 1, turn, at: from };
    latest.set(name, life);
    if (turn < life.turn && from > life.at + RESTART_MS) life.lives += 1;
    if (turn >= life.turn || from > life.at + RESTART_MS) [life.turn, life.at] = [turn, from];
    return `${name}|${life.lives}`;
  });
  return [...processes.values()];
}

function peakOf(runs: readonly RunMoments[]): number {
  const edges = runs.flatMap(({ from, to }) => [
    { at: from, by: 1 },
    { at: to, by: -1 },
  ]);
  let running = 0;
  let peak = 0;
  for (const { by } of edges.sort((a, b) => a.at - b.at || a.by - b.by)) {
    running += by;
    peak = Math.max(peak, running);
  }
  return peak;
}
