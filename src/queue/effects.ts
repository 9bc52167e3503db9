import { InvalidOptionError, TooLargeError } from '../errors.ts';
import type { JsonValue } from '../json.ts';
import { EFFECT_KEY_CHARS_MAX, EFFECTS_BYTES_MAX, EFFECTS_MAX } from './bounds.ts';

/**
 * A call with a side effect, as it is recorded with its task: before it is made, and with its result right after.
 * What was started and is not done is in doubt: it may have happened.
 */
export interface Effect {
  /** Names the call within its task. */
  readonly key: string;
  /** `undone`: it was started, and is known not to have happened. */
  readonly state: 'started' | 'done' | 'undone';
  /** How often it was started. */
  readonly starts: number;
  /** ms since the epoch */
  readonly startedAt: number;
  /** The attempt of the task that started it last. */
  readonly attempt: number;
  /** With `started`: what the call threw; it may have happened all the same. Cut to 500 bytes. */
  readonly error?: string;
  /** What a `done` one returned; absent for undefined, and where it was too large to keep. */
  readonly result?: JsonValue;
  /** A `done` one whose result could not be kept: its size as JSON. */
  readonly lostBytes?: number;
}

/**
 * The effects of a task with `written` among them, each in the place of the one with its key.
 * @throws TooLargeError, InvalidOptionError
 */
export function withEffects(
  taskId: string,
  known: readonly Effect[],
  written: readonly Effect[],
): readonly Effect[] {
  const all = new Map(known.map((effect) => [effect.key, effect]));
  for (const effect of written) all.set(checkedKey(effect), effect);
  if (all.size > EFFECTS_MAX)
    throw new TooLargeError(taskId, 'EFFECTS_MAX', EFFECTS_MAX, all.size, 'effects');
  const effects = [...all.values()];
  const bytes = Buffer.byteLength(JSON.stringify(effects));
  if (bytes > EFFECTS_BYTES_MAX)
    throw new TooLargeError(
      `${taskId}.effects`,
      'EFFECTS_BYTES_MAX',
      EFFECTS_BYTES_MAX,
      bytes,
      'bytes of JSON',
    );
  return effects;
}

function checkedKey(effect: Effect): string {
  const { key } = effect;
  if (typeof key !== 'string' || key === '' || key.length > EFFECT_KEY_CHARS_MAX || !key.isWellFormed())
    throw new InvalidOptionError('key', `a text of 1 to ${EFFECT_KEY_CHARS_MAX} characters`, key);
  return key;
}
