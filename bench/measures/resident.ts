import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { Measure } from '../round.ts';

const WAITING = 100_000;

/** Resident memory in MB of a process with an empty queue open, and with 100,000 waiting tasks that it inserted. */
export const resident: Measure = async ({ folder }) => {
  const [idleMB, waitingMB] = await Promise.all([
    megabytes(join(folder, 'idle.db'), 0),
    megabytes(join(folder, 'waiting.db'), WAITING),
  ]);
  return { idleMB, waitingMB };
};

async function megabytes(path: string, waiting: number): Promise<number> {
  const script = join(import.meta.dirname, '..', 'resident.js');
  const { stdout } = await promisify(execFile)(process.execPath, [script, path, String(waiting)]);
  return Number(stdout);
}
