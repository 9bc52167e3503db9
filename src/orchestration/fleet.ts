import type { Clock } from '../clock.ts';
import { Loop } from '../queue/loop.ts';
import { REGISTRY_VALUE_BYTES_MAX, type Registry, type RegistryEntry } from '../queue/registry.ts';
import { EXPERIENCE } from '../queue/sections.ts';
import { WORKERS, type WorkerAgent } from '../queue/workers.ts';
import type { Agent } from './agent.ts';
import type { AgentCoordinator } from './agent-coordinator.ts';
import { faded, isEvidence } from './evidence.ts';
import type { ExperienceRecord } from './experience.ts';

/** A worker that has not been heard of for three beats is taken for dead. */
export const BEAT_MS = 30_000;
const ALIVE_MS = 3 * BEAT_MS;

/** What a worker learned outlives it by a day. */
const EXPERIENCE_MS = 24 * 3_600_000;

const EVIDENCE_HALF_LIFE_MS = 3_600_000;

/** Pairs of agent and type that a worker shares: those it worked on last, as far as they fit into one entry. */
const SHARED_PAIRS_MAX = 300;

export interface FleetMemberOptions {
  readonly queue: FleetQueue;
  readonly agents: () => Iterable<Agent>;
  readonly coordinator: AgentCoordinator;
  readonly onError: (error: unknown) => void;
}

interface FleetQueue {
  readonly owner: string;
  readonly registry: Registry;
  readonly clock: Clock;
}

/** Several conductors of a process may share a queue; each has entries of its own. */
let members = 0;

/**
 * One process's place in the fleet: with each beat it tells which agents it has and what they have learned, and
 * takes over what the others have. Each process writes only its own entries, so that nothing has to be locked.
 */
export class FleetMember {
  readonly #options: FleetMemberOptions;
  readonly #beats: Loop;
  readonly #key: string;
  #sharedRuns = 0;

  constructor(options: FleetMemberOptions) {
    this.#options = options;
    members += 1;
    this.#key = `${options.queue.owner}:${members}`;
    this.#beats = new Loop(options.queue.clock, BEAT_MS, () => this.#beat(), options.onError);
  }

  join(): void {
    void this.#beats.runNow();
  }

  /** Resolves when the entry is gone, or the store has refused; the error is reported. */
  async leave(): Promise<void> {
    await this.#beats.stop();
    const { queue, onError } = this.#options;
    await this.#shareExperience()
      .then(() => queue.registry.remove(WORKERS, this.#key))
      .catch(onError);
  }

  async #beat(): Promise<void> {
    const { queue, coordinator } = this.#options;
    const { owner, registry } = queue;
    const now = queue.clock.now();
    const value = JSON.stringify({ owner, seenAt: now, agents: this.#agents() });
    await registry.put(WORKERS, { key: this.#key, value, expiresAt: now + ALIVE_MS }, now);
    await this.#shareExperience();
    const entries = await registry.entries(EXPERIENCE, now);
    const others = entries.filter(({ key }) => key !== this.#key);
    coordinator.learnFrom(others.flatMap((entry) => aged(entry, now)));
  }

  async #shareExperience(): Promise<void> {
    const { queue, coordinator } = this.#options;
    const records = coordinator.experience(SHARED_PAIRS_MAX);
    const runs = records.reduce((sum, record) => sum + record.runs, 0);
    if (runs === this.#sharedRuns) return;
    const now = queue.clock.now();
    const entry = { key: this.#key, value: entryOf(records), expiresAt: now + EXPERIENCE_MS };
    await queue.registry.put(EXPERIENCE, entry, now);
    this.#sharedRuns = runs;
  }

  #agents(): WorkerAgent[] {
    const { agents, coordinator } = this.#options;
    return [...agents()].map(({ name, capabilities, maxConcurrent }) => ({
      name,
      capabilities,
      ...(maxConcurrent !== Infinity && { maxConcurrent }),
      running: coordinator.load(name),
    }));
  }
}

/** What is old says little of how it is now: the evidence of a worker that adds nothing halves each hour. */
function aged({ value, expiresAt }: RegistryEntry, now: number): ExperienceRecord[] {
  const ageMs = expiresAt === null ? 0 : Math.max(0, now + EXPERIENCE_MS - expiresAt);
  const share = 0.5 ** (ageMs / EVIDENCE_HALF_LIFE_MS);
  return decode<ExperienceRecord>(value).map((record) =>
    record === null || !isEvidence(record.recent)
      ? record
      : { ...record, recent: faded(record.recent, share) },
  );
}

/** The first of the records, as many as an entry may hold. */
function entryOf(records: readonly ExperienceRecord[]): string {
  const texts: string[] = [];
  let bytes = '[]'.length;
  for (const record of records) {
    const text = JSON.stringify(record);
    bytes += Buffer.byteLength(text) + 1;
    if (bytes > REGISTRY_VALUE_BYTES_MAX) break;
    texts.push(text);
  }
  return `[${texts.join(',')}]`;
}

/** What another process wrote is data: what cannot be read counts for nothing. */
function decode<T>(value: string): T[] {
  const records = parsed(value);
  return Array.isArray(records) ? records : [];
}

function parsed(value: string): object {
  try {
    const json: unknown = JSON.parse(value);
    return typeof json === 'object' && json !== null ? json : {};
  } catch {
    return {};
  }
}
