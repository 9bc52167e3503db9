import type { Clock } from '../clock.ts';
import { within } from './wakeup.ts';

const BODY = Symbol('jotty.body');

interface Embodied {
  readonly [BODY]?: RunBody;
}

/** Nodes are known to belong to a run by the info that they find in their config, which shows nothing of it. */
export function setBody(info: object, body: RunBody): void {
  Object.defineProperty(info, BODY, { value: body });
}

export function bodyOf(info: object): RunBody | undefined {
  return (info as Embodied)[BODY];
}

/**
 * How work came to its end: by itself, by force, or not at all: code in this process cannot be killed, it is left
 * to itself, without a slot and without a say.
 */
export type BodyEnd = 'ended' | 'killed' | 'abandoned';

/** How long something that was killed may take to be gone, ms. */
export const DEATH_MS = 5_000;

/**
 * What of a run is still at work. LangGraph rejects as soon as the signal is aborted, while the bodies of its nodes
 * run on; here they are counted, so that somebody can tell when all of it has stopped.
 */
export class RunBody {
  // Made when they are needed: most runs are short, and nobody waits for their end.
  #kills: Set<() => void> | undefined;
  #working = 0;
  #whenIdle: (() => void)[] | undefined;

  /** Whether something of it can be ended by force: what runs in a thread or process of its own. */
  get canBeKilled(): boolean {
    return this.#kills !== undefined && this.#kills.size > 0;
  }

  /** Returns how to take it back. */
  onKill(kill: () => void): () => void {
    this.#kills ??= new Set();
    this.#kills.add(kill);
    return () => void this.#kills?.delete(kill);
  }

  /** Counts it until it has settled. */
  during<T>(work: Promise<T>): Promise<T> {
    this.#working += 1;
    work.then(this.#done, this.#done);
    return work;
  }

  /** Waits for the end, and brings it about where that is possible. */
  async end(graceMs: number, clock: Clock): Promise<BodyEnd> {
    if (await this.#endsWithin(graceMs, clock)) return 'ended';
    if (!this.canBeKilled) return 'abandoned';
    for (const kill of this.#kills ?? []) kill();
    return (await within(clock, DEATH_MS, this.idle())) ? 'killed' : 'abandoned';
  }

  /** Without a grace too, what stops at its signal has stopped after a turn of the event loop. */
  async #endsWithin(graceMs: number, clock: Clock): Promise<boolean> {
    if (graceMs > 0) return within(clock, graceMs, this.idle());
    await new Promise<void>((resolve) => setImmediate(resolve));
    return this.#working === 0;
  }

  /** Nothing is at work any more. */
  idle(): Promise<void> {
    if (this.#working === 0) return Promise.resolve();
    this.#whenIdle ??= [];
    const waiting = this.#whenIdle;
    return new Promise((resolve) => waiting.push(resolve));
  }

  readonly #done = (): void => {
    this.#working -= 1;
    if (this.#working === 0) for (const resolve of this.#whenIdle?.splice(0) ?? []) resolve();
  };
}

/** Counts the work of a node in the body of its run, where the run has one. */
export function duringRun(config: unknown, work: Promise<unknown>): void {
  const { configurable } = (config ?? {}) as { configurable?: { readonly jotty?: Embodied } };
  configurable?.jotty?.[BODY]?.during(work);
}
