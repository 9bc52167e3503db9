import { JottyError, StoreCorruptError, StoreUnavailableError } from '../errors.ts';

/** What to do about a failed command. */
export type RedisFailure = 'again' | 'reconnect' | 'refused' | 'damaged' | 'other';

/** The first word of a Redis error reply, and what it means for a command that may be sent again. */
const FAILURES: Readonly<Record<string, RedisFailure>> = {
  LOADING: 'again',
  BUSY: 'again',
  TRYAGAIN: 'again',
  CLUSTERDOWN: 'again',
  MASTERDOWN: 'again',
  MOVED: 'again',
  ASK: 'again',
  // The master we were connected to is a replica now: ask anew who is master.
  READONLY: 'reconnect',
  UNBLOCKED: 'again',
  OOM: 'refused',
  MISCONF: 'refused',
  NOREPLICAS: 'refused',
  NOAUTH: 'refused',
  WRONGPASS: 'refused',
  NOPERM: 'refused',
  WRONGTYPE: 'damaged',
};

const ADVICE: Readonly<Record<string, string>> = {
  OOM: 'its memory is full (maxmemory); raise the limit or purge ended tasks',
  MISCONF: 'it cannot write to its disk; see its log',
  NOREPLICAS: 'too few replicas are connected',
  NOAUTH: 'it wants a password',
  WRONGPASS: 'it refuses this user or password',
  NOPERM: 'this user may not run the commands that are needed',
  READONLY: 'this is a replica; connect to the master',
  LOADING: 'it is loading its data; try again',
  BUSY: 'a script keeps it busy; try again',
};

/** What ioredis says of a lost or missing connection; none of these has a code of its own. */
const DISCONNECTED =
  /Connection is closed|Stream isn't writeable|ECONN|EPIPE|ETIMEDOUT|ENOTFOUND|EAI_AGAIN|Command timed out|MaxRetriesPerRequest|Socket (closed|timeout)|None of startup nodes|Failed to refresh slots|Cluster isn't ready|All sentinels are unreachable|offline/i;

function firstWord(error: unknown): string {
  const message = error instanceof Error ? error.message : '';
  // Inside a script Redis wraps the reply: "ERR Error running script … -OOM command not allowed …".
  return (
    /(?:^|[-\s])(LOADING|BUSY|TRYAGAIN|CLUSTERDOWN|MASTERDOWN|MOVED|ASK|READONLY|UNBLOCKED|OOM|MISCONF|NOREPLICAS|NOAUTH|WRONGPASS|NOPERM|WRONGTYPE)\b/.exec(
      message,
    )?.[1] ?? ''
  );
}

export function isNoScript(error: unknown): boolean {
  return error instanceof Error && error.message.includes('NOSCRIPT');
}

export function failureOf(error: unknown): RedisFailure {
  if (!(error instanceof Error) || error instanceof JottyError) return 'other';
  const known = FAILURES[firstWord(error)];
  if (known !== undefined) return known;
  return DISCONNECTED.test(`${error.name} ${error.message}`) ? 'again' : 'other';
}

/** Turns Redis' and ioredis' errors into Jotty's; another error stays as it is. */
export function mapRedisError(error: unknown): unknown {
  // ioredis hangs the command on its errors, and with it what users have stored.
  if (error instanceof Error && 'command' in error) delete error.command;
  const failure = failureOf(error);
  if (failure === 'other') return error;
  const word = firstWord(error);
  if (failure === 'damaged')
    return new StoreCorruptError('a key of this prefix holds something else than Jotty wrote', {
      cause: error,
    });
  const advice = ADVICE[word] ?? 'it cannot be reached; the call may be made again';
  return new StoreUnavailableError(`Redis: ${advice}${word === '' ? '' : ` (${word})`}`, { cause: error });
}
