/** Savers for LangGraph. */

/** The fence: who lost a lease can no longer write checkpoints. */
export { FENCE_KEY, type FencedSaver, isFenced } from './fence.ts';
/** State as JSON that comes back as it went in; for savers of your own. */
export { JsonSerializer } from './json-serializer.ts';
export { FencedMemorySaver } from './memory-saver.ts';
export type { PruneOptions } from './prune.ts';
export { RedisSaver, type RedisSaverOptions } from './redis-saver.ts';
export { SQLiteSaver, type SQLiteSaverOptions } from './sqlite-saver.ts';
