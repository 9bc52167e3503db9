import type { Clock } from '../clock.ts';
import type { AgentScore } from '../queue/task.ts';
import type { Assignment } from '../queue/task-queue.ts';
import { AgentCoordinator, type Strategy } from './agent-coordinator.ts';
import type { AssignableTask } from './scoring.ts';

/** Two of the recorded times, each whole. */
export const TIE_MS = 2;

/** A choice as it stands with its task; of earlier attempts only whom it fell on is known. */
export interface RecordedChoice {
  readonly agent: string;
  readonly scores: readonly AgentScore[];
}

export type RecordedChoices = (taskId: string, attempt: number) => RecordedChoice | undefined;

/**
 * A coordinator that chooses again as it did where it has the same choice: the table of the recorded assignment
 * holds the draws, and what was known at the time. Where an agent is free that was not, it chooses anew, unless that
 * came free this very moment: history is in whole ms, and cannot say what came first.
 */
export class ReplayedCoordinator extends AgentCoordinator {
  readonly #recorded: RecordedChoices;
  readonly #isAsItWas: boolean;
  readonly #clock: Clock;
  readonly #freeSince = new Map<string, number>();

  /** `isAsItWas`: nothing has changed at all, so that who is free now and was not then is so by a ms or two. */
  constructor(strategy: Strategy, recorded: RecordedChoices, clock: Clock, isAsItWas: boolean) {
    super({ strategy });
    this.#recorded = recorded;
    this.#isAsItWas = isAsItWas;
    this.#clock = clock;
  }

  override release(agent: string): void {
    super.release(agent);
    this.#freeSince.set(agent, this.#clock.now());
  }

  override choose(task: AssignableTask, among?: { has(agent: string): boolean }): Assignment | null {
    const chosen = super.choose(task, among);
    const recorded = this.#recorded(task.id, task.attempt ?? 1);
    if (chosen === null || recorded === undefined || recorded.agent === chosen.agent) return chosen;
    const free = new Set(chosen.scores.map(({ agent }) => agent));
    const known = new Set(recorded.scores.map(({ agent }) => agent));
    const isNew = (agent: string) => !known.has(agent) && !this.#isJustFree(agent);
    if (!free.has(recorded.agent)) return chosen;
    if (!this.#isAsItWas && [...free].some(isNew)) return chosen;
    super.release(chosen.agent);
    const again = super.choose({ ...task, agent: recorded.agent }, among);
    return again && { agent: again.agent, scores: recorded.scores };
  }

  #isJustFree(agent: string): boolean {
    return this.#clock.now() - (this.#freeSince.get(agent) ?? -Infinity) <= TIE_MS;
  }
}
