import { AgentCoordinator, type StrategyFunction } from '../../src/index.ts';

/** What the simulation asks of whoever assigns. The coordinator itself has these methods. */
export type Router = Pick<AgentCoordinator, 'registerAgent' | 'assign' | 'recordOutcome'>;

export const ROUTERS: Readonly<Record<string, () => Router>> = {
  'round robin': () => new AgentCoordinator({ strategy: 'roundRobin' }),
  'seed formula': () => new SeedFormula(),
  scored: () => new AgentCoordinator({ strategy: 'scored' }),
  learned: () => new AgentCoordinator({ strategy: 'learned' }),
};

interface Known {
  runs: number;
  successes: number;
  totalS: number;
}

const NEUTRAL = 0.5;

/**
 * The formula of the first design to the letter: 50 for a capability match, 40/25/10/5 for the priority, −5 per
 * running task, +20 × success rate, +10 × (fastest mean / own mean), in seconds, with one mean per agent over
 * all types. Free slots and capabilities are the coordinator's filters, as for every strategy.
 */
class SeedFormula implements Router {
  readonly #known = new Map<string, Known>();
  readonly #running = new Map<string, number>();
  readonly #coordinator = new AgentCoordinator({ strategy: (...args) => this.#pick(...args) });

  registerAgent(...args: Parameters<Router['registerAgent']>): void {
    this.#coordinator.registerAgent(...args);
  }

  assign(task: Parameters<Router['assign']>[0]): string | null {
    const agent = this.#coordinator.assign(task);
    if (agent !== null) this.#running.set(agent, (this.#running.get(agent) ?? 0) + 1);
    return agent;
  }

  recordOutcome(agent: string, task: { readonly agentType?: string }, success: boolean, ms: number): void {
    this.#coordinator.recordOutcome(agent, task, success, ms);
    this.#running.set(agent, (this.#running.get(agent) ?? 0) - 1);
    const known = this.#known.get(agent) ?? { runs: 0, successes: 0, totalS: 0 };
    known.runs += 1;
    known.successes += success ? 1 : 0;
    known.totalS += ms / 1_000;
    this.#known.set(agent, known);
  }

  readonly #pick: StrategyFunction = (_task, scores) => {
    const fastest = Math.min(...scores.map(({ agent }) => this.#meanS(agent)));
    let best: { agent: string; score: number } | null = null;
    for (const { agent, parts } of scores) {
      const known = this.#known.get(agent);
      const rate = known === undefined ? NEUTRAL : known.successes / known.runs;
      const speed = known === undefined ? NEUTRAL : fastest / this.#meanS(agent);
      const load = -5 * (this.#running.get(agent) ?? 0);
      const score = (parts.capability ?? 0) + (parts.priority ?? 0) + load + 20 * rate + 10 * speed;
      if (best === null || score > best.score) best = { agent, score };
    }
    return best?.agent ?? null;
  };

  #meanS(agent: string): number {
    const known = this.#known.get(agent);
    return known === undefined ? Infinity : known.totalS / known.runs;
  }
}
