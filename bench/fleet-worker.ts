import { sideByName } from './peers/by-name.ts';
import type { Place } from './private-redis.ts';

/** One of several processes that run the same tasks: begins when it is told to, and tells how many it has done. */
const { side, place, concurrency } = JSON.parse(process.argv[2] ?? '{}') as {
  side: string;
  place: Place;
  concurrency: number;
};
/** Telling each single completion would be work that no queue has to do. */
const TELL_EVERY_MS = 2;

const open = await (await sideByName(side)).join?.(place);
let done = 0;
let telling = false;

function count(): void {
  done += 1;
  if (telling) return;
  telling = true;
  setTimeout(() => {
    telling = false;
    process.send?.(done);
  }, TELL_EVERY_MS);
}

process.once('message', () => open?.share?.(concurrency, count));
process.once('disconnect', () => process.exit());
process.send?.('ready');
