import { installPackage } from '../../scripts/install-package.ts';
import { isInstalled } from './binary.ts';

/** Runs once before all tests: installs redis-server where it is missing and may be installed. */
export function setup(): void {
  if (isInstalled() || installPackage('redis-server')) return;
  // Those who test something else go on; the tests on Redis say what they miss.
  process.stderr.write('redis-server could not be installed: the tests on Redis will fail\n');
}
