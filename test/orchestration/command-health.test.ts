import { createServer, type RequestListener, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, expect, test } from 'vitest';
import { type CommandAgentOptions, Conductor, commandAgent, type HealthCheck } from '../../src/index.ts';
import { FakeClock } from '../../src/testing/index.ts';
import { Fifo } from './fifo.ts';

const servers: Server[] = [];
afterEach(() => {
  for (const server of servers.splice(0)) server.close();
});

async function serve(listener: RequestListener): Promise<string> {
  const server = createServer(listener);
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
}

/** Free now; the system gives ports out in turn, so nobody gets it soon. */
async function freePort(): Promise<number> {
  const url = await serve(() => {});
  await new Promise((resolve) => servers.pop()!.close(resolve));
  return Number(new URL(url).port);
}

const SERVER = `
  const fs = require('node:fs');
  fs.writeSync(fs.openSync(process.argv[2], 'w'), process.pid + '\\n');
  require('node:http').createServer((_, answer) => answer.end('ok')).listen(process.argv[1], '127.0.0.1');
  console.log('listens');`;
const serverArgv = (port: number, fifo: Fifo) => ['node', '-e', SERVER, String(port), fifo.path];
const agent = (options: CommandAgentOptions = {}) =>
  commandAgent({ allow: ['node', 'sh'], graceMs: 2_000, ...options });
const quick = (url: string, more: Partial<HealthCheck> = {}) => ({ url, everyMs: 20, ...more });

test('a server that answers is a success, and is stopped', async () => {
  using fifo = new Fifo();
  const port = await freePort();
  await using conductor = new Conductor({ agents: { shell: agent() } });
  const input = { argv: serverArgv(port, fifo), healthCheck: quick(`http://127.0.0.1:${port}/`) };
  const id = await conductor.enqueueGoal('deploy', { input });
  await conductor.processQueue({ untilEmpty: true });
  expect(await conductor.result(id)).toMatchObject({
    exitCode: null,
    signal: 'SIGTERM',
    stdout: 'listens\n',
    health: { status: 200, checks: expect.any(Number) },
  });
  await fifo.ended;
});

test('a server may be left running, with what its group is called', async () => {
  using fifo = new Fifo();
  const port = await freePort();
  const url = `http://127.0.0.1:${port}/`;
  const input = { argv: serverArgv(port, fifo), healthCheck: quick(url, { whenHealthy: 'leave' }) };
  const { pid, exitCode, health } = await agent().invoke(input);
  expect({ exitCode, status: health?.status }).toEqual({ exitCode: null, status: 200 });
  expect((await fetch(url)).status).toBe(200);
  await fifo.line();
  expect(fifo.lines).toEqual([String(pid)]);
  process.kill(-pid!, 'SIGKILL');
  await fifo.ended;
});

test.each([0, 4])('a program that ends with %i before it is healthy has failed', async (code) => {
  const port = await freePort();
  const argv = ['sh', '-c', `echo no port >&2; exit ${code}`];
  const end = agent().invoke({ argv, healthCheck: quick(`http://127.0.0.1:${port}/`) });
  await expect(end).rejects.toMatchObject({
    code: 'COMMAND_FAILED',
    message: `sh exited with code ${code} before it was healthy; stderr ends with:\nno port`,
  });
});

test('a program that is never healthy is ended after timeoutMs', async () => {
  using fifo = new Fifo();
  const port = await freePort();
  const argv = ['sh', '-c', 'exec 9>"$1"; echo stuck >&2; sleep 1000', 'sh', fifo.path];
  const healthCheck = quick(`http://127.0.0.1:${port}/?token=secret`, { timeoutMs: 200 });
  const end = agent().invoke({ argv, healthCheck });
  await expect(end).rejects.toMatchObject({
    code: 'UNHEALTHY',
    message: expect.stringMatching(
      /127.0.0.1:\d+\/ did not answer 2xx within 200 ms \(\d+ checks\); .*ECONNREFUSED; of the program, stderr ends with:\nstuck$/,
    ),
  });
  await fifo.ended;
});

test('without a program the URL alone is asked until it answers 2xx', async () => {
  let asked = 0;
  const url = await serve((_, answer) => {
    asked += 1;
    answer.writeHead(asked < 3 ? 503 : 204).end();
  });
  expect(await agent().invoke({ healthCheck: quick(url) })).toMatchObject({
    exitCode: null,
    health: { status: 204, checks: 3 },
  });
  expect(await agent().invoke({ healthCheck: url })).toMatchObject({ health: { checks: 1 } });
});

test('redirects are not followed, endless bodies not read, and a silent server is not waited for', async () => {
  let followed = 0;
  const url = await serve((request, answer) => {
    if (request.url === '/elsewhere') followed += 1;
    if (request.url === '/endless') answer.writeHead(200).write('x');
    else if (request.url !== '/silent') answer.writeHead(302, { location: '/elsewhere' }).end();
  });
  const redirected = agent().invoke({ healthCheck: quick(url, { timeoutMs: 60 }) });
  await expect(redirected).rejects.toThrow('the last answer: 302');
  expect(followed).toBe(0);
  expect(await agent().invoke({ healthCheck: `${url}endless` })).toMatchObject({ health: { status: 200 } });
  const silent = agent().invoke({ healthCheck: quick(`${url}silent`, { timeoutMs: 100 }) });
  await expect(silent).rejects.toMatchObject({ code: 'UNHEALTHY' });
  servers[0]!.closeAllConnections();
});

test('the pause between two questions is everyMs', async () => {
  const clock = new FakeClock();
  let asked = 0;
  let wake = () => {};
  const url = await serve((_, answer) => {
    asked += 1;
    answer.writeHead(asked === 2 ? 200 : 500).end(wake);
  });
  const first = new Promise<void>((resolve) => {
    wake = resolve;
  });
  const end = agent({ clock }).invoke({ healthCheck: { url, everyMs: 10_000, timeoutMs: 60_000 } });
  await first;
  // Until the answer is there and the next question is all that is timed.
  while (clock.timers !== 1 || asked !== 1) await clock.settle();
  await clock.advance(0);
  expect(asked).toBe(1);
  await clock.advance(10_000);
  expect(await end).toMatchObject({ durationMs: 10_000, health: { checks: 2 } });
  expect(clock.timers).toBe(0);
});

test('a cancelled health check ends at once', async () => {
  const url = await serve(() => {});
  const controller = new AbortController();
  const end = agent().invoke({ healthCheck: url }, { signal: controller.signal });
  controller.abort(new Error('enough'));
  await expect(end).rejects.toThrow('enough');
  servers[0]!.closeAllConnections();
});

test.each<[string, string[] | undefined]>([
  ['https://example.com/', undefined],
  ['http://169.254.169.254/latest/', undefined],
  ['http://localhost.example.com/', undefined],
  ['http://127.0.0.1:1/', ['https://app.example.com']],
  ['http://app.example.com/', ['https://app.example.com']],
  ['https://app.example.com:444/', ['https://app.example.com']],
])('%s may not be asked where %s may', async (url, healthCheckOrigins) => {
  const end = agent({ healthCheckOrigins }).invoke({ healthCheck: url });
  await expect(end).rejects.toMatchObject({ code: 'COMMAND_REFUSED' });
});

test.each<[string, unknown]>([
  ['url', 'file:///etc/passwd'],
  ['url', 'localhost'],
  ['url', 'http://user:password@localhost/'],
  ['timeoutMs', { url: 'http://localhost/', timeoutMs: Infinity }],
  ['everyMs', { url: 'http://localhost/', everyMs: 0 }],
  ['whenHealthy', { url: 'http://localhost/', whenHealthy: 'restart' }],
])('a malformed %s of a health check (%s) is refused', async (key, healthCheck) => {
  const end = agent().invoke({ healthCheck } as never);
  await expect(end).rejects.toMatchObject({ code: 'INVALID_TASK', path: `input.healthCheck.${key}` });
});
