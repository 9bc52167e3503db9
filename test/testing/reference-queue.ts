/**
 * A queue written from the contract alone, as plainly as possible: arrays, loops, no indexes. It shares no
 * code with src, so that both would have to be wrong in the same way.
 */
export const SETTINGS = {
  leaseMs: 1_000,
  sweepMs: 250,
  agingMs: 700,
  maxRetries: 2,
  maxCrashes: 2,
  interval: 200,
};

/** All times of a run are multiples of it: a queue looks at its clocks no more often than that. */
export const LOOK_MS = 50;

/** `fits`: completed with a result from 1. */
export type Word = 'success' | 'failure' | 'completion' | 'fits';
export interface NewReference {
  readonly id: string;
  readonly priority: number;
  readonly agentType?: string;
  readonly delayMs: number;
  readonly timeoutMs?: number;
  readonly dependsOn: readonly { readonly id: string; readonly on: Word }[];
  /** Whether a result below 1 is a failure. */
  readonly isStrict: boolean;
  readonly join: 'all' | 'any';
  /** Keys of LIMITS. */
  readonly limits: readonly string[];
  readonly fairKey?: string;
  readonly expiresInMs?: number;
  readonly onExpiry?: 'fail' | 'skip';
  /** ms since the epoch */
  readonly deadline?: number;
  /** Nobody runs it; it has no type, no limits, no turn. */
  readonly approval?: ReferenceApproval;
}

export interface ReferenceApproval {
  readonly timeoutMs?: number;
  readonly onTimeout?: 'approve' | 'reject';
}

/** How an approval was decided. */
export interface ReferenceDecision {
  readonly approved: boolean;
  readonly by: string;
}

/** So many tasks of a key are leased at a time. */
export const LIMITS: Readonly<Record<string, number>> = { k1: 1, k2: 2 };
export const RETRY_AFTER_MS = 400;

export interface ReferenceTask extends NewReference {
  status: string;
  readonly rank: number;
  runAt: number;
  retryCount: number;
  crashes: number;
  fence: number;
  leaseEnd: number;
  startedAt: number;
  result: number | ReferenceDecision | null;
  /** How often it has ended: of two results of one task, the later one is another. */
  endings: number;
  error: string | null;
  /** Whether it has started once in this life, and since when it waits for that. */
  hasBegun: boolean;
  waitsFrom: number;
  /** It was ended by a clock while it waited for others. */
  wasBlocked: boolean;
  askedAt: number;
  /** What somebody noted, and what was shown when it was asked. */
  note: number | null;
  shown: string;
  question: string | null;
  readonly answered: Set<string>;
  blockedBy: { id: string; on: Word }[];
  readonly events: string[];
}

export interface Handle {
  readonly id: string;
  readonly fence: number;
}

export class Refusal extends Error {}

const ENDS = ['completed', 'failed', 'cancelled', 'skipped'];
const LEASED = ['assigned', 'in_progress'];

export class ReferenceQueue {
  readonly tasks: ReferenceTask[] = [];
  now: number;
  paused = false;
  nextSweepAt: number;
  /** When a clock rang, or somebody was asked, last. */
  lookedAt = Number.NEGATIVE_INFINITY;
  readonly pausedKeys = new Set<string>();
  readonly #closedUntil: Record<string, number> = {};
  #turnAt = 0;
  readonly #turnEnds: Record<string, number> = {};

  constructor(now: number) {
    this.now = now;
    this.nextSweepAt = now + SETTINGS.sweepMs;
  }

  find(id: string): ReferenceTask {
    const task = this.tasks.find((candidate) => candidate.id === id);
    if (!task) throw new Refusal('TASK_NOT_FOUND');
    return task;
  }

  enqueue(given: NewReference): void {
    const runAt = this.now + given.delayMs;
    const task: ReferenceTask = {
      ...given,
      status: 'pending',
      rank: runAt + (10 - given.priority) * SETTINGS.agingMs,
      runAt,
      retryCount: 0,
      crashes: 0,
      fence: 0,
      leaseEnd: 0,
      startedAt: 0,
      result: null,
      endings: 0,
      error: null,
      hasBegun: false,
      waitsFrom: runAt,
      wasBlocked: false,
      askedAt: 0,
      note: null,
      shown: '',
      question: null,
      answered: new Set(),
      blockedBy: given.dependsOn.map((edge) => ({ ...edge })),
      events: ['null>pending'],
    };
    this.tasks.push(task);
    for (const edge of given.dependsOn) this.#decide(task, edge.id);
    this.#look();
  }

  dequeue(limit: number, filter: { agentType?: string; priorityMin?: number }, start: boolean): Handle[] {
    const passes = (task: ReferenceTask) =>
      (filter.agentType === undefined || task.agentType === filter.agentType) &&
      (filter.priorityMin === undefined || task.priority >= filter.priorityMin);
    return this.#claim(limit, passes, start);
  }

  #claim(limit: number, passes: (task: ReferenceTask) => boolean, start: boolean): Handle[] {
    const taken: Handle[] = [];
    const hasTurns = this.tasks.some((task) => this.#isReady(task) && task.fairKey !== undefined);
    while (taken.length < limit) {
      const task = this.#next(passes, hasTurns);
      if (!task) break;
      task.fence++;
      if (start) task.startedAt = this.now;
      task.leaseEnd = start ? this.#leaseEnd(task) : this.now + SETTINGS.leaseMs;
      this.#move(task, start ? 'in_progress' : 'assigned');
      taken.push({ id: task.id, fence: task.fence });
    }
    return taken;
  }

  isClaimable(task: ReferenceTask): boolean {
    if (this.paused || !this.#isReady(task)) return false;
    if (task.agentType !== undefined && this.pausedKeys.has(`type ${task.agentType}`)) return false;
    return task.limits.every((key) => {
      const used = this.tasks.filter(({ status, limits }) => LEASED.includes(status) && limits.includes(key));
      const isOpen = (this.#closedUntil[key] ?? 0) <= this.now && !this.pausedKeys.has(key);
      return isOpen && used.length < LIMITS[key]!;
    });
  }

  /** What the next claim takes: the first of the backlog whose turn it is. */
  #next(passes: (task: ReferenceTask) => boolean, hasTurns: boolean): ReferenceTask | undefined {
    const turnOf = ({ fairKey = '' }: ReferenceTask) => Math.max(this.#turnAt, this.#turnEnds[fairKey] ?? 0);
    const candidates = this.tasks.filter((task) => this.isClaimable(task) && passes(task));
    // Within a backlog the order alone decides; Array.prototype.sort is stable, and tasks stand in order of submission.
    const first = candidates.sort((a, b) => (hasTurns ? turnOf(a) - turnOf(b) : 0) || a.rank - b.rank)[0];
    if (first && hasTurns) {
      this.#turnAt = turnOf(first);
      this.#turnEnds[first.fairKey ?? ''] = this.#turnAt + 1;
    }
    return first;
  }

  #isReady({ status, blockedBy, runAt }: ReferenceTask): boolean {
    return (status === 'pending' || status === 'retrying') && blockedBy.length === 0 && runAt <= this.now;
  }

  /** Too many calls: the task goes back uncharged, and its keys close. */
  refuse(handle: Handle): void {
    const task = this.find(handle.id);
    // A task that went back stands as this outcome would leave it.
    if (task.fence === handle.fence && task.status === 'pending') return;
    this.#held(handle);
    const until = this.now + RETRY_AFTER_MS;
    for (const key of task.limits) this.#closedUntil[key] = Math.max(this.#closedUntil[key] ?? 0, until);
    this.#release(task);
    if (task.limits.length === 0) task.runAt = until;
    this.#look();
  }

  start(handle: Handle): void {
    if (this.#mustNotStart(this.find(handle.id))) throw new Refusal('QUEUE_PAUSED');
    this.#begin(this.#held(handle));
  }

  heartbeat(handle: Handle): void {
    const task = this.#held(handle);
    if (this.#isOver(task) || this.#isTimedOut(task)) {
      this.#fail(task, 'TIMEOUT');
      throw new Refusal('LEASE_LOST');
    }
    task.leaseEnd = this.#leaseEnd(task);
  }

  settle(handle: Handle, outcome: string, value: number): void {
    const task = this.find(handle.id);
    if (task.fence === handle.fence && this.#stands(task, outcome, value)) return;
    this.#held(handle);
    this.#end(task, outcome, value);
    this.#look();
  }

  update(id: string, status: string, value: number): void {
    const task = this.find(id);
    const leased = LEASED.includes(task.status);
    const allowed: Record<string, boolean> = {
      in_progress: leased,
      completed: leased,
      retrying: leased && task.retryCount < SETTINGS.maxRetries,
      failed: !ENDS.includes(task.status) && task.blockedBy.length === 0,
      cancelled: !ENDS.includes(task.status),
      pending: leased || task.status === 'waiting' || task.status === 'failed',
    };
    if (status === 'in_progress' && this.#mustNotStart(task)) throw new Refusal('QUEUE_PAUSED');
    if (!allowed[status]) throw new Refusal('INVALID_TRANSITION');
    if (status === 'in_progress') this.#begin(task);
    else if (status === 'pending' && task.status === 'failed') this.retry(id);
    else if (status === 'failed') this.#bury(task, 'boom');
    else
      this.#end(task, status === 'retrying' ? 'failed' : status === 'pending' ? 'released' : status, value);
    this.#look();
  }

  cancel(id: string): void {
    const task = this.find(id);
    if (!ENDS.includes(task.status)) this.#move(task, 'cancelled');
    this.#look();
  }

  /** A new life. What waited for others when its time was over waits for them again. */
  retry(id: string): void {
    const task = this.find(id);
    if (task.status !== 'failed' || this.#isOver(task)) throw new Refusal('INVALID_TRANSITION');
    Object.assign(task, { retryCount: 0, crashes: 0, runAt: this.now, error: null, result: null });
    Object.assign(task, { hasBegun: false, waitsFrom: this.now });
    this.#move(task, 'pending');
    if (task.wasBlocked) {
      task.blockedBy = task.dependsOn.map((edge) => ({ ...edge }));
      for (const edge of task.dependsOn) this.#decide(task, edge.id);
    }
    task.wasBlocked = false;
    this.#look();
  }

  /** What is noted with a task that waits may be what is to be approved. */
  change(id: string, value: number): void {
    this.find(id).note = value;
  }

  /** Of what was shown, or not. */
  decide(id: string, approved: boolean, isOfShown: boolean): void {
    const task = this.find(id);
    if (task.approval === undefined) throw new Refusal('INVALID_TRANSITION');
    if (ENDS.includes(task.status)) {
      if (task.result === null) throw new Refusal('INVALID_TRANSITION');
      if ((task.result as ReferenceDecision).approved === approved) return;
      throw new Refusal('ALREADY_DECIDED');
    }
    if (task.status !== 'waiting') throw new Refusal('INVALID_TRANSITION');
    if (task.shown !== this.#shownNow(task)) {
      this.#release(task);
      this.#look();
      throw new Refusal('STALE_APPROVAL');
    }
    if (!isOfShown) throw new Refusal('STALE_APPROVAL');
    this.#conclude(task, { approved, by: 'ann' });
    this.#look();
  }

  pauseAll(): void {
    this.paused = true;
  }

  resumeAll(): void {
    this.paused = false;
    this.#look();
  }

  /** Answers the open question, if there is one. */
  answer(id: string): void {
    const task = this.find(id);
    task.answered.add(task.question!);
    task.question = null;
    this.#release(task);
    this.#look();
  }

  advance(ms: number): void {
    const end = this.now + ms;
    for (let at = this.#nextLookAt(); at <= end; at = this.#nextLookAt()) {
      this.now = at;
      if (at === this.nextSweepAt) {
        this.nextSweepAt += SETTINGS.sweepMs;
        for (const task of this.tasks)
          if (LEASED.includes(task.status) && task.leaseEnd <= this.now) this.#expire(task);
      }
      this.#look();
    }
    this.now = end;
  }

  /** When a sweep, a clock, or an approval whose time has come is next. */
  #nextLookAt(): number {
    const waiting = this.tasks.filter(({ status }) => !ENDS.includes(status) && !LEASED.includes(status));
    const due = waiting.flatMap((task) => [
      this.#clockOf(task)?.at ?? Number.POSITIVE_INFINITY,
      task.approval && task.runAt > this.now ? task.runAt : Number.POSITIVE_INFINITY,
    ]);
    return Math.min(this.nextSweepAt, ...due);
  }

  /** Rings the clocks of what waits, and asks what can be asked, until nothing follows from it. */
  #look(): void {
    for (;;) {
      const ringing = this.tasks.filter((task) => this.#rings(task));
      if (ringing.length > 0) this.#ringAll(ringing);
      else if (this.#claim(20, (task) => task.approval !== undefined, false).length === 0) return;
      this.lookedAt = this.now;
      for (const task of this.tasks) if (task.approval && task.status === 'assigned') this.#ask(task);
    }
  }

  /**
   * All that ring in one moment are dealt with together, as they stood before it: whom another changed is looked at
   * anew. Who asks comes last, for what he has shown is read first.
   */
  #ringAll(ringing: readonly ReferenceTask[]): void {
    const before = new Map(ringing.map((task) => [task, standing(task)]));
    const isAsking = ({ approval, status }: ReferenceTask) => approval !== undefined && status === 'waiting';
    const asking = ringing.filter(isAsking);
    const at = (task: ReferenceTask) => this.#clockOf(task)?.at ?? 0;
    const others = ringing.filter((task) => !isAsking(task)).sort((a, b) => at(a) - at(b));
    for (const task of [...others, ...asking]) if (before.get(task) === standing(task)) this.#ring(task);
  }

  #rings(task: ReferenceTask): boolean {
    if (ENDS.includes(task.status) || LEASED.includes(task.status)) return false;
    const clock = this.#clockOf(task);
    return clock !== null && clock.at <= this.now;
  }

  /** The first clock to ring while the task waits. */
  #clockOf(task: ReferenceTask): { readonly kind: string; readonly at: number } | null {
    const { deadline, expiresInMs, approval, status } = task;
    const hasBegun = task.hasBegun || task.retryCount > 0 || task.crashes > 0 || status === 'waiting';
    const clocks: { readonly kind: string; readonly at: number }[] = [];
    if (deadline !== undefined) clocks.push({ kind: 'DEADLINE_EXCEEDED', at: deadline });
    if (expiresInMs !== undefined && !hasBegun)
      clocks.push({ kind: 'EXPIRED', at: task.waitsFrom + expiresInMs });
    if (approval?.timeoutMs !== undefined && status === 'waiting')
      clocks.push({ kind: 'timeout', at: task.askedAt + approval.timeoutMs });
    return clocks.sort((a, b) => a.at - b.at)[0] ?? null;
  }

  #ring(task: ReferenceTask): void {
    const { kind } = this.#clockOf(task)!;
    if (kind === 'timeout') {
      if (task.shown !== this.#shownNow(task)) this.#release(task);
      else this.#conclude(task, { approved: task.approval!.onTimeout === 'approve', by: 'timeout' });
    } else if (kind === 'EXPIRED' && task.onExpiry === 'skip') this.#move(task, 'skipped');
    else {
      task.wasBlocked = task.blockedBy.length > 0;
      this.#bury(task, kind);
    }
  }

  #ask(task: ReferenceTask): void {
    task.askedAt = this.now;
    task.shown = this.#shownNow(task);
    task.hasBegun = true;
    this.#move(task, 'waiting');
  }

  /** What is noted with the task, and what has come of those it waited for. */
  #shownNow({ note, dependsOn }: ReferenceTask): string {
    const completed = dependsOn.map(({ id }) => this.find(id)).filter(({ status }) => status === 'completed');
    return JSON.stringify([note, completed.map(({ id, result, endings }) => [id, result, endings])]);
  }

  #conclude(task: ReferenceTask, decision: ReferenceDecision): void {
    task.result = decision;
    if (decision.approved) this.#move(task, 'completed');
    else this.#bury(task, 'REJECTED');
  }

  #isOver({ deadline }: ReferenceTask): boolean {
    return deadline !== undefined && deadline <= this.now;
  }

  /** The process died and another one opened the queue: its sweeper begins anew. */
  reopen(): void {
    this.nextSweepAt = this.now + SETTINGS.sweepMs;
  }

  #mustNotStart({ agentType, limits }: ReferenceTask): boolean {
    if (this.paused || limits.some((key) => this.pausedKeys.has(key))) return true;
    return agentType !== undefined && this.pausedKeys.has(`type ${agentType}`);
  }

  #held({ id, fence }: Handle): ReferenceTask {
    const task = this.find(id);
    if (task.fence !== fence || !LEASED.includes(task.status)) throw new Refusal('LEASE_LOST');
    return task;
  }

  #begin(task: ReferenceTask): void {
    if (task.status === 'in_progress') return;
    task.startedAt = this.now;
    this.#move(task, 'in_progress');
    task.leaseEnd = this.#leaseEnd(task);
  }

  /** Whether the task already stands as this outcome would leave it. */
  #stands(task: ReferenceTask, outcome: string, value: number): boolean {
    if (outcome === 'completed' && task.isStrict && value < 1)
      return ['failed', 'retrying'].includes(task.status) && task.error === 'rejected';
    if (outcome === 'completed') return task.status === 'completed' && task.result === value;
    if (outcome === 'failed') return ['failed', 'retrying'].includes(task.status) && task.error === 'boom';
    if (outcome === 'released') return task.status === 'pending';
    if (outcome === 'waiting') return task.status === 'waiting' && task.question === `q${value}`;
    return task.status === outcome;
  }

  #end(task: ReferenceTask, outcome: string, value: number): void {
    if (outcome === 'failed') this.#fail(task, 'boom');
    else if (outcome === 'completed' && task.isStrict && value < 1) this.#fail(task, 'rejected');
    else if (outcome === 'released') this.#release(task);
    // It was asked before and answered: the task goes on.
    else if (outcome === 'waiting' && task.answered.has(`q${value}`)) this.#release(task);
    else {
      if (outcome === 'completed') task.result = value;
      if (outcome === 'waiting') task.question = `q${value}`;
      if (outcome === 'waiting') task.hasBegun = true;
      this.#move(task, outcome);
    }
  }

  #release(task: ReferenceTask): void {
    if (task.status === 'in_progress') task.hasBegun = true;
    task.runAt = Math.min(task.runAt, this.now);
    this.#move(task, 'pending');
  }

  #fail(task: ReferenceTask, error: string): void {
    if (this.#isOver(task)) {
      this.#bury(task, 'DEADLINE_EXCEEDED');
      return;
    }
    if (task.retryCount >= SETTINGS.maxRetries) {
      this.#bury(task, error);
      return;
    }
    task.retryCount++;
    this.#backOff(task, task.retryCount, error);
  }

  #bury(task: ReferenceTask, error: string): void {
    task.error = error;
    this.#move(task, 'failed');
  }

  /** Doubles each time; with `random` at one half the wait is three quarters of the interval. */
  #backOff(task: ReferenceTask, times: number, error: string): void {
    task.error = error;
    task.runAt = this.now + SETTINGS.interval * 2 ** (times - 1) * 0.75;
    this.#move(task, 'retrying');
  }

  #expire(task: ReferenceTask): void {
    if (task.status === 'assigned') {
      this.#release(task);
      return;
    }
    if (this.#isOver(task) || this.#isTimedOut(task)) {
      this.#fail(task, 'TIMEOUT');
      return;
    }
    task.crashes++;
    if (task.crashes >= SETTINGS.maxCrashes) {
      this.#bury(task, 'WORKER_CRASHED');
      return;
    }
    this.#backOff(task, task.crashes, 'WORKER_CRASHED');
  }

  /** A running attempt holds its lease for as long as it may run, and no longer. */
  #leaseEnd({ timeoutMs, deadline, status, startedAt }: ReferenceTask): number {
    const full = Math.min(this.now + SETTINGS.leaseMs, deadline ?? Number.POSITIVE_INFINITY);
    const hasStarted = status !== 'assigned';
    return timeoutMs === undefined || !hasStarted ? full : Math.min(full, startedAt + timeoutMs);
  }

  #isTimedOut(task: ReferenceTask): boolean {
    const { timeoutMs } = task;
    return timeoutMs !== undefined && task.status === 'in_progress' && this.now - task.startedAt >= timeoutMs;
  }

  #move(task: ReferenceTask, to: string): void {
    task.events.push(`${task.status}>${to}`);
    task.status = to;
    // With the end its own edges are void.
    if (ENDS.includes(to)) {
      task.blockedBy = [];
      task.endings += 1;
    }
    if (ENDS.includes(to)) for (const other of this.tasks) this.#decide(other, task.id);
  }

  /** Decides the edges of `task` to a dependency, if that has ended. */
  #decide(task: ReferenceTask, dependencyId: string): void {
    const { status, result } = this.find(dependencyId);
    const number = typeof result === 'number' ? result : 0;
    if (task.status !== 'pending' || !ENDS.includes(status)) return;
    const edges = task.blockedBy.filter((edge) => edge.id === dependencyId);
    if (edges.length === 0) return;
    task.blockedBy = task.blockedBy.filter((edge) => edge.id !== dependencyId);
    const fits = number >= 1 ? ['completed'] : [];
    const wanted = { success: ['completed'], failure: ['failed'], completion: ENDS, fits };
    const fails = edges.some((edge) => !wanted[edge.on].includes(status));
    if (task.join === 'any' && !fails) task.blockedBy = [];
    else if (fails && (task.join === 'all' || task.blockedBy.length === 0)) this.#move(task, 'skipped');
  }
}

/** What tells whether somebody has changed a task. */
function standing({ status, blockedBy }: ReferenceTask): string {
  return `${status} ${blockedBy.join()}`;
}
