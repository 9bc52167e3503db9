import { encodeState } from '../checkpoint/state-encoder.ts';
import {
  InvalidTaskError,
  LeaseLostError,
  RateLimitError,
  StateNotSerializableError,
  StoreUnavailableError,
  TimeoutError,
  TooLargeError,
} from '../errors.ts';
import { GraphChangedError } from './graph-verdict.ts';
import { HeldError } from './once-question.ts';
import { RunAborted } from './outcome-of.ts';
import { INVALID_RESUME } from './questions.ts';
import { OpenThreadError } from './shared-thread.ts';

/** An error as data. What is no error is its message. */
export interface WireError {
  readonly name: string;
  readonly message: string;
  readonly stack?: string | undefined;
  /** Its own fields, as text of `encodeState`; absent where they are no data. */
  readonly fields?: string | undefined;
  readonly cause?: WireError | undefined;
  /** The other side threw it, and has it still under this number. */
  readonly ref?: number | undefined;
}

const CAUSES_MAX = 5;

/** Classes that somebody tells from others by `instanceof`. */
const CLASSES: Readonly<Record<string, { readonly prototype: object }>> = {
  CANCELLED: RunAborted,
  GRAPH_CHANGED: GraphChangedError,
  INVALID_TASK: InvalidTaskError,
  LEASE_LOST: LeaseLostError,
  RATE_LIMITED: RateLimitError,
  SHUTDOWN: RunAborted,
  STATE_NOT_SERIALIZABLE: StateNotSerializableError,
  STORE_UNAVAILABLE: StoreUnavailableError,
  THREAD_OPEN: OpenThreadError,
  TIMEOUT: TimeoutError,
  TOO_LARGE: TooLargeError,
};

export function toWire(error: unknown, refOf: (error: object) => number | undefined, depth = 0): WireError {
  if (typeof error !== 'object' || error === null) return { name: 'Error', message: String(error) };
  const { name, message, stack, cause, ...rest } = error as Partial<Error> & Record<string, unknown>;
  const own = error instanceof Error ? error : { name, message, stack, cause };
  return {
    name: String(own.name ?? 'Error'),
    message: String(own.message ?? ''),
    stack: own.stack,
    fields: textOf({ ...rest, ...headersOf(error), ...marksOf(error) }),
    cause: own.cause === undefined || depth === CAUSES_MAX ? undefined : toWire(own.cause, refOf, depth + 1),
    ref: refOf(error),
  };
}

/** The error again, of the class that its code stands for. Its fields are decoded already. */
export function fromWire(
  { name, message, stack, cause }: WireError,
  fields: object,
  causeOf: (wire: WireError) => unknown,
): Error {
  const error = new Error(message, cause === undefined ? undefined : { cause: causeOf(cause) });
  const { code } = fields as { readonly code?: unknown };
  const coded = typeof code === 'string' && Object.hasOwn(CLASSES, code) ? CLASSES[code] : undefined;
  const isHeld = typeof code === 'string' && (fields as { is_bubble_up?: unknown }).is_bubble_up === true;
  const known = isHeld ? HeldError : coded;
  if (known !== undefined) Object.setPrototypeOf(error, known.prototype);
  const { refusedAnswer, ...own } = fields as { readonly refusedAnswer?: true };
  Object.assign(error, own);
  if (refusedAnswer) Object.defineProperty(error, INVALID_RESUME, { value: true });
  Object.defineProperty(error, 'name', { value: name, configurable: true, writable: true });
  if (stack !== undefined)
    Object.defineProperty(error, 'stack', { value: stack, configurable: true, writable: true });
  return error;
}

function textOf(fields: object): string | undefined {
  try {
    return encodeState(fields);
  } catch {
    return undefined;
  }
}

/** By what LangGraph knows a stop from a failure, and an answer that its question refused: neither is a field. */
function marksOf(error: object): object {
  const { is_bubble_up: isStop } = error as { readonly is_bubble_up?: unknown };
  const isRefused = (error as { readonly [INVALID_RESUME]?: unknown })[INVALID_RESUME] === true;
  return { ...(isStop === true && { is_bubble_up: true }), ...(isRefused && { refusedAnswer: true }) };
}

/** What tells how long to wait after too many calls is a class of its own with many clients. */
function headersOf(error: object): object {
  const { headers } = error as { readonly headers?: unknown };
  return headers instanceof Headers ? { headers: Object.fromEntries(headers) } : {};
}
