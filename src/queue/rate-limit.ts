import { ID_PATTERN } from './bounds.ts';

/** How long a key is closed when nobody says so, ms. */
const RETRY_AFTER_MS = 5_000;
/** Longer waits are mistakes of unit, ms: a day. */
const RETRY_AFTER_MS_MAX = 24 * 3_600_000;

/** Errors wrap errors; so deep is looked. */
const CAUSES_MAX = 5;

/** What a refusal for too many calls says. */
export interface Refusal {
  readonly retryAfterMs: number;
  /** The key that is exhausted; null: each of the task's, also where what was named can be no key of a limit. */
  readonly key: string | null;
}

/**
 * Whether an error says "too many calls, later again": a RateLimitError, of ours or of a provider's client, or
 * an answer with status 429. Told by its shape: an app may have several copies of any class.
 */
export function refusalOf(error: unknown, depth = 0): Refusal | null {
  if (typeof error !== 'object' || error === null || depth > CAUSES_MAX) return null;
  const { name, code, status, statusCode, response, key, cause } = error as Record<string, unknown>;
  const answered = [status, statusCode, fieldOf(response, 'status'), fieldOf(response, 'statusCode')];
  const isRefusal = name === 'RateLimitError' || code === 'RATE_LIMITED' || answered.includes(429);
  if (!isRefusal) return refusalOf(cause, depth + 1);
  const isKey = typeof key === 'string' && ID_PATTERN.test(key);
  return { retryAfterMs: waitOf(error), key: isKey ? key : null };
}

function waitOf(error: object): number {
  const { retryAfterMs, retryAfter, headers, response } = error as Record<string, unknown>;
  if (isWait(retryAfterMs)) return retryAfterMs;
  for (const from of [headers, fieldOf(response, 'headers')]) {
    const ms = Number(headerOf(from, 'retry-after-ms') ?? Number.NaN);
    if (isWait(ms)) return ms;
    const after = headerOf(from, 'retry-after');
    const wait = secondsOf(after) ?? untilDate(after, headerOf(from, 'date'));
    if (wait !== null) return wait;
  }
  return secondsOf(retryAfter) ?? RETRY_AFTER_MS;
}

function isWait(ms: unknown): ms is number {
  return typeof ms === 'number' && ms >= 0 && ms <= RETRY_AFTER_MS_MAX;
}

/** HTTP also allows a date there. It is read by the clock of who answered, which the answer's own date tells. */
function untilDate(after: unknown, answeredAt: unknown): number | null {
  if (typeof after !== 'string' || typeof answeredAt !== 'string') return null;
  const ms = Math.max(0, Date.parse(after) - Date.parse(answeredAt));
  return isWait(ms) ? ms : null;
}

/** As HTTP mostly writes it: seconds, as a number or text. */
function secondsOf(value: unknown): number | null {
  const ms =
    typeof value === 'number' || (typeof value === 'string' && value !== '')
      ? Number(value) * 1_000
      : Number.NaN;
  return isWait(ms) ? Math.ceil(ms) : null;
}

function headerOf(headers: unknown, name: string): unknown {
  if (typeof headers !== 'object' || headers === null) return undefined;
  const { get } = headers as { get?: unknown };
  return typeof get === 'function' ? get.call(headers, name) : fieldOf(headers, name);
}

function fieldOf(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>)[name] : undefined;
}
