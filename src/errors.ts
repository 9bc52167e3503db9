/** What every refusal of Jotty is: an Error with a stable `code` for programs and a message for people. */
export class JottyError extends Error {
  readonly code: string;

  constructor(code: string, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = new.target.name;
    this.code = code;
  }
}

/** The submission is malformed. `path` names the place, e.g. `tasks[3].payload.items[0]`. */
export class InvalidTaskError extends JottyError {
  readonly path: string;

  constructor(path: string, problem: string, options?: ErrorOptions) {
    super('INVALID_TASK', `${path}: ${problem}`, options);
    this.path = path;
  }
}

/** A named bound was exceeded. `path` names the place, `bound` the constant, `limit` its value. */
export class TooLargeError extends JottyError {
  readonly path: string;
  readonly bound: string;
  readonly limit: number;

  constructor(path: string, bound: string, limit: number, got: number, unit: string) {
    super('TOO_LARGE', `${path}: expected at most ${limit} ${unit} (${bound}), got ${got}`);
    this.path = path;
    this.bound = bound;
    this.limit = limit;
  }
}

/** A task with this id exists and was submitted with other content. `path` names the one refused. Nothing was stored. */
export class DuplicateTaskError extends JottyError {
  readonly path: string;
  readonly taskId: string;

  constructor(path: string, taskId: string) {
    super(
      'DUPLICATE_TASK',
      `${path}: task ${taskId} exists with other content; use another id, or submit the same content`,
    );
    this.path = path;
    this.taskId = taskId;
  }
}

export class TaskNotFoundError extends JottyError {
  readonly taskId: string;

  constructor(taskId: string) {
    super('TASK_NOT_FOUND', `there is no task ${taskId}; it was never enqueued here, or it was purged`);
    this.taskId = taskId;
  }
}

/** The transition table has no such move from the status the task is in. */
export class InvalidTransitionError extends JottyError {
  readonly taskId: string;
  readonly from: string;

  constructor(taskId: string, from: string, attempted: string) {
    super('INVALID_TRANSITION', `task ${taskId} is ${from}; it cannot be ${attempted}`);
    this.taskId = taskId;
    this.from = from;
  }
}

/**
 * The worker no longer holds the task: its lease ran out and somebody else took
 * over, or the task was cancelled under it. The work may have been done twice;
 * its result must be discarded.
 */
export class LeaseLostError extends JottyError {
  readonly taskId: string;
  readonly fence: number;

  constructor(taskId: string, fence: number, reason: string) {
    super('LEASE_LOST', `the lease on ${taskId} with fence ${fence} is no longer valid: ${reason}`);
    this.taskId = taskId;
    this.fence = fence;
  }
}

/** A dependency names a task that is neither in the store nor in the same batch. Nothing was stored. */
export class UnknownDependencyError extends JottyError {
  readonly path: string;
  readonly dependencyId: string;

  constructor(path: string, dependencyId: string) {
    super(
      'UNKNOWN_DEPENDENCY',
      `${path}: there is no task ${dependencyId}; enqueue it first, or in the same batch`,
    );
    this.path = path;
    this.dependencyId = dependencyId;
  }
}

/**
 * Tasks of one batch wait for each other. `path` names one of those edges, `cycle` lists the ids on the way round.
 * Nothing was stored.
 */
export class DependencyCycleError extends JottyError {
  readonly path: string;
  readonly cycle: readonly string[];

  constructor(path: string, cycle: readonly string[]) {
    super('DEPENDENCY_CYCLE', `${path}: these tasks would wait for each other: ${cycle.join(' → ')}`);
    this.path = path;
    this.cycle = cycle;
  }
}

/** The store did not answer in time. Nothing is known to be lost; the call may be made again. */
export class StoreUnavailableError extends JottyError {
  readonly retryable = true;

  constructor(message: string, options?: ErrorOptions) {
    super('STORE_UNAVAILABLE', message, options);
  }
}

/** The stored bytes are not what was written: a damaged file, or a damaged task. */
export class StoreCorruptError extends JottyError {
  constructor(message: string, options?: ErrorOptions) {
    super('STORE_CORRUPT', message, options);
  }
}

/** Redis is configured to keep less than `durability` demands. Nothing was stored. */
export class NotDurableError extends JottyError {
  constructor(demanded: string, found: string) {
    super('NOT_DURABLE', `durability: expected ${demanded} or better of Redis, found ${found}`);
  }
}

/** The store was written by a newer version of Jotty. Nothing was changed. */
export class SchemaTooNewError extends JottyError {
  constructor(message: string) {
    super('SCHEMA_TOO_NEW', message);
  }
}

/** An optional package is not installed. The message holds the command that installs it. */
export class MissingPackageError extends JottyError {
  constructor(packageName: string, neededFor: string, options?: ErrorOptions) {
    super(
      'MISSING_PACKAGE',
      `${neededFor} needs the package ${packageName}: npm install ${packageName}`,
      options,
    );
  }
}

/** The question was answered before, with another answer; the first one stands. */
export class AlreadyAnsweredError extends JottyError {
  constructor(taskId: string, interruptId: string) {
    super(
      'ALREADY_ANSWERED',
      `question ${interruptId} of task ${taskId} has another answer already; the first one stands`,
    );
  }
}

/** The approval was decided before, the other way; the first decision stands. */
export class AlreadyDecidedError extends JottyError {
  constructor(taskId: string, approved: boolean) {
    const decision = approved ? 'approved' : 'rejected';
    super('ALREADY_DECIDED', `task ${taskId} was ${decision} already; the first decision stands`);
  }
}

/** What was decided on is not what is there now: the task or its input has changed, and it is asked again. */
export class StaleApprovalError extends JottyError {
  readonly taskId: string;

  constructor(taskId: string) {
    super(
      'STALE_APPROVAL',
      `what task ${taskId} asks approval for has changed; read its question again and decide on that`,
    );
    this.taskId = taskId;
  }
}

/** The attempt showed no sign of life for its task's idleTimeoutMs. */
export class IdleTimeoutError extends JottyError {
  constructor(idleTimeoutMs: number) {
    super('IDLE_TIMEOUT', `the attempt showed no sign of life for ${idleTimeoutMs} ms`);
  }
}

/** The task's deadline came before its end. */
export class DeadlineExceededError extends JottyError {
  constructor(deadline: number) {
    super('DEADLINE_EXCEEDED', `the task had to end before ${new Date(deadline).toISOString()}`);
  }
}

/** The task has not asked this question. */
export class UnknownInterruptError extends JottyError {
  constructor(taskId: string, interruptId: string) {
    super(
      'UNKNOWN_INTERRUPT',
      `task ${taskId} has no question ${interruptId}; read task.interrupts for the open ones`,
    );
  }
}

/** A condition is named that is not registered in this queue. `path` names the place. Nothing was stored. */
export class UnknownConditionError extends JottyError {
  readonly path: string;

  constructor(path: string, condition: string) {
    super(
      'UNKNOWN_CONDITION',
      `${path}: no condition ${condition} is registered; call registerCondition() first`,
    );
    this.path = path;
  }
}

/** A bounded wait ran out. */
export class TimeoutError extends JottyError {
  constructor(message: string) {
    super('TIMEOUT', message);
  }
}

/** The queue is paused: nothing is started until `resume()`. */
export class QueuePausedError extends JottyError {
  constructor(taskId: string) {
    super(
      'QUEUE_PAUSED',
      `task ${taskId} cannot start: the queue is paused; call resume(), or release the task`,
    );
  }
}

/**
 * There were too many calls. Thrown by a node, or by anything an agent does, it costs no attempt: the task goes
 * back, and nothing that needs the key starts before `retryAfterMs` is over.
 */
export class RateLimitError extends JottyError {
  /** @default 5_000 */
  readonly retryAfterMs: number | undefined;
  /** The key of the limit that is exhausted; what can be no key of a limit is none. @default all keys of the task */
  readonly key: string | undefined;

  constructor(
    message: string,
    { retryAfterMs, key, ...options }: ErrorOptions & { retryAfterMs?: number; key?: string } = {},
  ) {
    super('RATE_LIMITED', message, options);
    this.retryAfterMs = retryAfterMs;
    this.key = key;
  }
}

/** The queue, saver or conductor was closed before this call. */
export class ClosedError extends JottyError {
  constructor(what: string) {
    super('CLOSED', `${what} is closed; create a new one`);
  }
}

/** An option has a value that cannot work. `path` names the option, or its place, e.g. `filter.ids`. */
export class InvalidOptionError extends JottyError {
  readonly path: string;

  constructor(option: string, expected: string, got: unknown) {
    const told = typeof got === 'object' && got !== null ? 'an object' : String(got);
    super('INVALID_OPTION', `${option}: expected ${expected}, got ${told}`);
    this.path = option;
  }
}

/** A graph's state holds something that cannot be stored, e.g. a BigInt. `path` names the place. Nothing was written. */
export class StateNotSerializableError extends JottyError {
  readonly path: string;

  constructor(path: string, problem: string, options?: ErrorOptions) {
    super('STATE_NOT_SERIALIZABLE', `${path}: ${problem}`, options);
    this.path = path;
  }
}

/**
 * The thread or process that an agent was isolated in has died under its run, which alone is lost: code
 * OUT_OF_MEMORY where it had used up its heap, else WORKER_CRASHED. It is charged as a crash.
 */
export class AgentCrashedError extends JottyError {
  /** null where a signal ended it. */
  readonly exitCode: number | null;
  readonly signal: string | null;

  constructor(
    message: string,
    exit: {
      readonly exitCode: number | null;
      readonly signal: string | null;
      readonly isOutOfMemory: boolean;
    },
  ) {
    super(exit.isOutOfMemory ? 'OUT_OF_MEMORY' : 'WORKER_CRASHED', message);
    this.exitCode = exit.exitCode;
    this.signal = exit.signal;
  }
}

/** A task ended without a result: it failed, was cancelled, or was skipped. `cause` is the error recorded with it. */
export class TaskFailedError extends JottyError {
  readonly taskId: string;
  readonly status: string;

  constructor(taskId: string, status: string, cause?: { readonly name: string; readonly message: string }) {
    super('TASK_FAILED', `task ${taskId} ${cause ? `${status}: ${cause.message}` : `was ${status}`}`, {
      cause,
    });
    this.taskId = taskId;
    this.status = status;
  }
}

/** A command agent is not switched on for this program, directory, variable or URL. Nothing was started. */
export class CommandRefusedError extends JottyError {
  constructor(problem: string) {
    super('COMMAND_REFUSED', problem);
  }
}

/** A program ended other than well. The message ends with the end of its stderr; its arguments are not in it. */
export class CommandFailedError extends JottyError {
  /** null where a signal ended it. */
  readonly exitCode: number | null;
  readonly signal: string | null;

  constructor(
    program: string,
    how: string,
    { exitCode, signal }: { readonly exitCode: number | null; readonly signal: string | null },
    stderr: string,
  ) {
    const end = signal === null ? `exited with code ${exitCode}` : `was ended by ${signal}`;
    super('COMMAND_FAILED', `${program} ${[end, how].filter(Boolean).join(' ')}; ${endOf(stderr)}`);
    this.exitCode = exitCode;
    this.signal = signal;
  }
}

/** A URL did not answer 2xx in time. A program that was started for it has been ended; the message ends with the end of its stderr. */
export class HealthCheckError extends JottyError {
  /** Without what the program has written. */
  readonly problem: string;

  constructor(problem: string, stderr?: string) {
    super('UNHEALTHY', stderr === undefined ? problem : `${problem}; of the program, ${endOf(stderr)}`);
    this.problem = problem;
  }
}

function endOf(stderr: string): string {
  const text = stderr.trim();
  return text === '' ? 'nothing was written to stderr' : `stderr ends with:\n${text}`;
}
