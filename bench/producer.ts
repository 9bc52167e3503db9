import { sideByName } from './peers/by-name.ts';
import type { Place } from './private-redis.ts';
import { workItem } from './work.ts';

/** Another process on the same tasks: enqueues an item for each number it is sent, and answers with the time. */
const { side, place } = JSON.parse(process.argv[2] ?? '{}') as { side: string; place: Place };
const open = await (await sideByName(side)).join?.(place);

process.on('message', async (number: number) => {
  const from = process.hrtime.bigint();
  await open?.enqueue(workItem(number));
  process.send?.(String(from));
});
process.once('disconnect', () => void open?.close());
process.send?.('ready');
