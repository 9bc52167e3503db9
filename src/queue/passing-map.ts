/** A map that was given fewer keys than this is not worth copying; what passes meanwhile should be young when it is left behind. */
const TURNOVER_MIN = 128;

/**
 * A map for what comes and goes: many keys pass through it, few are in it at a time. A plain Map makes a new
 * table whenever holes have filled the last, and links each old one to the next; once one of them has grown old,
 * the collector takes all that follow, and what they held, for alive. So a fresh map takes over now and then.
 */
export class PassingMap<K, V> {
  #map = new Map<K, V>();
  #given = 0;

  get size(): number {
    return this.#map.size;
  }

  get(key: K): V | undefined {
    return this.#map.get(key);
  }

  set(key: K, value: V): void {
    if (++this.#given > TURNOVER_MIN && this.#given > 2 * this.#map.size) {
      this.#map = new Map(this.#map);
      this.#given = this.#map.size;
    }
    this.#map.set(key, value);
  }

  has(key: K): boolean {
    return this.#map.has(key);
  }

  delete(key: K): void {
    this.#map.delete(key);
  }

  keys(): IterableIterator<K> {
    return this.#map.keys();
  }

  values(): IterableIterator<V> {
    return this.#map.values();
  }
}
