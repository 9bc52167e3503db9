import { type Clock, wait } from '../clock.ts';
import { JottyError, TimeoutError } from '../errors.ts';
import { BesideTasks } from './beside-tasks.ts';
import { isThreadKey } from './limits.ts';
import { type MoveReport, moveTasks } from './move.ts';
import type { Registry } from './registry.ts';
import { bringSchedules, copyLearned, stopSchedules } from './registry-move.ts';
import type { TaskStore } from './task-store.ts';

export interface MoveOptions {
  /** Goes on with tasks that are still submitted to the old queue, until this is aborted. @default none */
  readonly follow?: AbortSignal | undefined;
  /** How long to wait for what runs when the move begins, ms; then TimeoutError. @default 60_000 */
  readonly drainMs?: number | undefined;
  /** Called after every few hundred tasks with the number moved so far. */
  readonly onProgress?: ((moved: number) => void) | undefined;
}

/** How often it is looked whether the last runs have ended, and for new tasks to follow. */
const LOOK_MS = 500;

/**
 * Where the move from each source stands is written in the target, so that a purged task is not moved again, and
 * in the source, for each target: a file that was put back from a backup has tasks that never were moved.
 */
const MOVES = 'moves';
const MOVED = 'moved';
const IDENTITY = 'identity';

export interface QueueMove {
  readonly source: TaskStore;
  readonly target: TaskStore;
  readonly copyThreads: (threadIds: readonly string[]) => Promise<void>;
  readonly clock: Clock;
  /** Ends leases of workers that died. */
  readonly sweep: () => Promise<void>;
}

/** Pauses the source, waits for what runs, and moves task after task; see `StoredTaskQueue.moveTo`. */
export async function moveQueue(move: QueueMove, options: MoveOptions): Promise<MoveReport> {
  const { source, target, clock } = move;
  const { follow, drainMs = 60_000, onProgress = () => {} } = options;
  const now = () => clock.now();
  const registries = { source: source.registry, target: target.registry, now };
  const beside = new BesideTasks({ source, target, now, copyThreads: move.copyThreads });
  const from = await identityOf(source.registry, now());
  const to = await identityOf(target.registry, now());
  // The tasks that came from there are there still, as they stood when they were moved: they would run again.
  if ((await watermark(source.registry, MOVES, to, now())) > 0) throw movedFromThere();
  await source.setPaused(true);
  await drain(move, drainMs);
  await copyGates(move);
  let [moved, present] = [0, 0];
  const conflicts = new Set<string>();
  for (let isFirst = true; ; isFirst = false) {
    // What was submitted before the abort is there for the pass that begins after it.
    const isLast = follow === undefined || follow.aborted;
    await stopSchedules(registries, isFirst);
    const onPage = async (count: number, last: number) => {
      const mark = { value: String(last), expiresAt: null };
      await source.registry.put(MOVED, { key: to, ...mark }, now());
      await target.registry.put(MOVES, { key: from, ...mark }, now());
      onProgress(moved + count);
    };
    const marks = [
      await watermark(target.registry, MOVES, from, now()),
      await watermark(source.registry, MOVED, to, now()),
    ];
    const { copy: copyBeside } = beside;
    const pass = await moveTasks({ source, target, copyBeside, now, onPage }, Math.min(...marks));
    await beside.copyLatePlans();
    await bringSchedules(registries);
    moved += pass.moved;
    present += pass.present;
    for (const id of pass.conflicts) conflicts.add(id);
    if (isLast) break;
    await wait(clock, LOOK_MS, follow);
  }
  await copyLearned(registries);
  return { moved, present, conflicts: [...conflicts] };
}

/** What an operator said of agents, types and keys, where nobody has said anything of them in the target; threads come with their tasks. */
async function copyGates({ source, target, clock }: QueueMove): Promise<void> {
  const known = (await source.gates(null)).filter((gate) => gate !== null);
  const gates = known.filter(({ key }) => !isThreadKey(key));
  const there = await target.gates(gates.map(({ key }) => key));
  const changes = gates.flatMap(({ key, max, rate, isPaused, closedUntil }, i) =>
    there[i] ? [] : { key, rule: { max, rate }, isPaused, closedUntil },
  );
  await target.setGates(changes, clock.now());
}

function movedFromThere(): JottyError {
  return new JottyError(
    'QUEUE_MOVED',
    'the tasks of this queue were moved from there and have gone on since; move them to a new queue',
  );
}

async function drain({ source, clock, sweep }: QueueMove, drainMs: number): Promise<void> {
  const end = clock.now() + drainMs;
  for (;;) {
    const { assigned, in_progress } = (await source.counts(clock.now())).byStatus;
    const running = assigned + in_progress;
    if (running === 0) return;
    if (clock.now() >= end) {
      throw new TimeoutError(
        `${running} tasks still run after ${drainMs} ms; stop their workers, or wait longer`,
      );
    }
    await wait(clock, Math.min(LOOK_MS, end - clock.now()));
    await sweep();
  }
}

/** A name of the source that stays with its storage. */
async function identityOf(registry: Registry, now: number): Promise<string> {
  const value = crypto.randomUUID();
  await registry.put(IDENTITY, { key: 'id', value, expiresAt: null }, now, 0);
  const [entry] = await registry.entries(IDENTITY, now);
  return entry?.value ?? value;
}

async function watermark(registry: Registry, section: string, key: string, now: number): Promise<number> {
  const entry = (await registry.entries(section, now)).find((one) => one.key === key);
  return Number(entry?.value ?? 0);
}
