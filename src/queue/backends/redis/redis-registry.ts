import {
  checkEntry,
  checkRoom,
  REGISTRY_ENTRIES_MAX,
  type Registry,
  type RegistryEntry,
} from '../../registry.ts';
import type { ScriptRunner } from './script-runner.ts';

const MARKS = 64;

/** A registry in Redis: a hash for each section. */
export class RedisRegistry implements Registry {
  readonly #scripts: ScriptRunner;
  #writes = 0;

  constructor(scripts: ScriptRunner) {
    this.#scripts = scripts;
  }

  async put(
    section: string,
    { key, value, expiresAt }: Omit<RegistryEntry, 'version'>,
    now: number,
    version?: number,
  ): Promise<boolean> {
    checkEntry(section, { key, value, expiresAt });
    const values = [section, key, expiresAt ?? '', version ?? '', REGISTRY_ENTRIES_MAX, value];
    const written = (await this.#scripts.run('registryPut', {
      now,
      mark: this.#nextMark(),
      values,
    })) as unknown as number;
    if (written < 0) checkRoom(section, REGISTRY_ENTRIES_MAX);
    return written === 1;
  }

  /** More writes are never under way at the same time. */
  #nextMark(): string {
    this.#writes = (this.#writes + 1) % MARKS;
    return `r${this.#writes}`;
  }

  async remove(section: string, key: string): Promise<void> {
    await this.#scripts.call('HDEL', `registry:${section}`, key);
  }

  async entries(section: string, now: number): Promise<RegistryEntry[]> {
    const reply = (await this.#scripts.run('registryEntries', { now, values: [section] })) as string[];
    const entries: RegistryEntry[] = [];
    for (let i = 0; i < reply.length; i += 4) {
      const [key, version, over, value] = reply.slice(i, i + 4) as [string, string, string, string];
      entries.push({ key, value, expiresAt: over === '' ? null : Number(over), version: Number(version) });
    }
    return entries.sort((a, b) => (a.key < b.key ? -1 : 1));
  }
}
