import { SQLiteTaskQueue } from '../dist/queue/index.js';
import { openJotty } from './peers/jotty.ts';
import { workItem } from './work.ts';

/** Another process on the same file: enqueues an item for each number it is sent, and answers with the time. */
const open = openJotty(new SQLiteTaskQueue({ path: process.argv[2] ?? '' }));

process.on('message', async (number: number) => {
  const from = process.hrtime.bigint();
  await open.enqueue(workItem(number));
  process.send?.(String(from));
});
process.once('disconnect', () => void open.close());
process.send?.('ready');
