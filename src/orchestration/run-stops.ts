import { LeaseLostError } from '../errors.ts';
import type { TaskQueue } from '../queue/task-queue.ts';
import type { AgentHost } from './agent-host.ts';
import type { HeldTask } from './held-task.ts';
import { RunAborted } from './outcome-of.ts';
import type { BodyEnd } from './run-body.ts';
import { StopBoard, type StopRequest } from './stop-board.ts';

/** Beyond the grace, for the kill and for what stands in the way of the word about it. */
const REPORT_MARGIN_MS = 2_000;

/** Whose cancel it is that reached a run: of its own task, or of one above. */
interface Found extends StopRequest {
  readonly rootId: string;
}

/** Ends runs that were aborted under their tasks, and tells whoever cancelled them when they have stopped. */
export class RunStops {
  readonly #host: AgentHost;
  readonly #queue: TaskQueue;
  readonly #board: StopBoard;

  constructor(host: AgentHost, queue: TaskQueue) {
    this.#host = host;
    this.#queue = queue;
    this.#board = new StopBoard(queue);
  }

  /**
   * Resolves when the slot of an aborted run is to be taken back: at once, unless who cancelled the task gives it
   * time and waits for it. Never rejects.
   */
  async stop(held: HeldTask): Promise<void> {
    const found = await this.#find(held);
    const { graceMs } = found ?? held.agent.isolated ?? { graceMs: 0 };
    const { clock } = this.#queue;
    if (found === undefined) {
      if (held.body.canBeKilled) void held.body.end(graceMs, clock);
      return;
    }
    const until = clock.now() + graceMs + REPORT_MARGIN_MS;
    const isAsked = this.#say(() =>
      this.#board.report(found.rootId, held.task.id, { state: 'stopping', until }, clock.now()),
    );
    const how = await held.body.end(graceMs, clock);
    await isAsked;
    await this.#tell(held, found, how);
  }

  /** Of a run that had ended when its task was cancelled, or that was never begun. */
  async hadStopped(held: HeldTask): Promise<void> {
    const found = await this.#find(held);
    if (found !== undefined) await this.#tell(held, found, 'ended');
  }

  async #tell({ task }: HeldTask, { rootId }: Found, how: BodyEnd): Promise<void> {
    const now = this.#queue.clock.now();
    await this.#say(() => this.#board.report(rootId, task.id, { state: 'stopped', how }, now));
    this.#host.stopBell.ring();
  }

  /** The request that this run is to stop by. Who lost its lease may have lost it to a cancel, and not know it yet. */
  async #find({ task, abortReason }: HeldTask): Promise<Found | undefined> {
    const isCancel =
      abortReason === undefined ||
      (abortReason instanceof RunAborted && abortReason.kind === 'cancelled') ||
      (abortReason instanceof LeaseLostError && abortReason.taskId === task.id);
    if (!isCancel) return undefined;
    let found: Found | undefined;
    await this.#say(async () => {
      let above = task.parent?.id;
      for (let id: string | undefined = task.id; id !== undefined; id = above) {
        if (id !== task.id) above = (await this.#queue.getTask(id))?.parent?.id;
        const { request } = await this.#board.read(id, this.#queue.clock.now());
        if (request === undefined) continue;
        found = { ...request, rootId: id };
        return;
      }
    });
    return found;
  }

  /** A store that is away must not keep the slot: who waits for the word has a bound of its own. */
  async #say(call: () => Promise<void>): Promise<void> {
    try {
      await call();
    } catch {
      // The loops of the manager meet the same store, and report it.
    }
  }
}
