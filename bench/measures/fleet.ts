import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { extname, join } from 'node:path';
import { rate } from '../figures.ts';
import { sideByName } from '../peers/by-name.ts';
import type { Measure } from '../round.ts';
import { batches, workItems } from '../work.ts';

const PROCESSES = 4;
const CONCURRENCY = 10;
const TASKS = 20_000;
const QUICK_TASKS = 5_000;
const BULK = 1_000;

/** Tasks/s of four worker processes that share waiting tasks; their start is not counted. */
export const fleet: Measure = async ({ side: name, folder, quick }) => {
  const side = await sideByName(name);
  const open = await side.open(join(folder, 'fleet.db'));
  const tasks = quick ? QUICK_TASKS : TASKS;
  for (const bulk of batches(workItems(tasks), BULK)) await open.enqueueMany?.(bulk);
  const before = await open.meter?.();
  const script = join(import.meta.dirname, '..', `fleet-worker${extname(import.meta.filename)}`);
  const settings = JSON.stringify({ side: name, place: open.place, concurrency: CONCURRENCY });
  const workers = Array.from({ length: PROCESSES }, () => fork(script, [settings]));
  await Promise.all(workers.map((worker) => once(worker, 'message')));
  const process = await rate(tasks, () => untilDone(workers, tasks));
  const after = await open.meter?.();
  for (const worker of workers) worker.kill('SIGKILL');
  await open.close();
  return { process, ...(before && after && { commands: (after.commands - before.commands) / tasks }) };
};

/** Each worker tells how many it has done so far. */
function untilDone(workers: readonly ChildProcess[], tasks: number): Promise<void> {
  const done = workers.map(() => 0);
  return new Promise((resolve, reject) => {
    for (const [index, worker] of workers.entries()) {
      worker.on('message', (count: number) => {
        done[index] = count;
        if (done.reduce((sum, one) => sum + one, 0) >= tasks) resolve();
      });
      worker.once('exit', (code) => reject(new Error(`a worker ended with ${code}`)));
      worker.send('go');
    }
  });
}
