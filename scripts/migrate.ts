/**
 * Moves a queue from a SQLite file to Redis: `npm run migrate -- --from tasks.db --to redis://127.0.0.1:6379`.
 * The same in code: `sqliteQueue.moveTo(redisQueue)`.
 */
import { existsSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { RedisTaskQueue, SQLiteTaskQueue } from 'jotty/queue';

const HELP = `npm run migrate -- --from <file> --to <redis url> [--prefix <prefix>] [--follow]

  --from <file>     the SQLite file; its queue is paused, and stays so
  --to <url>        redis://… or rediss://…
  --prefix <prefix> of the keys in Redis (jotty)
  --follow          go on moving what is still submitted to the file, until Ctrl-C
`;

const { values } = parseArgs({
  options: {
    from: { type: 'string' },
    to: { type: 'string' },
    prefix: { type: 'string' },
    follow: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
});

if (values.help || values.from === undefined || values.to === undefined) {
  process.stdout.write(HELP);
  process.exit(values.help ? 0 : 1);
}
if (!existsSync(values.from)) {
  process.stderr.write(`there is no file ${values.from}\n`);
  process.exit(1);
}

const stop = new AbortController();
process.once('SIGINT', () => stop.abort());
await using source = new SQLiteTaskQueue({ path: values.from });
await using target = new RedisTaskQueue({
  url: values.to,
  ...(values.prefix !== undefined && { prefix: values.prefix }),
});
const { moved, present, conflicts } = await source.moveTo(target, {
  ...(values.follow && { follow: stop.signal }),
  onProgress: (count) => process.stdout.write(`${count} tasks moved\n`),
});
process.stdout.write(`${moved} tasks moved, ${present} were there already\n`);
for (const id of conflicts)
  process.stdout.write(
    `left in the file, since its id or one it waits for is another task's, or gone: ${id}\n`,
  );
process.exitCode = conflicts.length > 0 ? 1 : 0;
