import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';

/** Valkey is tried second: it is the same in all that matters here. */
const NAMES = ['redis-server', 'valkey-server'];

/** What the tests start: `REDIS_SERVER`, or the first one on the path. */
export function redisBinary(): string {
  const found = process.env.REDIS_SERVER ?? NAMES.map(onPath).find((path) => path !== undefined);
  if (found === undefined) throw new Error(HOW_TO_INSTALL);
  return found;
}

const HOW_TO_INSTALL = [
  'expected redis-server (6.2 or newer) on the path, got none. The tests start servers of their own with it:',
  'apt-get install redis-server, brew install redis, or REDIS_SERVER=/path/to/redis-server.',
].join('\n');

export function isInstalled(): boolean {
  return process.env.REDIS_SERVER !== undefined || NAMES.some((name) => onPath(name) !== undefined);
}

function onPath(name: string): string | undefined {
  const folders = (process.env.PATH ?? '').split(delimiter).filter((folder) => folder !== '');
  return folders.map((folder) => join(folder, name)).find(isExecutable);
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
