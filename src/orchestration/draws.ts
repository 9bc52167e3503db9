const SHARE_MIN = 1e-3;
/** Where the approximation would leave what can be. */
const ROOT_MIN = 0.01;

/** A 32-bit number that is the same for the same text (FNV-1a). */
export function seedOf(text: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  return mixed(hash);
}

/**
 * Random draws that are the same for the same seed (mulberry32), so that what was chosen by them can be explained and
 * made again. Good enough to explore by, not for secrets.
 */
export class Draws {
  #state = 0;

  constructor(seed: number) {
    this.#state = seed >>> 0;
  }

  /** Begins anew, with draws of its own for each `part` of a seed. */
  begin(seed: number, part: number): this {
    this.#state = mixed(seed ^ Math.imul(part, 0x9e3779b1));
    return this;
  }

  /** In [0, 1). */
  uniform(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let word = Math.imul(this.#state ^ (this.#state >>> 15), this.#state | 1);
    word ^= word + Math.imul(word ^ (word >>> 7), word | 61);
    return ((word ^ (word >>> 14)) >>> 0) / 4_294_967_296;
  }

  /** Standard normal (Box-Muller). */
  normal(): number {
    return this.#radius() * Math.cos(2 * Math.PI * this.uniform());
  }

  /** A share, by how often it was so and how often not; either is above 0. */
  beta(yes: number, no: number): number {
    // Two normals from one radius: this is drawn for each agent of a large fleet.
    const radius = this.#radius();
    const angle = 2 * Math.PI * this.uniform();
    const a = gammaAt(yes, radius * Math.cos(angle));
    const b = gammaAt(no, radius * Math.sin(angle));
    return Math.min(1 - SHARE_MIN, Math.max(SHARE_MIN, a / (a + b)));
  }

  #radius(): number {
    return Math.sqrt(-2 * Math.log(1 - this.uniform()));
  }
}

/** A gamma variable from a normal one: Wilson and Hilferty, The distribution of chi-square (1931). */
function gammaAt(shape: number, normal: number): number {
  const root = 1 - 1 / (9 * shape) + normal / (3 * Math.sqrt(shape));
  return shape * Math.max(ROOT_MIN, root) ** 3;
}

/** Murmur's last step: neighbours come out far from each other. */
function mixed(word: number): number {
  let hash = word ^ (word >>> 16);
  hash = Math.imul(hash, 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}
