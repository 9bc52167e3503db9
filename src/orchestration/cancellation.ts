import { isFenced } from '../checkpoint/fence.ts';
import { InvalidOptionError, TaskNotFoundError } from '../errors.ts';
import { requireOptions } from '../options.ts';
import { scopeOfTask } from '../queue/budget.ts';
import { isEnded, isLeased, type Task, type TaskEvent } from '../queue/task.ts';
import type { TaskQueue } from '../queue/task-queue.ts';
import type { AgentHost } from './agent-host.ts';
import { type CancelOptions, type CancelReceipt, type RunStop, spentIn, traceOf } from './cancel-receipt.ts';
import { namedThreadOf, writerOf } from './shared-thread.ts';
import { StopBoard, type StopReport, type Stops } from './stop-board.ts';

const GRACE_MS = 5_000;
const GRACE_MS_MAX = 24 * 3_600_000;
/** How often the board is looked at for runs in other processes, ms. */
const LOOK_MS = 50;
/** A task that was claimed ahead may run without a word in the store: whoever does that hears of it within a second. */
const CLAIMED_MS = 2_000;
/** Above every fence that a claim gives: nobody writes to this thread for this task again. */
const CLOSED_FENCE = 2 ** 40;

/** What was found before and while cancelling. */
interface Case {
  readonly rootId: string;
  readonly startedAt: number;
  /** Somebody else had asked already: there will be a word. */
  readonly wasAsked: boolean;
  /** Leases as they were seen before, by task. */
  readonly leaseEnds: ReadonlyMap<string, number>;
}

/**
 * Stops a task and all below it, wherever they run: each is recorded as cancelled and its thread closed, then whoever
 * runs one gives its signal, waits for the grace and says what came of it. Where nobody is left to say, the end of
 * the lease is the end of the wait.
 */
export class Cancellation {
  readonly #host: AgentHost;
  readonly #queue: TaskQueue;
  readonly #board: StopBoard;

  constructor(host: AgentHost, queue: TaskQueue) {
    this.#host = host;
    this.#queue = queue;
    this.#board = new StopBoard(queue);
  }

  /** @throws TaskNotFoundError, InvalidOptionError */
  async cancel(id: string, options: CancelOptions): Promise<CancelReceipt> {
    const { graceMs = GRACE_MS, reason } = requireOptions(options, 'an object');
    if (!(graceMs >= 0 && graceMs <= GRACE_MS_MAX))
      throw new InvalidOptionError('graceMs', `a number between 0 and ${GRACE_MS_MAX}`, graceMs);
    const before = await this.#queue.getTask(id);
    if (before === null) throw new TaskNotFoundError(id);
    const found = await this.#ask(before, graceMs);
    await this.#queue.cancel(id, reason);
    return this.#stopped(id, found);
  }

  /** Before it is cancelled: whoever hears of that asks the board how it is to stop. */
  async #ask(task: Task, graceMs: number): Promise<Case> {
    const now = this.#queue.clock.now();
    const { request } = await this.#board.read(task.id, now);
    const isOver = isEnded(task.status) && task.status !== 'cancelled';
    if (!isOver) await this.#board.ask(task.id, { graceMs, at: now });
    const leaseEnds = new Map(task.lease === undefined ? [] : [[task.id, task.lease.expiresAt]]);
    return { rootId: task.id, startedAt: now, wasAsked: request !== undefined, leaseEnds };
  }

  async #stopped(id: string, found: Case): Promise<CancelReceipt> {
    const [task, history] = await Promise.all([this.#queue.getTask(id), this.#queue.history(id)]);
    if (task === null || !isEnded(task.status))
      return { id, status: 'purged', run: 'none', toolCalls: [], children: [] };
    const last = history.at(-1);
    const wasCancelled = task.status === 'cancelled';
    if (wasCancelled && history.some(({ to }) => isLeased(to))) await this.#close(task);
    const [run, known] = wasCancelled
      ? await Promise.all([this.#untilStopped(id, last, found), this.#receipts(task.children, found)])
      : (['none', []] as const);
    const late = run === 'none' ? [] : await this.#lateChildren(task, found);
    return {
      id,
      status: task.status,
      ...(last?.reason !== undefined && { reason: last.reason }),
      run,
      ...(last?.worker !== undefined && { worker: last.worker }),
      ...(await this.#trace(task)),
      children: [...known, ...late],
    };
  }

  #receipts(ids: readonly string[] = [], found: Case): Promise<CancelReceipt[]> {
    return Promise.all(ids.map((id) => this.#stopped(id, found)));
  }

  /** A run that was about to enqueue children when its task was cancelled may have done so after the first look. */
  async #lateChildren({ id, children = [] }: Task, found: Case): Promise<CancelReceipt[]> {
    const { children: all = [] } = await this.#queue.cancel(id);
    return this.#receipts(
      all.filter((child) => !children.includes(child)),
      found,
    );
  }

  /** The saver refuses what a run still writes. Of a thread that others share only where it is the task's now. */
  async #close(task: Task): Promise<void> {
    const saver = await this.#host.checkpointer();
    if (!isFenced(saver)) return;
    const shared = namedThreadOf(task);
    if (shared === undefined) return saver.advanceFence(task.id, CLOSED_FENCE);
    const saved = await saver.getTuple({ configurable: { thread_id: shared } });
    if (saved === undefined || writerOf(saved) !== task.id) return;
    const seen = await saver.raiseFence(shared, 0);
    if (seen > 0) await saver.raiseFence(shared, seen);
  }

  async #trace(task: Task) {
    if (task.startedAt === undefined && task.status !== 'cancelled') return { toolCalls: [] };
    const [trace, spent] = await Promise.all([
      traceOf(await this.#host.checkpointer(), namedThreadOf(task) ?? task.id),
      this.#host.accounts(this.#queue.registry).read(scopeOfTask(task.id)),
    ]);
    const tokens = spentIn(spent) ?? trace.tokens;
    return { ...trace, ...(tokens !== undefined && { tokens }) };
  }

  async #untilStopped(id: string, last: TaskEvent | undefined, found: Case): Promise<RunStop> {
    if (last?.from == null || !isLeased(last.from)) return 'none';
    const { clock, leaseMs } = this.#queue;
    let until = found.leaseEnds.get(id) ?? last.at + leaseMs;
    if (last.from === 'assigned') until = Math.min(until, last.at + CLAIMED_MS);
    for (;;) {
      const report = await this.#reportOf(id, found.rootId);
      if (report?.state === 'stopped') return report.how;
      if (report !== undefined) until = Math.max(report.until, until);
      else if (last.at < found.startedAt && !found.wasAsked) return 'unknown';
      const leftMs = until - clock.now();
      if (leftMs <= 0) return last.from === 'assigned' ? 'none' : 'lost';
      await this.#host.stopBell.wait(clock, Math.min(LOOK_MS, leftMs));
    }
  }

  /** While the store is away the wait goes on, to its bound. */
  async #reportOf(id: string, rootId: string): Promise<StopReport | undefined> {
    const none: Stops = { request: undefined, reports: new Map() };
    const { reports } = await this.#board.read(rootId, this.#queue.clock.now()).catch(() => none);
    return reports.get(id);
  }
}
