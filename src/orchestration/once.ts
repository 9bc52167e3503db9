import { createHash } from 'node:crypto';
import { InvalidOptionError, JottyError, TooLargeError } from '../errors.ts';
import type { JsonValue } from '../json.ts';
import { EFFECT_KEY_CHARS_MAX, EFFECTS_BYTES_MAX, FAILURE_MESSAGE_BYTES_MAX } from '../queue/bounds.ts';
import type { Effect } from '../queue/effects.ts';
import { refusalOf } from '../queue/rate-limit.ts';
import type { TaskInterrupt } from '../queue/task.ts';
import { cutBytes, toTaskError } from '../queue/task-error.ts';
import type { AttemptInfo } from './agent.ts';
import type { RunConfig } from './children.ts';
import type { EffectLedger } from './effect-ledger.ts';
import { ONCE_PREFIX, UnsettledEffect } from './once-question.ts';
import { answerTo, askedAgain } from './questions.ts';

/** What is known of a call that was started and never recorded as done. */
export interface Doubt {
  /** ms since the epoch. Who lost its lease may still be making the call. */
  readonly startedAt: number;
  /** The attempt of the task that started it. */
  readonly attempt: number;
  /** How often it was started. */
  readonly starts: number;
  /** What the call threw; absent where its process died. */
  readonly error?: string;
}

/** `{ done }`: it happened, and this is what it returned. `retry`: it did not, make it. `unknown`: ask a person. */
export type Reconciled<T> = { readonly done: T } | 'retry' | 'unknown';

export interface OnceOptions<T> {
  /** Finds out what became of a call in doubt, e.g. by asking the other side for it. @default a person is asked */
  readonly reconcile?: ((key: string, doubt: Doubt) => Reconciled<T> | Promise<Reconciled<T>>) | undefined;
  /**
   * Whether an error proves that nothing happened, so that the call may be made again without asking.
   * @default only refusals for too many calls (status 429)
   */
  readonly nothingHappened?: ((error: unknown) => boolean) | undefined;
}

/** What a person is asked about a call in doubt. The answer is `again`, or `{ happened: result }`. */
export interface OnceQuestion extends Doubt {
  readonly jotty: 'once';
  readonly key: string;
  readonly question: string;
  readonly choices: readonly [happened: 'happened', again: 'again'];
}

const HASH_CHARS = 24;

/**
 * Makes a call with a side effect at most once for its task, however often the node runs again: the start is
 * durable before `fn` is called, its result right after. A re-run gets the recorded result. A call that was
 * started and never recorded, since the process died or `fn` threw, is not made again: `reconcile` says what
 * became of it, or a person does, and the task waits for that.
 *
 * `key` names the call within the task. An `interrupt()` within `fn` stops it as if nothing had happened yet: ask before
 * the effect, not after it. What `fn` returns comes back as it is stored: JSON, dates, maps and
 * messages as they were, other classes as plain objects. Without a queue records last as long as the conductor.
 *
 * @throws LeaseLostError where somebody else has the task: nothing was started. TooLargeError for a result that
 * cannot be kept: it happened, and is not repeated. What `fn` and `reconcile` throw.
 */
export async function once<T>(
  config: RunConfig,
  key: string,
  fn: () => T | Promise<T>,
  options: OnceOptions<T> = {},
): Promise<T> {
  return run(config, key, fn, options, false);
}

/**
 * As `once`, for code that would take an error for an invitation to call again, under another key: a call that threw
 * is settled at once, and the run waits for that.
 */
export async function onceOrHeld<T>(
  config: RunConfig,
  key: string,
  fn: () => T | Promise<T>,
  options: OnceOptions<T>,
): Promise<T> {
  return run(config, key, fn, options, true);
}

async function run<T>(
  config: RunConfig,
  key: string,
  fn: () => T | Promise<T>,
  options: OnceOptions<T>,
  holdsErrors: boolean,
): Promise<T> {
  const ledger = ledgerOf(config);
  if (typeof key !== 'string' || key === '' || key.length > EFFECT_KEY_CHARS_MAX)
    throw new InvalidOptionError('key', `a text of 1 to ${EFFECT_KEY_CHARS_MAX} characters`, key);
  return ledger.single(key, () => new Once(ledger, key, fn, options, holdsErrors).result());
}

class Once<T> {
  readonly #ledger: EffectLedger;
  readonly #key: string;
  readonly #fn: () => T | Promise<T>;
  readonly #options: OnceOptions<T>;
  readonly #holdsErrors: boolean;

  constructor(
    ledger: EffectLedger,
    key: string,
    fn: () => T | Promise<T>,
    options: OnceOptions<T>,
    holdsErrors: boolean,
  ) {
    this.#holdsErrors = holdsErrors;
    this.#ledger = ledger;
    this.#key = key;
    this.#fn = fn;
    this.#options = options;
  }

  async result(): Promise<T> {
    const known = this.#ledger.get(this.#key);
    if (known === undefined || known.state === 'undone') return this.#make();
    if (known.state === 'done' && known.lostBytes === undefined) return decoded(known);
    return this.#settled(known);
  }

  async #make(): Promise<T> {
    const started = await this.#ledger.start(this.#key);
    let value: T;
    try {
      value = await this.#fn();
    } catch (error) {
      if (this.#isHarmless(error)) {
        await this.#ledger.end({ ...started, state: 'undone' });
        throw error;
      }
      const doubtful = await this.#noteError(started, error);
      if (!this.#holdsErrors) throw error;
      const found = await this.#settle(doubtful);
      if (found !== 'retry') return this.#keep(doubtful, found.done);
      // It is known now that nothing happened: that may be told.
      await this.#ledger.end({ ...started, state: 'undone' });
      throw error;
    }
    return this.#keep(started, value);
  }

  /** For whoever settles the doubt. Where there is no room for it, the doubt stands without. */
  async #noteError(started: Effect, error: unknown): Promise<Effect> {
    try {
      return await this.#ledger.end({ ...started, error: messageOf(error) });
    } catch (refusal) {
      if (refusal instanceof TooLargeError) return started;
      throw refusal;
    }
  }

  #isHarmless(error: unknown): boolean {
    // A question or a drain is no call that went wrong: the code stopped by itself, and will be run again.
    const isStop = (error as { is_bubble_up?: unknown } | null)?.is_bubble_up === true;
    return isStop || refusalOf(error) !== null || (this.#options.nothingHappened?.(error) ?? false);
  }

  async #keep({ lostBytes: _, error: __, ...started }: Effect, value: T): Promise<T> {
    const { encodeState } = await import('../checkpoint/state-encoder.ts');
    const text = value === undefined ? undefined : encodeState(value);
    const done: Effect = { ...started, state: 'done' };
    try {
      return decoded(
        await this.#ledger.end(
          text === undefined ? done : { ...done, result: JSON.parse(text) as JsonValue },
        ),
      );
    } catch (error) {
      if (!(error instanceof TooLargeError)) throw error;
      await this.#ledger.end({ ...done, lostBytes: Buffer.byteLength(text ?? '') });
      throw error;
    }
  }

  async #settled(known: Effect): Promise<T> {
    const found = await this.#settle(known);
    return found === 'retry' ? this.#make() : this.#keep(known, found.done);
  }

  async #settle(known: Effect): Promise<{ readonly done: T } | 'retry'> {
    const { startedAt, attempt, starts, error } = known;
    const isDone = known.state === 'done';
    const found = await this.#options.reconcile?.(this.#key, {
      startedAt,
      attempt,
      starts,
      ...(error !== undefined && { error }),
    });
    if (typeof found === 'object' && 'done' in found) return found;
    if (found === 'retry' && !isDone) return found;
    return this.#answered(known);
  }

  /** What a person has said. @throws UnsettledEffect where nobody has, or what was said is neither choice. */
  #answered(known: Effect): { readonly done: T } | 'retry' {
    const question = questionOf(known);
    const given = answerTo(question, this.#ledger.answers);
    if (given === undefined) throw new UnsettledEffect(this.#key, question);
    const said = readAnswer(given.answer.value, known.state === 'done');
    if (said !== null) return said as { readonly done: T } | 'retry';
    const expected = "expected 'again' or { happened: result }";
    throw new UnsettledEffect(this.#key, askedAgain(question, given.askings, expected));
  }
}

function messageOf(error: unknown): string {
  return cutBytes(toTaskError(error).message, FAILURE_MESSAGE_BYTES_MAX);
}

function questionOf({ key, state, starts, startedAt, attempt, error, lostBytes }: Effect): TaskInterrupt {
  const hash = createHash('sha256').update(key).digest('hex').slice(0, HASH_CHARS);
  const question =
    state === 'done'
      ? `${key} has happened, but its result of ${lostBytes} bytes is more than ${EFFECTS_BYTES_MAX} leave room for; what did it return?`
      : `${key} was started and its end was never recorded: did it happen?`;
  const value = { jotty: 'once', key, question, choices: ['happened', 'again'], startedAt, attempt, starts };
  const thrown = error === undefined ? {} : { error };
  return {
    id: `${ONCE_PREFIX}${hash}:${starts}${state === 'done' ? ':result' : ''}`,
    value: { ...value, ...thrown },
  };
}

function readAnswer(value: JsonValue, isDone: boolean): { readonly done: unknown } | 'retry' | null {
  const choice = typeof value === 'object' && value !== null && 'choice' in value ? value.choice : value;
  if (choice === 'again') return isDone ? null : 'retry';
  if (choice === 'happened') {
    const result =
      typeof value === 'object' && value !== null && 'result' in value ? value.result : undefined;
    return { done: result };
  }
  if (typeof value === 'object' && value !== null && !Array.isArray(value) && 'happened' in value)
    return { done: value.happened };
  return null;
}

async function decodedText<T>(text: string): Promise<T> {
  const { decodeState } = await import('../checkpoint/state-decoder.ts');
  return decodeState(text) as T;
}

async function decoded<T>({ result }: Effect): Promise<T> {
  return result === undefined ? (undefined as T) : decodedText<T>(JSON.stringify(result));
}

function ledgerOf({ configurable }: RunConfig): EffectLedger {
  const { effects } = (configurable?.jotty ?? {}) as Partial<AttemptInfo>;
  if (effects === undefined)
    throw new JottyError(
      'NO_RUN',
      'once needs a run of a conductor; pass the config that the node is called with',
    );
  return effects;
}
