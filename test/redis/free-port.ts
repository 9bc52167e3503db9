import { createServer } from 'node:net';

/**
 * Below the range from which systems give ports to clients. A client that tries again and again to reach a
 * stopped server on a port of that range is, once in a while, connected with itself.
 */
const FIRST = 10_000;
const LAST = 21_999;
/** Where the nodes of a cluster talk to one another: this far above the port of the clients. */
export const BUS_OFFSET = 10_000;
const TRIES_MAX = 100;

/** A port on which nobody listens just now, and nobody on the one of the cluster bus above it. */
export async function freePort(): Promise<number> {
  for (let tries = 0; tries < TRIES_MAX; tries++) {
    const port = FIRST + Math.floor(Math.random() * (LAST - FIRST + 1));
    if ((await isFree(port)) && (await isFree(port + BUS_OFFSET))) return port;
  }
  throw new Error(`expected a free port from ${FIRST} to ${LAST}, got none in ${TRIES_MAX} tries`);
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)));
  });
}
