import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { cpus, release, totalmem } from 'node:os';
import { join } from 'node:path';
import { isInstalled, redisBinary } from '../test/redis/binary.ts';
import { postgresVersion } from './private-postgres.ts';

const PACKAGES = [
  'better-sqlite3',
  'plainjob',
  'liteque',
  '@sidequest/engine',
  '@sidequest/sqlite-backend',
  'p-queue',
  'ioredis',
  'bullmq',
  'bee-queue',
  'pg-boss',
  '@langchain/langgraph',
  '@langchain/langgraph-checkpoint',
  '@langchain/langgraph-checkpoint-sqlite',
];

/** What the figures were measured on and with. */
export interface Surroundings {
  readonly node: string;
  readonly sqlite: string;
  readonly redis: string;
  readonly postgres: string;
  readonly cpu: string;
  readonly cores: number;
  readonly memoryGB: number;
  readonly kernel: string;
  readonly packages: Readonly<Record<string, string>>;
}

export function surroundings(): Surroundings {
  const [cpu] = cpus();
  return {
    node: process.version,
    sqlite: sqliteVersion(),
    redis: redisVersion(),
    postgres: postgresVersion() ?? NOT_INSTALLED,
    cpu: cpu?.model ?? 'unknown',
    cores: cpus().length,
    memoryGB: Math.round(totalmem() / 1e9),
    kernel: release(),
    packages: Object.fromEntries([
      ['jotty', versionIn(join(import.meta.dirname, '..'))],
      ...PACKAGES.map((name) => [name, versionOf(name)]),
    ]),
  };
}

const NOT_INSTALLED = 'not installed';

const require = createRequire(import.meta.url);

function sqliteVersion(): string {
  const Database = require('better-sqlite3');
  const database = new Database(':memory:');
  const { version } = database.prepare('SELECT sqlite_version() AS version').get();
  database.close();
  return version;
}

function redisVersion(): string {
  if (!isInstalled()) return NOT_INSTALLED;
  const { stdout } = spawnSync(redisBinary(), ['--version'], { encoding: 'utf8' });
  return /v=(\S+)/.exec(stdout)?.[1] ?? 'unknown';
}

/** Packages may not export their package.json, so it is looked for in the folders of modules. */
function versionOf(name: string): string {
  for (const folder of require.resolve.paths(name) ?? []) {
    const version = versionIn(join(folder, name));
    if (version !== NOT_INSTALLED) return version;
  }
  return NOT_INSTALLED;
}

function versionIn(folder: string): string {
  try {
    return JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')).version;
  } catch {
    return NOT_INSTALLED;
  }
}
