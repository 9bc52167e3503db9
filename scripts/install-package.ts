import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const SCRIPT = fileURLToPath(new URL('./install-package.sh', import.meta.url));

/** Installs a Debian package, as root or by a sudo that asks nobody for a password. Returns whether it did. */
export function installPackage(name: string): boolean {
  const command = process.getuid?.() === 0 ? ['sh', SCRIPT, name] : ['sudo', '-n', 'sh', SCRIPT, name];
  process.stderr.write(`${name} is missing: ${command.join(' ')}\n`);
  const [program = '', ...args] = command;
  return spawnSync(program, args, { stdio: ['ignore', 'inherit', 'inherit'] }).status === 0;
}
