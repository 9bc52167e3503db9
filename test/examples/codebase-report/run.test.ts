import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { SQLiteTaskQueue } from '../../../src/queue/index.ts';
import { ExampleProcess } from '../example-process.ts';
import { tree } from './tree.ts';

const FOLDERS = 40;
const SOURCES = Object.fromEntries(
  Array.from({ length: FOLDERS }, (_, at) => [
    `part${at}/main.ts`,
    `export function part${at}() {\n  return ${at};\n}\n`.repeat(30),
  ]),
);

let running: ExampleProcess[];
beforeEach(() => {
  running = [];
});
afterEach(() => Promise.all(running.map((process) => process.kill())));

/** A directory to report on, and a place for everything that a report leaves behind. */
function setUp(files: Readonly<Record<string, string>> = SOURCES) {
  const root = tree(files);
  const place = tree({});
  const paths = { db: join(place, 'tasks.db'), out: join(place, 'report.md'), trace: join(place, 'trace') };
  const start = (...args: string[]) => {
    const given = [root, '--db', paths.db, '--out', paths.out, ...args];
    const process = new ExampleProcess('codebase-report/main.ts', given, {
      CODEBASE_REPORT_TRACE: paths.trace,
    });
    running.push(process);
    return process;
  };
  const traced = () => (existsSync(paths.trace) ? readFileSync(paths.trace, 'utf8').trim().split('\n') : []);
  return { root, ...paths, start, traced };
}

describe('a run', () => {
  test('inspects every folder once, writes the report and ends by itself', async () => {
    const { start, out, traced } = setUp({
      'a/x.ts': 'export const x = 1;\n',
      'b/y.ts': "import { x } from '../a/x';\n",
    });
    const { code, output, errors } = await start().end();
    expect(errors).toBe('');
    expect(code).toBe(0);
    expect(output).toContain('surveyed: 2 files in 2 folders');
    expect(output).toMatch(/^inspected 2\/2 /m);
    expect(output).toContain('no model was used');
    expect(traced().sort()).toEqual(['a', 'b']);
    expect(readFileSync(out, 'utf8')).toContain('each in one go');
  });

  test('a finished run is followed by a new one', async () => {
    const { start, traced } = setUp({ 'x.ts': 'export const x = 1;\n' });
    expect((await start().end()).output).toMatch(/new run \S+-1 /);
    expect((await start().end()).output).toMatch(/new run \S+-2 /);
    expect(traced()).toEqual(['.', '.']);
  });
});

describe('kill -9', () => {
  test('in the middle: the next start goes on and inspects nothing twice but what was in flight', async () => {
    const { start, db, out, traced } = setUp();
    const first = start('--concurrency', '1');
    await first.line(/^inspected +5\/40/);
    await first.kill();
    const begun = traced();
    expect(begun.length).toBeLessThan(FOLDERS);

    const { code, output, errors } = await start('--concurrency', '2').end();
    expect(errors).toBe('');
    expect(code).toBe(0);
    const done = Number(/: (\d+) of 40 folders already inspected/.exec(output)?.[1]);
    expect(done).toBeGreaterThanOrEqual(5);

    const times = new Map<string, number>();
    for (const folder of traced()) times.set(folder, (times.get(folder) ?? 0) + 1);
    expect(times.size).toBe(FOLDERS);
    const twice = [...times].filter(([, count]) => count > 1).map(([folder]) => folder);
    // Only what the first process had begun and not recorded may have been begun again.
    expect(twice.length).toBeLessThanOrEqual(begun.length - done);
    expect(twice.length).toBeLessThanOrEqual(1);

    const queue = new SQLiteTaskQueue({ path: db });
    try {
      const { tasks } = await queue.listTasks({ agentType: 'inspector', limit: 1_000 });
      expect(tasks.map(({ status }) => status)).toEqual(tasks.map(() => 'completed'));
      expect(tasks.filter(({ attempt }) => attempt > 1).length).toBeLessThanOrEqual(1);
    } finally {
      await queue.close();
    }
    expect(readFileSync(out, 'utf8')).toContain(`${FOLDERS} of ${FOLDERS} folders inspected`);
  });

  test('right after the start: the next start still ends with a report', async () => {
    const { start, out } = setUp();
    const first = start();
    await first.line(/^new run/);
    await first.kill();
    expect((await start().end()).code).toBe(0);
    expect(readFileSync(out, 'utf8')).toContain(`${FOLDERS} of ${FOLDERS} folders inspected`);
  });
});

test('two processes on one file share the work: no folder is inspected by both', async () => {
  const { start, traced } = setUp();
  const ends = await Promise.all([start().end(), start().end()]);
  expect(ends.map(({ code, errors }) => ({ code, errors }))).toEqual([
    { code: 0, errors: '' },
    { code: 0, errors: '' },
  ]);
  const folders = traced();
  // The second may have come after the first had ended: then it made a run of its own.
  expect([FOLDERS, 2 * FOLDERS]).toContain(folders.length);
  expect(new Set(folders).size).toBe(FOLDERS);
});

test('--fresh gives up an unfinished run', async () => {
  const { start } = setUp();
  const first = start('--concurrency', '1');
  await first.line(/^inspected +3\/40/);
  await first.kill();
  const { code, output } = await start('--fresh').end();
  expect(code).toBe(0);
  expect(output).toMatch(/new run \S+-2 /);
});

test('SIGINT stops in order, and the next start goes on', async () => {
  const { start } = setUp();
  const first = start('--concurrency', '1');
  await first.line(/^inspected +3\/40/);
  first.child.kill('SIGINT');
  const { code, output } = await first.end();
  expect(code).toBe(130);
  expect(output).toContain('stopped; the next start goes on from here');
  expect((await start().end()).output).toMatch(/continuing run \S+-1: \d+ of 40/);
});
