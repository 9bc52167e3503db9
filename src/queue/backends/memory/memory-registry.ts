import { checkEntry, checkRoom, type Registry, type RegistryEntry } from '../../registry.ts';

/** A registry for one process. */
export class MemoryRegistry implements Registry {
  readonly #sections = new Map<string, Map<string, RegistryEntry>>();

  async put(
    section: string,
    entry: Omit<RegistryEntry, 'version'>,
    now: number,
    version?: number,
  ): Promise<boolean> {
    checkEntry(section, entry);
    const entries = this.#alive(section, now);
    const held = entries.get(entry.key)?.version ?? 0;
    if (version !== undefined && version !== held) return false;
    if (held === 0) checkRoom(section, entries.size);
    const { key, value, expiresAt } = entry;
    entries.set(key, { key, value, expiresAt, version: held + 1 });
    this.#sections.set(section, entries);
    return true;
  }

  async remove(section: string, key: string): Promise<void> {
    const entries = this.#sections.get(section);
    entries?.delete(key);
    if (entries?.size === 0) this.#sections.delete(section);
  }

  async entries(section: string, now: number): Promise<RegistryEntry[]> {
    return [...this.#alive(section, now).values()].sort((a, b) => (a.key < b.key ? -1 : 1));
  }

  #alive(section: string, now: number): Map<string, RegistryEntry> {
    const entries = this.#sections.get(section) ?? new Map<string, RegistryEntry>();
    for (const { key, expiresAt } of entries.values()) {
      if (expiresAt !== null && expiresAt <= now) entries.delete(key);
    }
    return entries;
  }
}
