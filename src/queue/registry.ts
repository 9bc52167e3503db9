import { InvalidOptionError, TooLargeError } from '../errors.ts';

/** The text of an entry, UTF-8. */
export const REGISTRY_VALUE_BYTES_MAX = 64 * 1024;
/** Entries alive in one section. */
export const REGISTRY_ENTRIES_MAX = 10_000;

export interface RegistryEntry {
  readonly key: string;
  /** JSON text, opaque to the registry. */
  readonly value: string;
  /** Gone from this time on; ms since the epoch, null for never. */
  readonly expiresAt: number | null;
  /** 1 for a new entry, raised by one with each write. */
  readonly version: number;
}

/**
 * Small texts that the processes of one store leave for one another: who is alive, what was learned. Entries
 * stand in sections, by key, until they are removed or their time is over. Time is always an argument.
 */
export interface Registry {
  /**
   * Writes an entry. With `version` only while the entry there has this version (0: while there is none), which
   * is what makes one of several writers win; false tells that it was not written. Without it the last one wins.
   * @throws TooLargeError for a value or a section beyond the bounds above.
   */
  put(
    section: string,
    entry: Omit<RegistryEntry, 'version'>,
    now: number,
    version?: number,
  ): Promise<boolean>;
  remove(section: string, key: string): Promise<void>;
  /** All that are alive, in order of key. */
  entries(section: string, now: number): Promise<RegistryEntry[]>;
}

const NAME = /^[A-Za-z0-9_.:|@-]{1,512}$/;

/** Refuses what no backend stores, so that all refuse the same. */
export function checkEntry(section: string, { key, value }: Omit<RegistryEntry, 'version'>): void {
  if (!NAME.test(section)) throw new InvalidOptionError('section', `a name like ${NAME}`, section);
  if (!NAME.test(key)) throw new InvalidOptionError('key', `a name like ${NAME}`, key);
  const bytes = Buffer.byteLength(value);
  if (bytes > REGISTRY_VALUE_BYTES_MAX) {
    throw new TooLargeError(
      `${section}.${key}`,
      'REGISTRY_VALUE_BYTES_MAX',
      REGISTRY_VALUE_BYTES_MAX,
      bytes,
      'bytes',
    );
  }
}

/** Refuses one more entry where a section is full. */
export function checkRoom(section: string, entries: number): void {
  if (entries < REGISTRY_ENTRIES_MAX) return;
  throw new TooLargeError(section, 'REGISTRY_ENTRIES_MAX', REGISTRY_ENTRIES_MAX, entries + 1, 'entries');
}
