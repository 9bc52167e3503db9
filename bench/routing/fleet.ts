import { seededRandom } from '../../src/testing/seeded-random.ts';

/** What an agent is truly like on a type; nobody is told. */
export interface Truth {
  /** Mean duration of a run, ms. */
  readonly meanMs: number;
  /** Share of its runs that succeed. */
  readonly success: number;
}

export interface SimulatedAgent {
  readonly name: string;
  readonly slots: number;
  /** By type. */
  readonly truth: Readonly<Record<string, Truth>>;
}

export interface SimulatedFleet {
  readonly agents: readonly SimulatedAgent[];
  readonly types: readonly string[];
  /** Attempts that all slots can take in a ms while there is always one waiting, whoever gets which. */
  readonly capacity: number;
}

const AGENTS = 12;
const SLOTS = 2;
const TYPES = ['research', 'write', 'code', 'review'];
/** An agent is up to so many times faster or slower than a type's usual time. */
const SPEED = 4;
/** How reliable an agent is on a type that it is good at, as it is on two of five, and on the others. */
const GOOD = [0.85, 0.98] as const;
const POOR = [0.2, 0.6] as const;
const GOOD_SHARE = 0.4;

/** Agents that can all do everything, some of it well: speed and reliability are drawn for each agent and type. */
export function fleetOf(seed: number): SimulatedFleet {
  const random = seededRandom(seed);
  const usualMs = TYPES.map(() => 2_000 + 18_000 * random());
  const agents = Array.from({ length: AGENTS }, (_, i) => ({
    name: `agent-${i}`,
    slots: SLOTS,
    truth: Object.fromEntries(
      TYPES.map((type, t) => [
        type,
        {
          meanMs: usualMs[t]! * SPEED ** (2 * random() - 1),
          success: between(random() < GOOD_SHARE ? GOOD : POOR, random()),
        },
      ]),
    ),
  }));
  const capacity = agents.reduce((sum, { slots, truth }) => sum + slots / meanOf(truth), 0);
  return { agents, types: TYPES, capacity };
}

function between([from, to]: readonly [number, number], share: number): number {
  return from + (to - from) * share;
}

function meanOf(truth: SimulatedAgent['truth']): number {
  const all = Object.values(truth);
  return all.reduce((sum, { meanMs }) => sum + meanMs, 0) / all.length;
}

/** The truth after something broke: slower, and mostly wrong. */
export function degraded({ meanMs, success }: Truth): Truth {
  return { meanMs: 3 * meanMs, success: success / 3 };
}
