import { execFileSync, spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect } from 'vitest';
import { audit, expectQuiet } from './audit.ts';
import { moment } from './processes.ts';
import { scaled, TEST_TIMEOUT } from './scale.ts';
import { type Stage, test } from './stage.ts';

const TASKS = scaled(40, 400);
const KILLS = scaled(6, 100);

describe('R06: acknowledged means on disk', () => {
  test('each submission is synced before its id is given back', TEST_TIMEOUT, async ({ stage }) => {
    const trace = tracer(stage);
    const enqueuer = stage.spawn('enqueuer', { more: { total: TASKS }, wrapper: trace.command });
    expect(await enqueuer.untilExit()).toEqual({ code: 0, signal: null });

    const { unsynced, syncs, promises } = readTrace(trace.file, '"acknowledged');
    expect(unsynced).toEqual([]);
    expect(promises).toBe(TASKS);
    expect(syncs, 'one by one, each has a sync of its own').toBeGreaterThanOrEqual(TASKS);
  });

  test(
    'calls in flight together share a sync, and none is told before it',
    TEST_TIMEOUT,
    async ({ stage }) => {
      const trace = tracer(stage);
      const enqueuer = stage.spawn('enqueuer', {
        more: { total: TASKS, inFlight: 20 },
        wrapper: trace.command,
      });
      expect(await enqueuer.untilExit()).toEqual({ code: 0, signal: null });

      const { unsynced, syncs, promises } = readTrace(trace.file, '"acknowledged');
      expect(unsynced).toEqual([]);
      expect(promises).toBe(TASKS);
      expect(syncs).toBeLessThan(TASKS / 2);
    },
  );

  test('each result is synced before settle resolves', TEST_TIMEOUT, async ({ stage }) => {
    const queue = stage.queue();
    await queue.enqueueMany(Array.from({ length: TASKS }, (_, n) => ({ id: `t-${n}`, payload: { ms: 0 } })));
    const trace = tracer(stage);
    const worker = stage.spawn('queue-worker', { wrapper: trace.command, more: { untilEmpty: true } });
    expect(await worker.untilExit()).toEqual({ code: 0, signal: null });

    const { unsynced, promises } = readTrace(trace.file, '"settled');
    expect(unsynced).toEqual([]);
    expect(promises).toBe(TASKS);
  });

  test(
    'whatever was acknowledged when the submitter was killed is found again',
    TEST_TIMEOUT,
    async ({ stage }) => {
      const promised: string[] = [];
      for (let round = 0; round < KILLS; round++) {
        const batch = stage.random.pick([1, 1, 7]);
        const more = { prefix: `round-${round}`, inFlight: stage.random.pick([1, 20]), batch };
        const enqueuer = await stage.launch('enqueuer', { more });
        await moment(stage.random.between(0, 250));
        enqueuer.kill('SIGKILL');
        await enqueuer.untilExit();
        for (const message of enqueuer.said('acknowledged')) promised.push(...(message.ids as string[]));
      }

      const { tasks } = await audit(stage.database);
      expect(promised.length).toBeGreaterThan(0);
      for (const id of promised) expect(tasks.get(id)?.status, id).toBe('pending');
      expectWholeBatches([...tasks.keys()]);
      expectQuiet(stage);
    },
  );
});

/** enqueueMany is all or none, also when the process dies in it. Batches have seven members, `round.member`. */
function expectWholeBatches(ids: readonly string[]): void {
  const sizes = new Map<string, number>();
  for (const id of ids) {
    const [batch = '', member] = id.split('.');
    if (member !== undefined) sizes.set(batch, (sizes.get(batch) ?? 0) + 1);
  }
  for (const [batch, size] of sizes) expect(size, batch).toBe(7);
}

function tracer(stage: Stage): { readonly file: string; readonly command: string[] } {
  requireStrace();
  const file = join(stage.folder, 'trace');
  return {
    file,
    command: ['strace', '-f', '-y', '-s', '80', '-e', 'trace=fdatasync,fsync,write,pwrite64', '-o', file],
  };
}

function requireStrace(): void {
  const works = (): boolean => spawnSync('strace', ['-f', 'true'], { stdio: 'ignore' }).status === 0;
  if (works()) return;
  try {
    execFileSync('apt-get', ['install', '-y', 'strace'], { stdio: 'ignore' });
  } catch {
    // The sentence below says what to do.
  }
  if (!works()) {
    throw new Error(
      'this test watches the system calls: install strace (apt-get install strace) and allow ptrace',
    );
  }
}

interface Trace {
  /** What was told while the log of the database held writes that were not yet synced. */
  readonly unsynced: readonly string[];
  readonly syncs: number;
  /** How often something was told. */
  readonly promises: number;
}

/** Follows the main thread: which does all the writing, the database's and ours. */
function readTrace(file: string, told: string): Trace {
  let dirty = false;
  const trace = { unsynced: [] as string[], syncs: 0, promises: 0 };
  for (const call of callsOfMainThread(readFileSync(file, 'utf8'))) {
    if (/^pwrite64\(\d+<[^>]*-wal>/.test(call)) dirty = true;
    else if (/^f(data)?sync\(\d+<[^>]*-wal>\) += 0/.test(call)) {
      dirty = false;
      trace.syncs++;
    } else if (call.startsWith('write(1<') && call.replaceAll('\\', '').includes(told)) {
      trace.promises++;
      if (dirty) trace.unsynced.push(call);
    }
  }
  return trace;
}

/** One text per call: strace cuts a call in two when another thread makes one meanwhile. */
function callsOfMainThread(text: string): string[] {
  const main = /^\d+/.exec(text)?.[0] ?? '';
  const calls: string[] = [];
  let unfinished = '';
  for (const line of text.split('\n')) {
    if (!line.startsWith(`${main} `)) continue;
    const call = line.slice(main.length).trim();
    if (call.endsWith('<unfinished ...>')) unfinished = call.replace('<unfinished ...>', '').trimEnd();
    else if (call.startsWith('<...')) calls.push(unfinished + call.replace(/^<\.\.\. \w+ resumed>/, ''));
    else calls.push(call);
  }
  return calls;
}
