import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';

/** A Lua program in a file, known to Redis by its SHA-1. Read when first used, not on import. */
export class RedisScript {
  readonly #file: URL;
  #loaded: { readonly source: string; readonly sha: string } | undefined;

  /** `file` beside the module: `new RedisScript(new URL('./lua/claim.lua', import.meta.url))`. */
  constructor(file: URL) {
    this.#file = file;
  }

  get source(): string {
    return this.#read().source;
  }

  get sha(): string {
    return this.#read().sha;
  }

  #read(): { readonly source: string; readonly sha: string } {
    if (!this.#loaded) {
      const source = readFileSync(this.#file, 'utf8');
      this.#loaded = { source, sha: createHash('sha1').update(source).digest('hex') };
    }
    return this.#loaded;
  }
}
