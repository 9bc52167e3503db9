import { createHash } from 'node:crypto';
import type { Clock } from '../clock.ts';
import type { Registry } from '../queue/registry.ts';
import type { BodyEnd } from './run-body.ts';

/** What who cancels a task asks of whoever runs it, or a task below it. */
export interface StopRequest {
  /** Between the signal and the end of the wait, or a kill, ms. */
  readonly graceMs: number;
  /** ms since the epoch */
  readonly at: number;
}

/** What whoever runs a cancelled task says of its run. */
export type StopReport =
  /** The signal is given. Without another word by `until`, nobody is left to say one. */
  | { readonly state: 'stopping'; readonly until: number }
  | { readonly state: 'stopped'; readonly how: BodyEnd };

/** What is said about one cancel. */
export interface Stops {
  readonly request: StopRequest | undefined;
  readonly reports: ReadonlyMap<string, StopReport>;
}

/** Wakes who waits for a run of this process to stop; the others look at the board from time to time. */
export class StopBell {
  readonly #waiting = new Set<() => void>();

  ring(): void {
    for (const wake of [...this.#waiting]) wake();
  }

  /** Resolves when it rings, or after `ms`. */
  wait(clock: Clock, ms: number): Promise<void> {
    return new Promise((resolve) => {
      const wake = () => {
        clock.clearTimeout(timer);
        this.#waiting.delete(wake);
        resolve();
      };
      const timer = clock.setTimeout(wake, ms);
      this.#waiting.add(wake);
    });
  }
}

const SECTIONS = 256;
/** Nobody asks for it any more, ms after the last that could be said. */
const KEPT_MS = 60_000;
const REQUEST = 'request';

/**
 * Where a cancel and the runs that it stops meet, in whichever processes they are: in the registry of the queue, under
 * the id of the task that was cancelled, which may be above the one that runs.
 */
export class StopBoard {
  readonly #registry: Registry;
  readonly #leaseMs: number;

  constructor(queue: { readonly registry: Registry; readonly leaseMs: number }) {
    this.#registry = queue.registry;
    this.#leaseMs = queue.leaseMs;
  }

  async ask(rootId: string, request: StopRequest): Promise<void> {
    await this.#put(rootId, REQUEST, request, request.at, request.graceMs);
  }

  async report(rootId: string, taskId: string, report: StopReport, now: number): Promise<void> {
    const waitsMs = report.state === 'stopping' ? report.until - now : 0;
    await this.#put(rootId, `of:${taskId}`, report, now, waitsMs);
  }

  async read(rootId: string, now: number): Promise<Stops> {
    const reports = new Map<string, StopReport>();
    let request: StopRequest | undefined;
    for (const { key, value } of await this.#registry.entries(sectionOf(rootId), now)) {
      const [root, rest = ''] = key.split('|');
      if (root !== rootId) continue;
      if (rest === REQUEST) request = JSON.parse(value) as StopRequest;
      else reports.set(rest.slice('of:'.length), JSON.parse(value) as StopReport);
    }
    return { request, reports };
  }

  async #put(rootId: string, what: string, value: object, now: number, waitsMs: number): Promise<void> {
    const expiresAt = now + waitsMs + this.#leaseMs + KEPT_MS;
    const entry = { key: `${rootId}|${what}`, value: JSON.stringify(value), expiresAt };
    await this.#registry.put(sectionOf(rootId), entry, now);
  }
}

/** Sections are cleaned when they are written, and read as a whole: so there are some, each used again and again. */
function sectionOf(rootId: string): string {
  const [hash = 0] = createHash('sha256').update(rootId).digest();
  return `stops:${hash % SECTIONS}`;
}
