import { join } from 'node:path';
import { monitorEventLoopDelay, performance } from 'node:perf_hooks';
import { setImmediate as turn } from 'node:timers/promises';
import { type Figures, median } from '../figures.ts';
import { sideByName } from '../peers/by-name.ts';
import type { Measure } from '../round.ts';
import type { OpenQueue } from '../side.ts';
import { AGENT_TYPES, type WorkItem, workItem } from '../work.ts';

const SHALLOW = 1_000;
const DEEP = 1_000_000;
/** A quick run goes less deep, and says so in its table. */
const QUICK_DEEP = 100_000;
const BULK = 1_000;
/** Few enough that a shallow queue stays about as deep as it was. */
const CLAIMS = 200;
const DELAY_RESOLUTION_MS = 5;

/** The claim at 1,000 and 1,000,000 waiting tasks, the insertion of the latter, and the longest block of the loop. */
export const depth: Measure = async ({ side: name, folder, quick }) => {
  const side = await sideByName(name);
  let databases = 0;
  const atDepth = async (tasks: number): Promise<Figures> => {
    databases += 1;
    const open = await side.open(join(folder, `${databases}.db`));
    const figures = await fillAndClaim(open, tasks, side.bulkByType ?? false);
    await open.close();
    return figures;
  };
  await atDepth(SHALLOW);
  const shallow = await atDepth(SHALLOW);
  const deep = await atDepth(quick ? QUICK_DEEP : DEEP);
  return { ...renamed(shallow, 'shallow'), ...renamed(deep, 'deep') };
};

function renamed(figures: Figures, prefix: string): Figures {
  return Object.fromEntries(Object.entries(figures).map(([name, value]) => [`${prefix}-${name}`, value]));
}

async function fillAndClaim(open: OpenQueue, tasks: number, bulkByType: boolean): Promise<Figures> {
  const delay = monitorEventLoopDelay({ resolution: DELAY_RESOLUTION_MS });
  delay.enable();
  const insertS = (await insertAll(open, tasks, bulkByType)) / 1_000;
  const claimMs = await claims(open);
  delay.disable();
  return { insertS, claimMs, blockMs: Math.max(0, delay.max / 1e6 - DELAY_RESOLUTION_MS) };
}

/** Milliseconds spent in the calls; the work is made between them, batch by batch, so that it adds nothing. */
async function insertAll(open: OpenQueue, tasks: number, bulkByType: boolean): Promise<number> {
  let takenMs = 0;
  for (let from = 0; from < tasks; from += BULK) {
    const bulk = Array.from({ length: Math.min(BULK, tasks - from) }, (_, index) =>
      bulkByType ? ofOneType(from + index) : workItem(from + index),
    );
    await turn();
    const start = performance.now();
    await open.enqueueMany?.(bulk);
    takenMs += performance.now() - start;
    await turn();
  }
  return takenMs;
}

function ofOneType(number: number): WorkItem {
  const type = AGENT_TYPES[Math.floor(number / BULK) % AGENT_TYPES.length] ?? AGENT_TYPES[0];
  return { ...workItem(number), agentType: type };
}

async function claims(open: OpenQueue): Promise<number> {
  const taken: number[] = [];
  for (let claim = 0; claim < CLAIMS; claim += 1) {
    await turn();
    const from = performance.now();
    await open.claim?.();
    taken.push(performance.now() - from);
  }
  return median(taken);
}
