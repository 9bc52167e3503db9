import type { Clock } from '../clock.ts';
import { CommandRefusedError, HealthCheckError, InvalidOptionError, InvalidTaskError } from '../errors.ts';

export interface HealthCheck {
  /** http or https, without credentials, of an origin that the agent allows. */
  readonly url: string;
  /** How long it may take to answer 2xx, ms; at most HEALTH_CHECK_MS_MAX. @default 30_000 */
  readonly timeoutMs?: number | undefined;
  /** Between two questions, ms; from HEALTH_CHECK_EVERY_MS_MIN. @default 500 */
  readonly everyMs?: number | undefined;
  /**
   * What becomes of the program once it is healthy: it is ended, and the check has been a test; or it is left
   * running for good, and ends with nobody's help. Of a program that is left no output is kept.
   * @default 'stop'
   */
  readonly whenHealthy?: 'stop' | 'leave' | undefined;
}

/** A health check with nothing left to default. */
export interface CheckedHealth {
  readonly url: string;
  readonly timeoutMs: number;
  readonly everyMs: number;
  readonly whenHealthy: 'stop' | 'leave';
}

/** How a program turned out to be healthy. */
export interface HealthReport {
  /** Of the HTTP answer. */
  readonly status: number;
  /** How often it was asked. */
  readonly checks: number;
}

/** One hour. */
export const HEALTH_CHECK_MS_MAX = 3_600_000;
export const HEALTH_CHECK_EVERY_MS_MIN = 20;
/** One answer may take this long, ms. */
const ANSWER_MS_MAX = 5_000;
/** The last question gets this long, ms. */
const LAST_ANSWER_MS = 50;
const NO_ANSWER = 'no answer';
const LOOPBACK: ReadonlySet<string> = new Set(['localhost', '127.0.0.1', '[::1]']);

/** Asks a URL until it answers 2xx. */
export class HealthChecker {
  readonly #origins: ReadonlySet<string> | undefined;
  readonly #clock: Clock;

  /** @throws InvalidOptionError */
  constructor(origins: readonly string[] | undefined, clock: Clock) {
    this.#origins = origins === undefined ? undefined : new Set(origins.map(originOf));
    this.#clock = clock;
  }

  /** @throws CommandRefusedError, InvalidTaskError */
  check({ url, timeoutMs = 30_000, everyMs = 500, whenHealthy = 'stop' }: HealthCheck): CheckedHealth {
    between('timeoutMs', timeoutMs, 1, HEALTH_CHECK_MS_MAX);
    between('everyMs', everyMs, HEALTH_CHECK_EVERY_MS_MIN, HEALTH_CHECK_MS_MAX);
    if (whenHealthy !== 'stop' && whenHealthy !== 'leave')
      throw new InvalidTaskError('input.healthCheck.whenHealthy', "expected 'stop' or 'leave'");
    return { url: this.#allowed(url), timeoutMs, everyMs, whenHealthy };
  }

  /** Rejects with HealthCheckError, or with the signal's reason. */
  async untilHealthy(check: CheckedHealth, signal: AbortSignal): Promise<HealthReport> {
    const endsAt = this.#clock.now() + check.timeoutMs;
    let last = NO_ANSWER;
    for (let checks = 1; ; checks++) {
      signal.throwIfAborted();
      const answerMs = Math.min(ANSWER_MS_MAX, Math.max(1, endsAt - this.#clock.now()));
      const answer = await this.#ask(check.url, answerMs, signal);
      signal.throwIfAborted();
      if (typeof answer === 'number' && answer >= 200 && answer < 300) return { status: answer, checks };
      if (answer !== NO_ANSWER) last = String(answer);
      const pauseMs = Math.min(check.everyMs, endsAt - this.#clock.now() - LAST_ANSWER_MS);
      if (pauseMs <= 0) throw unhealthy(check, checks, last);
      await this.#pause(pauseMs, signal);
    }
  }

  /** The status, or why there is none. No redirect is followed and no body read. */
  async #ask(url: string, timeoutMs: number, signal: AbortSignal): Promise<number | string> {
    const controller = new AbortController();
    const abort = () => controller.abort();
    const timer = this.#clock.setTimeout(abort, timeoutMs);
    signal.addEventListener('abort', abort, { once: true });
    try {
      const response = await fetch(url, { redirect: 'manual', signal: controller.signal });
      await response.body?.cancel();
      return response.status;
    } catch (error) {
      return reasonOf(error);
    } finally {
      signal.removeEventListener('abort', abort);
      this.#clock.clearTimeout(timer);
    }
  }

  #pause(ms: number, signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const end = () => {
        this.#clock.clearTimeout(timer);
        signal.removeEventListener('abort', end);
        resolve();
      };
      const timer = this.#clock.setTimeout(end, ms);
      signal.addEventListener('abort', end, { once: true });
      if (signal.aborted) end();
    });
  }

  #allowed(url: string): string {
    const parsed = typeof url === 'string' && URL.canParse(url) ? new URL(url) : undefined;
    if (parsed === undefined || !/^https?:$/.test(parsed.protocol) || parsed.username || parsed.password)
      throw new InvalidTaskError(
        'input.healthCheck.url',
        'expected an http or https URL without credentials',
      );
    const isAllowed = this.#origins?.has(parsed.origin) ?? LOOPBACK.has(parsed.hostname);
    if (!isAllowed)
      throw new CommandRefusedError(`${parsed.origin} may not be asked; see the option healthCheckOrigins`);
    return parsed.href;
  }
}

/** Without the query, which may hold a token. */
function unhealthy({ url, timeoutMs }: CheckedHealth, checks: number, last: string): HealthCheckError {
  const { origin, pathname } = new URL(url);
  const problem = `${origin}${pathname} did not answer 2xx within ${timeoutMs} ms (${checks} checks)`;
  return new HealthCheckError(`${problem}; the last answer: ${last}`);
}

function originOf(origin: string, i: number): string {
  const parsed = typeof origin === 'string' && URL.canParse(origin) ? new URL(origin) : undefined;
  if (parsed === undefined || !/^https?:$/.test(parsed.protocol))
    throw new InvalidOptionError(
      `healthCheckOrigins[${i}]`,
      'an origin like https://app.example.com',
      origin,
    );
  return parsed.origin;
}

function between(name: string, value: number, min: number, max: number): void {
  if (!(typeof value === 'number' && value >= min && value <= max))
    throw new InvalidTaskError(`input.healthCheck.${name}`, `expected ms between ${min} and ${max}`);
}

/** A code such as ECONNREFUSED; messages may quote the answer. */
function reasonOf(error: unknown): string {
  const { code } = ((error as Error | undefined)?.cause ?? {}) as { code?: unknown };
  return typeof code === 'string' ? code : NO_ANSWER;
}
