import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { sideByName } from '../peers/by-name.ts';
import { METER_COMMANDS } from '../private-redis.ts';
import type { Measure } from '../round.ts';
import { STANDS } from '../round-words.ts';
import { workItem } from '../work.ts';

const WORKERS = 10;
/** What happens once after a start is over by then. */
const SETTLE_MS = 2_500;
/** The period of what happens most rarely (the beats of a worker), so that a round has its share of everything. */
const IDLE_MS = 30_000;
/** A quick run sees a poll and two sweeps of each, and no beat. */
const QUICK_IDLE_MS = 8_000;
const STARTED_WITHIN_MS = 5_000;

/** Commands/s that Redis runs for ten workers that have nothing to do, all together. */
export const idle: Measure = async ({ side: name, folder, quick }) => {
  const side = await sideByName(name);
  const first = await side.open(join(folder, 'idle.db'));
  const workers = [first];
  while (workers.length < WORKERS) workers.push(await side.join!(first.place!));
  let tell = () => {};
  const started = new Promise<void>((resolve) => {
    tell = resolve;
  });
  await Promise.all(workers.map((worker) => worker.consume(() => tell())));
  await sleep(SETTLE_MS);
  process.send?.(STANDS);
  const before = await first.meter!();
  await sleep(quick ? QUICK_IDLE_MS : IDLE_MS);
  const after = await first.meter!();
  // Workers that wait for nothing would cost nothing.
  await first.enqueue(workItem(1));
  const late = sleep(STARTED_WITHIN_MS).then(() => Promise.reject(new Error('no worker started a task')));
  await Promise.race([started, late]);
  const seconds = (quick ? QUICK_IDLE_MS : IDLE_MS) / 1_000;
  return { commandsPerS: (after.commands - before.commands - METER_COMMANDS) / seconds };
};
