import { ERROR_TEXT_BYTES_MAX } from './bounds.ts';
import type { TaskError } from './task.ts';

/** The code of the failure that is recorded for a result its task does not accept. */
export const RESULT_REJECTED = 'RESULT_REJECTED';

const NAME_CHARS_MAX = 200;

/** An agent's error as data. Anything may be thrown; texts are cut to ERROR_TEXT_BYTES_MAX in all. */
export function toTaskError(thrown: unknown): TaskError {
  const source = typeof thrown === 'object' && thrown !== null ? (thrown as Record<string, unknown>) : {};
  const name = textOf(source.name) ?? 'Error';
  const message =
    textOf(source.message) ?? (typeof thrown === 'object' ? safeString(thrown) : String(thrown));
  const code = textOf(source.code) ?? (typeof source.code === 'number' ? String(source.code) : undefined);
  const stack = textOf(source.stack);
  const cutMessage = cutBytes(message, ERROR_TEXT_BYTES_MAX / 2);
  return {
    name: name.slice(0, NAME_CHARS_MAX).toWellFormed(),
    message: cutMessage,
    ...(code === undefined ? {} : { code: code.slice(0, NAME_CHARS_MAX).toWellFormed() }),
    ...(stack === undefined ? {} : { stack: cutBytes(stack, ERROR_TEXT_BYTES_MAX / 2 - 4 * NAME_CHARS_MAX) }),
  };
}

/** Cuts to at most `bytesMax` bytes of UTF-8, at a character. */
export function cutBytes(text: string, bytesMax: number): string {
  const wellFormed = text.toWellFormed();
  if (Buffer.byteLength(wellFormed) <= bytesMax) return wellFormed;
  const ellipsis = '…';
  const cut = Buffer.from(wellFormed).subarray(0, bytesMax - Buffer.byteLength(ellipsis));
  // A character cut in half decodes to U+FFFD at the end; drop it.
  return cut.toString('utf8').replace(/�+$/, '') + ellipsis;
}

function textOf(value: unknown): string | undefined {
  return typeof value === 'string' ? value : undefined;
}

function safeString(value: unknown): string {
  try {
    return JSON.stringify(value) ?? String(value);
  } catch {
    return Object.prototype.toString.call(value);
  }
}
