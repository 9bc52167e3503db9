import { fork } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { Figures } from './figures.ts';
import type { Round } from './round.ts';
import type { Entrant, Section } from './sections.ts';

/** What a section measured: for each entrant its figures, round by round, or why there are none. */
export interface Contest {
  readonly section: Section;
  readonly rounds: Readonly<Record<string, Figures[]>>;
  readonly failures: Readonly<Record<string, string>>;
  /** How long it took to measure. */
  readonly seconds: number;
}

/** Longer than any round takes; a hanging side must not hang the whole run. */
const ROUND_TIMEOUT_MS = 120_000;
const ERROR_LINES_MAX = 4;

export type Progress = (text: string) => void;

export interface ContestOptions {
  readonly quick: boolean;
  /** The script of a round, see `compiledBench`. */
  readonly script: string;
  readonly progress: Progress;
}

/** Runs the rounds in turn: first each entrant once, then each again, so that a change of the machine meets all. */
export async function hold(section: Section, options: ContestOptions): Promise<Contest> {
  const { quick, script, progress } = options;
  const startedAt = performance.now();
  const rounds: Record<string, Figures[]> = {};
  const failures: Record<string, string> = {};
  const total = quick ? section.quickRounds : section.rounds;
  const entrants = section.entrants.filter(({ isSlow = false }) => !(quick && isSlow));
  for (let number = 1; number <= total; number += 1) {
    for (const entrant of entrants) {
      if (number > (entrant.roundsMax ?? total) || failures[entrant.key] !== undefined) continue;
      progress(`${section.name}: round ${number} of ${total}, ${entrant.key}`);
      try {
        rounds[entrant.key] = [...(rounds[entrant.key] ?? []), await runRound(entrant, quick, script)];
      } catch (error) {
        failures[entrant.key] = error instanceof Error ? error.message : String(error);
      }
    }
  }
  return { section, rounds, failures, seconds: Math.round((performance.now() - startedAt) / 1_000) };
}

/** Where databases go: beside the repository's files, since /tmp is often in memory. */
const FOLDER = join(import.meta.dirname, '.work-');

async function runRound({ measure, side }: Entrant, quick: boolean, script: string): Promise<Figures> {
  const folder = mkdtempSync(FOLDER);
  const remove = () => rmSync(folder, { recursive: true, force: true });
  process.once('exit', remove);
  try {
    return await inProcess(script, { measure, side, quick, folder });
  } finally {
    process.off('exit', remove);
    remove();
  }
}

/** A process of its own for each round: neither the memory nor the compiled code of one side disturbs another. */
function inProcess(script: string, round: Round): Promise<Figures> {
  const child = fork(script, [JSON.stringify(round)], {
    // Not the loader that this process may run under.
    execArgv: [],
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
  });
  return new Promise((resolve, reject) => {
    let figures: Figures | undefined;
    let complaints = '';
    child.stdout?.resume();
    child.stderr?.on('data', (text) => {
      complaints += text;
    });
    const timer = setTimeout(() => child.kill('SIGKILL'), ROUND_TIMEOUT_MS);
    child.on('message', (message) => {
      figures = message as Figures;
    });
    child.on('close', (code, signal) => {
      clearTimeout(timer);
      if (figures !== undefined) resolve(figures);
      else reject(new Error(reasonOf(complaints) ?? `ended with ${signal ?? code}`));
    });
  });
}

/** The line that names the error, without the stack. */
function reasonOf(complaints: string): string | undefined {
  const lines = complaints.split('\n').filter((line) => line.trim() !== '');
  const error = lines.findIndex((line) => /^\w*Error\b/.test(line));
  return error === -1 ? lines.slice(0, ERROR_LINES_MAX).join(' ') || undefined : lines[error]?.trim();
}
