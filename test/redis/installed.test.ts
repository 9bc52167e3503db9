import { existsSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { isInstalled, redisBinary } from './binary.ts';
import { setup } from './installed.ts';

/** A machine whose path has a shell, a package manager of the test's making, and no Redis. */
let bin: string;
let before: NodeJS.ProcessEnv;

beforeEach(() => {
  bin = mkdtempSync(join(tmpdir(), 'jotty-bin-'));
  for (const name of ['sh', 'rm', 'chmod']) symlinkSync(`/bin/${name}`, join(bin, name));
  program('sudo', 'shift; exec "$@"');
  before = process.env;
  process.env = { ...before, PATH: bin, POLICY_RC_D: join(bin, 'policy-rc.d'), SAID: join(bin, 'said') };
  delete process.env.REDIS_SERVER;
});

afterEach(() => {
  process.env = before;
  rmSync(bin, { recursive: true, force: true });
});

test('redis-server is installed where it is missing, and the service is not started', () => {
  aptGet('[ "$1" = install ] || exit 0', ': >"$BIN/redis-server"; chmod 755 "$BIN/redis-server"');
  setup();
  expect(redisBinary()).toBe(join(bin, 'redis-server'));
  expect(said()).toEqual(['install -y --no-install-recommends redis-server, services forbidden']);
  expect(existsSync(join(bin, 'policy-rc.d')), 'what forbade it is gone').toBe(false);
});

test('lists of packages that are missing are fetched', () => {
  aptGet(
    '[ "$1" = update ] && : >"$BIN/lists"',
    '[ -e "$BIN/lists" ] || exit 100',
    ': >"$BIN/redis-server"; chmod 755 "$BIN/redis-server"',
  );
  setup();
  expect(said().map((line) => line.split(/[ ,]/)[0])).toEqual(['install', 'update', 'install']);
  expect(isInstalled()).toBe(true);
});

test('without the right or the means to install it, the tests that need it say so', () => {
  aptGet('exit 100');
  setup();
  expect(isInstalled()).toBe(false);
  expect(() => redisBinary()).toThrow('apt-get install redis-server');
});

test('where it is installed nothing is run', () => {
  program('redis-server', 'exit 0');
  aptGet('exit 0');
  setup();
  expect(said()).toEqual([]);
});

function program(name: string, ...lines: string[]): void {
  writeFileSync(join(bin, name), `#!/bin/sh\n${lines.join('\n')}\n`, { mode: 0o755 });
}

/** Says how it was called, and whether services may start meanwhile. */
function aptGet(...lines: string[]): void {
  const forbidden = '[ -x "$POLICY_RC_D" ] && forbidden=", services forbidden"';
  program('apt-get', `BIN=${bin}`, forbidden, 'echo "$*$forbidden" >>"$SAID"', ...lines);
}

function said(): string[] {
  const path = join(bin, 'said');
  return existsSync(path) ? readFileSync(path, 'utf8').trim().split('\n') : [];
}
