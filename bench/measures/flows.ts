import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { type Figures, median } from '../figures.ts';
import { fan, layered, tree } from '../flow-graphs.ts';
import { flowSideByName, type OpenFlows, type Release } from '../flow-side.ts';
import type { Measure } from '../round.ts';

const REPEATS = 3;
const QUICK_REPEATS = 1;
const WARM_UP_LAYERS = 20;

/** 1,000 tasks that wait for one another, from end to end; and the end of one for which 1,000 wait. */
export const flows: Measure = async ({ side: name, folder, quick }) => {
  const side = await flowSideByName(name);
  const open = await side.open(join(folder, 'flows.db'));
  const repeats = quick ? QUICK_REPEATS : REPEATS;
  await open.run(tree(WARM_UP_LAYERS));
  const figures: Figures = { treeMs: await times(repeats, () => open.run(tree())) };
  if (side.hasGraphs) {
    await open.run(layered(WARM_UP_LAYERS));
    figures.graphMs = await times(repeats, () => open.run(layered()));
  }
  Object.assign(figures, await releases(open, repeats));
  await open.close();
  return figures;
};

/** The median duration, ms. */
async function times(repeats: number, work: () => Promise<void>): Promise<number> {
  const taken: number[] = [];
  for (let i = 0; i < repeats; i += 1) {
    const from = performance.now();
    await work();
    taken.push(performance.now() - from);
  }
  return median(taken);
}

async function releases(open: OpenFlows, repeats: number): Promise<Figures> {
  if (open.release === undefined) return {};
  const taken: Release[] = [];
  await open.release(fan());
  for (let i = 0; i < repeats; i += 1) taken.push(await open.release(fan()));
  return {
    releaseMs: median(taken.map(({ endedMs }) => endedMs)),
    releasedMs: median(taken.map(({ claimedMs }) => claimedMs)),
  };
}
