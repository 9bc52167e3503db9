import type { AnyRouter } from './dynamic-plan.ts';
import type { Performance } from './experience.ts';
import { END } from './team-graph.ts';
import type { TeamMember, TeamView } from './team-view.ts';

export interface ScoreRouterOptions {
  /** What the goal needs, as capabilities, in order. @default those whose words are in the goal, as they come there */
  readonly needs?: ((state: TeamView) => readonly string[]) | undefined;
  /** Whether the goal is met before all needs are. @default never */
  readonly until?: ((state: TeamView) => boolean) | undefined;
}

const SUCCESS_POINTS = 20;
const SPEED_POINTS = 10;
const WORD_POINTS = 5;
/** What an agent without experience counts as: neither good nor bad. */
const NEUTRAL_SHARE = 0.5;
/** Letters by which two words are forms of one, e.g. write and writer. */
const STEM_CHARS = 4;

/**
 * Picks agents by capabilities and experience, without a model. The goal is met when each capability it needs has
 * been covered by an agent; of several that have the next one, the best goes on: 20 × success rate, 10 × (fastest
 * mean / own mean), 5 for each word of its description in the goal. A goal that names no capability goes to the
 * best of all, once.
 */
export function scoreRouter({ needs, until }: ScoreRouterOptions = {}): AnyRouter {
  return (state, agents) => {
    if (until?.(state) === true) return END;
    const words = wordsOf(state.goal ?? '');
    const wanted = needs?.(state) ?? mentioned(words, agents);
    const need = wanted.find((capability) => !isCovered(capability, agents));
    if (need === undefined) {
      if (state.path.length > 0 || wanted.length > 0) return END;
      return { next: best(agents, words).name, reason: 'the goal names no capability' };
    }
    const able = agents.filter(({ capabilities }) => capabilities.includes(need));
    if (able.length === 0) return { next: END, reason: `no agent has capability ${need}` };
    return { next: best(able, words).name, reason: `capability ${need}` };
  };
}

function isCovered(capability: string, agents: readonly TeamMember[]): boolean {
  return agents.some(({ runs, capabilities }) => runs > 0 && capabilities.includes(capability));
}

/** The capabilities whose words are in the goal, in the order of the goal. */
function mentioned(words: readonly string[], agents: readonly TeamMember[]): string[] {
  const all = [...new Set(agents.flatMap(({ capabilities }) => capabilities))];
  return all
    .map((capability) => ({ capability, at: placeOf(wordsOf(capability), words) }))
    .filter(({ at }) => at >= 0)
    .sort((a, b) => a.at - b.at)
    .map(({ capability }) => capability);
}

/** Where the first of these words stands, if all of them are there; else -1. */
function placeOf(part: readonly string[], words: readonly string[]): number {
  const places = part.map((word) => words.findIndex((candidate) => isForm(word, candidate)));
  return places.length === 0 || places.includes(-1) ? -1 : Math.min(...places);
}

function isForm(a: string, b: string): boolean {
  return a === b || (Math.min(a.length, b.length) >= STEM_CHARS && (a.startsWith(b) || b.startsWith(a)));
}

/** The first of the best. */
function best<Name extends string>(
  agents: readonly TeamMember<Name>[],
  words: readonly string[],
): TeamMember<Name> {
  const fastestMs = Math.min(...agents.map(({ experience }) => meanMs(experience)));
  const score = ({ description, experience }: TeamMember) => {
    const hits = new Set(wordsOf(description).filter((word) => words.some((other) => isForm(word, other))));
    const success = experience === undefined ? NEUTRAL_SHARE : experience.successes / experience.runs;
    const speed = experience === undefined ? NEUTRAL_SHARE : speedShare(meanMs(experience), fastestMs);
    return WORD_POINTS * hits.size + SUCCESS_POINTS * success + SPEED_POINTS * speed;
  };
  return agents.reduce((found, agent) => (score(agent) > score(found) ? agent : found));
}

function speedShare(ownMs: number, fastestMs: number): number {
  return ownMs <= fastestMs ? 1 : fastestMs / ownMs;
}

function meanMs(known: Performance | undefined): number {
  return known === undefined ? Infinity : known.totalMs / known.runs;
}

function wordsOf(text: string): string[] {
  return text
    .toLowerCase()
    .split(/[^\p{L}\p{N}]+/u)
    .filter((word) => word.length > 2);
}
