/** Starts a server and does nothing more; its end is the test's business. */
import { RedisServer } from './redis-server.ts';

const { pid, folder } = await RedisServer.start();
process.stdout.write(`${JSON.stringify({ pid, folder })}\n`);
setInterval(() => {}, 1_000);
