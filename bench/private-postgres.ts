import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { accessSync, chownSync, constants, mkdtempSync, readdirSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { installPackage } from '../scripts/install-package.ts';
import { freePort } from '../test/redis/free-port.ts';
import { Guardian } from '../test/redis/guardian.ts';

const DEBIAN = '/usr/lib/postgresql';
/** It takes 0.2 s. */
const START_MS_MAX = 15_000;
const ASK_AGAIN_MS = 20;

/** Runs once before all rounds: installs PostgreSQL where it is missing and may be installed. */
export function installPostgres(): void {
  if (binaryFolder() !== undefined || installPackage('postgresql')) return;
  process.stderr.write('PostgreSQL could not be installed: the peer that needs it does not run\n');
}

export function postgresVersion(): string | undefined {
  const folder = binaryFolder();
  if (folder === undefined) return undefined;
  const { stdout } = spawnSync(join(folder, 'postgres'), ['--version'], { encoding: 'utf8' });
  return /\d[\d.]*/.exec(stdout)?.[0];
}

/**
 * A PostgreSQL of this round as it comes, durable commits included: on a free port of 127.0.0.1, in a folder of its
 * own. Nothing of it is left when it is stopped, or when this process ends in any way.
 */
export class PrivatePostgres {
  readonly url: string;
  readonly #server: ChildProcess;
  readonly #guardian: Guardian;

  private constructor(port: number, server: ChildProcess, guardian: Guardian) {
    this.url = `postgres://${OWNER}@127.0.0.1:${port}/postgres`;
    this.#server = server;
    this.#guardian = guardian;
  }

  static async start(): Promise<PrivatePostgres> {
    const binaries = binaryFolder();
    if (binaries === undefined) throw new Error('expected PostgreSQL (apt-get install postgresql), got none');
    // Not in the round's folder: the server runs as somebody who may not look in there.
    const folder = mkdtempSync(join(tmpdir(), 'jotty-postgres-'));
    const guardian = new Guardian(folder);
    const as = serverUser();
    if (as !== undefined) chownSync(folder, as.uid, as.gid);
    const options = { cwd: folder, stdio: 'ignore', ...as } as const;
    const made = spawnSync(join(binaries, 'initdb'), ['-D', folder, ...INIT], options);
    if (made.status !== 0) throw new Error(`initdb ended with ${made.status ?? made.signal ?? made.error}`);
    const port = await freePort();
    const place = ['-D', folder, '-p', `${port}`, '-h', '127.0.0.1', '-c', 'unix_socket_directories='];
    const server = spawn(join(binaries, 'postgres'), place, { ...options, detached: true });
    guardian.watch(server.pid);
    await answers(server, port);
    return new PrivatePostgres(port, server, guardian);
  }

  /** In good order, so that it takes its shared memory along. */
  async stop(): Promise<void> {
    const exited = once(this.#server, 'exit');
    this.#server.kill('SIGINT');
    await exited;
    this.#guardian.watch(undefined);
    await this.#guardian.end();
  }
}

const OWNER = 'bench';
const INIT = ['-U', OWNER, '-A', 'trust', '-E', 'UTF8', '--locale=C', '--no-sync'];

async function answers(server: ChildProcess, port: number): Promise<void> {
  const deadline = performance.now() + START_MS_MAX;
  while (!(await isOpen(port))) {
    if (server.exitCode !== null || performance.now() > deadline)
      throw new Error(`postgres did not start (${server.exitCode ?? 'no answer'})`);
    await sleep(ASK_AGAIN_MS);
  }
}

function isOpen(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1', () => tell(true));
    const tell = (open: boolean) => {
      socket.destroy();
      resolve(open);
    };
    socket.once('error', () => tell(false));
  });
}

/** It refuses to run as root: then it is whoever the package made for it, or else nobody. */
function serverUser(): { readonly uid: number; readonly gid: number } | undefined {
  if (process.getuid?.() !== 0) return undefined;
  for (const name of ['postgres', 'nobody']) {
    const [uid, gid] = ['-u', '-g'].map((which) => spawnSync('id', [which, name], { encoding: 'utf8' }));
    if (uid?.status === 0 && gid?.status === 0) return { uid: Number(uid.stdout), gid: Number(gid.stdout) };
  }
  throw new Error('expected a user postgres or nobody to run PostgreSQL as, got neither');
}

/** Where `initdb` and `postgres` are: on the path, or where Debian puts the newest. */
function binaryFolder(): string | undefined {
  const onPath = (process.env.PATH ?? '').split(delimiter).filter((folder) => folder !== '');
  return [...onPath, ...debianFolders()].find((folder) =>
    ['initdb', 'postgres'].every((program) => isExecutable(join(folder, program))),
  );
}

function debianFolders(): string[] {
  try {
    const versions = readdirSync(DEBIAN).sort((a, b) => Number(b) - Number(a));
    return versions.map((version) => join(DEBIAN, version, 'bin'));
  } catch {
    return [];
  }
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
