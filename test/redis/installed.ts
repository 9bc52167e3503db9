import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { isInstalled } from './binary.ts';

const SCRIPT = fileURLToPath(new URL('../../scripts/install-redis.sh', import.meta.url));

/** Runs once before all tests: installs redis-server where it is missing and may be installed. */
export function setup(): void {
  if (isInstalled()) return;
  const command = asRoot(SCRIPT);
  process.stderr.write(`redis-server is missing: ${command.join(' ')}\n`);
  const [program = '', ...args] = command;
  const { status } = spawnSync(program, args, { stdio: ['ignore', 'inherit', 'inherit'] });
  // Those who test something else go on; the tests on Redis say what they miss.
  if (status !== 0)
    process.stderr.write('redis-server could not be installed: the tests on Redis will fail\n');
}

/** sudo without a password or not at all: nobody may be there to type one. */
function asRoot(script: string): string[] {
  return process.getuid?.() === 0 ? ['sh', script] : ['sudo', '-n', 'sh', script];
}
