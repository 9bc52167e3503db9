import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:net';

export interface PrivateRedis {
  readonly url: string;
  stop(): Promise<void>;
}

/** A Redis of our own on a free port, which keeps nothing on disk and ends with this process. */
export async function startRedis(): Promise<PrivateRedis> {
  const port = await freePort();
  const options = ['--port', String(port), '--bind', '127.0.0.1', '--save', '', '--appendonly', 'no'];
  const server = spawn(process.env.REDIS_SERVER ?? 'redis-server', options, {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  server.on('error', () => {
    console.error('This example needs redis-server: apt-get install redis-server, or brew install redis.');
    process.exit(1);
  });
  process.once('exit', () => server.kill('SIGKILL'));
  for await (const chunk of server.stdout) if (String(chunk).includes('Ready to accept')) break;
  server.stdout.resume();
  return {
    url: `redis://127.0.0.1:${port}`,
    async stop() {
      server.kill();
      if (server.exitCode === null) await once(server, 'exit');
    },
  };
}

async function freePort(): Promise<number> {
  const probe = createServer().listen(0, '127.0.0.1');
  await once(probe, 'listening');
  const address = probe.address();
  probe.close();
  if (typeof address !== 'object' || address === null) throw new Error('no free port');
  return address.port;
}
