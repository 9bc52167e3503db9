import { seededRandom } from '../../src/testing/seeded-random.ts';
import { degraded, fleetOf, type SimulatedAgent, type SimulatedFleet, type Truth } from './fleet.ts';
import type { Router } from './rivals.ts';

export interface SimulationOptions {
  readonly seed: number;
  readonly tasks: number;
  /** Arrivals as a share of what the fleet could take. */
  readonly load: number;
  /** Attempts a task may have. @default 1 */
  readonly attemptsMax?: number;
}

export interface Figures {
  /** From the arrival to the end, mean, ms. */
  readonly completionMs: number;
  /** Share of attempts that succeeded. */
  readonly success: number;
  /** Share of the time, while a task waited, that a slot was free. All agents take all types. */
  readonly idleWhileWaiting: number;
  /** Share of the slots' time, from the first arrival to the last, that was used. */
  readonly utilisation: number;
}

interface Arrival {
  readonly id: string;
  readonly agentType: string;
  readonly priority: number;
  readonly at: number;
  attempt: number;
}

interface Running {
  readonly task: Arrival;
  readonly agent: SimulatedAgent;
  readonly from: number;
  readonly until: number;
  readonly success: boolean;
}

/** Variance of ln(duration) of the runs of an agent on a type. */
const RUN_VARIANCE = 0.15;

/** Runs a fleet of the seed against a router, on a clock that only the events move. */
export function simulateFleet(router: Router, options: SimulationOptions): Figures {
  return new Simulation(router, options).run();
}

class Simulation {
  readonly #fleet: SimulatedFleet;
  readonly #router: Router;
  readonly #arrivals: Arrival[];
  readonly #attemptsMax: number;
  readonly #seed: number;
  readonly #slots: number;
  readonly #waiting: Arrival[] = [];
  readonly #running: Running[] = [];
  readonly #broken: SimulatedAgent;
  readonly #brokenFrom: number;
  readonly #sums = {
    completionMs: 0,
    ended: 0,
    attempts: 0,
    successes: 0,
    waitedMs: 0,
    idleMs: 0,
    usedMs: 0,
  };
  #now = 0;

  constructor(router: Router, { seed, tasks, load, attemptsMax = 1 }: SimulationOptions) {
    this.#router = router;
    this.#seed = seed;
    this.#fleet = fleetOf(seed);
    this.#attemptsMax = attemptsMax;
    this.#arrivals = arrivalsOf(this.#fleet, seed, tasks, load);
    this.#brokenFrom = this.#arrivals[Math.floor(tasks / 2)]!.at;
    const { agents } = this.#fleet;
    this.#broken = agents[seed % agents.length]!;
    this.#slots = agents.reduce((sum, { slots }) => sum + slots, 0);
    for (const { name, slots, truth } of agents) {
      router.registerAgent(name, Object.keys(truth), { maxConcurrent: slots });
    }
  }

  run(): Figures {
    const lastAt = this.#arrivals.at(-1)!.at;
    let next = 0;
    while (next < this.#arrivals.length || this.#running.length > 0) {
      const arrival = this.#arrivals[next];
      const ending = this.#running[0];
      const at = Math.min(arrival?.at ?? Infinity, ending?.until ?? Infinity);
      this.#pass(at, lastAt);
      if (ending !== undefined && ending.until === at) this.#end(this.#running.shift()!);
      else {
        this.#waiting.push(arrival!);
        next += 1;
      }
      this.#assign();
    }
    const { completionMs, ended, attempts, successes, waitedMs, idleMs, usedMs } = this.#sums;
    return {
      completionMs: completionMs / ended,
      success: successes / attempts,
      idleWhileWaiting: waitedMs === 0 ? 0 : idleMs / (waitedMs * this.#slots),
      utilisation: usedMs / (lastAt * this.#slots),
    };
  }

  #pass(at: number, lastAt: number): void {
    const ms = at - this.#now;
    const used = this.#running.length;
    if (this.#waiting.length > 0) {
      this.#sums.waitedMs += ms;
      this.#sums.idleMs += ms * (this.#slots - used);
    }
    this.#sums.usedMs += Math.max(0, Math.min(at, lastAt) - this.#now) * used;
    this.#now = at;
  }

  #end({ task, agent, from, success }: Running): void {
    this.#router.recordOutcome(agent.name, task, success, this.#now - from);
    this.#sums.attempts += 1;
    if (success) this.#sums.successes += 1;
    if (!success && task.attempt < this.#attemptsMax) {
      task.attempt += 1;
      this.#waiting.unshift(task);
      return;
    }
    this.#sums.ended += 1;
    this.#sums.completionMs += this.#now - task.at;
  }

  #assign(): void {
    while (this.#waiting.length > 0) {
      const name = this.#router.assign(this.#waiting[0]!);
      if (name === null) return;
      this.#start(this.#waiting.shift()!, this.#fleet.agents.find((agent) => agent.name === name)!);
    }
  }

  #start(task: Arrival, agent: SimulatedAgent): void {
    const { meanMs, success } = this.#truth(agent, task.agentType);
    // The luck belongs to the task, so that every router meets the same.
    const luck = seededRandom(Number(task.id) * 7_919 + task.attempt * 104_729 + this.#seed * 15_485_863);
    const normal = Math.sqrt(-2 * Math.log(1 - luck())) * Math.cos(2 * Math.PI * luck());
    const ms = meanMs * Math.exp(Math.sqrt(RUN_VARIANCE) * normal - RUN_VARIANCE / 2);
    const run = { task, agent, from: this.#now, until: this.#now + ms, success: luck() < success };
    const place = this.#running.findIndex(({ until }) => until > run.until);
    this.#running.splice(place < 0 ? this.#running.length : place, 0, run);
  }

  #truth(agent: SimulatedAgent, type: string): Truth {
    const truth = agent.truth[type]!;
    return agent === this.#broken && this.#now >= this.#brokenFrom ? degraded(truth) : truth;
  }
}

/** Poisson arrivals of all types alike. */
function arrivalsOf(
  { capacity, types }: SimulatedFleet,
  seed: number,
  tasks: number,
  load: number,
): Arrival[] {
  const random = seededRandom(seed + 1_000);
  let at = 0;
  return Array.from({ length: tasks }, (_, i) => {
    at += -Math.log(1 - random()) / (capacity * load);
    const agentType = types[Math.floor(random() * types.length)]!;
    return { id: `${i}`, agentType, priority: 1 + Math.floor(10 * random()), at, attempt: 1 };
  });
}
