import type { Task, TaskQueue } from 'jotty/queue';
import { shownTime, type Terminal } from './terminal.ts';

/** How often the store is asked about folders that another process works on. */
const REFRESH_MS = 1_000;
const REDRAW_MS = 100;
const IN_WORK_SHOWN = 6;

interface FolderState {
  readonly folder: string;
  readonly files: number;
  status: Task['status'];
}

const ENDED: readonly string[] = ['completed', 'failed', 'cancelled', 'skipped'];

/** Follows the folders of a run: a living view on a terminal, one line per finished folder elsewhere. */
export class Progress {
  readonly #queue: TaskQueue;
  readonly #terminal: Terminal;
  readonly #run: string;
  readonly #folders = new Map<string, FolderState>();
  readonly #stops: (() => void)[] = [];
  readonly #startedAt: number;
  #stage = 'surveying';

  constructor(queue: TaskQueue, terminal: Terminal, run: string) {
    this.#queue = queue;
    this.#terminal = terminal;
    this.#run = run;
    this.#startedAt = queue.clock.now();
  }

  /** The folders that had ended, and those that were in somebody's hands, when this process looked first. */
  async follow(): Promise<{ total: number; ended: number; held: number }> {
    let held = 0;
    for (const task of await this.#tasks()) {
      this.#folders.set(task.id, {
        folder: String(task.metadata.folder),
        files: Number(task.metadata.files),
        status: task.status,
      });
      // Leased and not yet ours: this process has begun none of them.
      if (task.lease !== undefined && task.lease.owner !== this.#queue.owner) held += 1;
    }
    this.#stage = 'inspecting';
    this.#stops.push(this.#queue.on('transition', ({ taskId, to }) => this.#moved(taskId, to)));
    this.#every(REFRESH_MS, () => void this.#refresh());
    return { total: this.#folders.size, ended: this.#ended(), held };
  }

  /** Redraws the living view until `stop`; where there is none, it does nothing. */
  start(): void {
    if (this.#terminal.isLive) this.#every(REDRAW_MS, () => this.#draw());
  }

  stop(): void {
    for (const stop of this.#stops.splice(0)) stop();
    this.#terminal.live([]);
  }

  #every(ms: number, run: () => void): void {
    const timer = setInterval(run, ms);
    timer.unref();
    this.#stops.push(() => clearInterval(timer));
  }

  #moved(id: string, to: Task['status']): void {
    const state = this.#folders.get(id);
    if (state === undefined || ENDED.includes(state.status)) return;
    state.status = to;
    if (to === 'retrying') this.#terminal.line(`again     ${state.folder}`);
    if (!ENDED.includes(to)) return;
    const count = `${String(this.#ended()).padStart(String(this.#folders.size).length)}/${this.#folders.size}`;
    const word = to === 'completed' ? 'inspected' : to.padEnd(9);
    if (!this.#terminal.isLive || to !== 'completed')
      this.#terminal.line(
        `${word} ${count} ${state.folder} (${state.files} ${state.files === 1 ? 'file' : 'files'})`,
      );
  }

  /** What another process ended was no event here. */
  async #refresh(): Promise<void> {
    try {
      for (const { id, status } of await this.#tasks())
        if (this.#folders.get(id)?.status !== status) this.#moved(id, status);
    } catch {
      // The view may be late; the run itself reports what is wrong with the store.
    }
  }

  async #tasks(): Promise<Task[]> {
    const tasks: Task[] = [];
    let cursor: string | undefined;
    do {
      const page = await this.#queue.listTasks({
        agentType: 'inspector',
        metadata: { run: this.#run },
        limit: 1_000,
        ...(cursor === undefined ? {} : { cursor }),
      });
      tasks.push(...page.tasks);
      cursor = page.cursor;
    } while (cursor !== undefined);
    return tasks;
  }

  #ended(): number {
    return [...this.#folders.values()].filter(({ status }) => ENDED.includes(status)).length;
  }

  #draw(): void {
    const seconds = shownTime(this.#queue.clock.now() - this.#startedAt);
    const all = [...this.#folders.values()];
    const ended = this.#ended();
    const working = all.filter(({ status }) => status === 'in_progress' || status === 'assigned');
    const stage = all.length > 0 && ended === all.length ? 'writing' : this.#stage;
    const width = 30;
    const filled = all.length === 0 ? 0 : Math.round((ended / all.length) * width);
    this.#terminal.live([
      `${'█'.repeat(filled)}${'░'.repeat(width - filled)} ${ended}/${all.length || '?'} folders, ${stage}, ${seconds}`,
      ...working.slice(0, IN_WORK_SHOWN).map(({ folder, files }) => `  ${folder} (${files})`),
    ]);
  }
}
