import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { SQLiteTaskQueue } from '../../src/queue/index.ts';
import { FOLDERS, ReportBench } from '../examples/codebase-report/report-bench.ts';

describe('kill -9', () => {
  test('in the middle: the next start goes on and inspects nothing twice but what was in flight', async () => {
    await using bench = new ReportBench();
    const first = bench.start('--concurrency', '1');
    await first.line(/^inspected +5\/40/);
    await first.kill();
    const begun = bench.traced();
    expect(begun.length).toBeLessThan(FOLDERS);

    const { code, output, errors } = await bench.start('--concurrency', '2').end();
    expect(errors).toBe('');
    expect(code).toBe(0);
    const done = Number(/: (\d+) of 40 folders already inspected/.exec(output)?.[1]);
    expect(done).toBeGreaterThanOrEqual(5);

    const times = new Map<string, number>();
    for (const folder of bench.traced()) times.set(folder, (times.get(folder) ?? 0) + 1);
    expect(times.size).toBe(FOLDERS);
    const twice = [...times].filter(([, count]) => count > 1).map(([folder]) => folder);
    // Only what the first process had begun and not recorded may have been begun again.
    expect(twice.length).toBeLessThanOrEqual(begun.length - done);
    expect(twice.length).toBeLessThanOrEqual(1);

    const queue = new SQLiteTaskQueue({ path: bench.db });
    try {
      const { tasks } = await queue.listTasks({ agentType: 'inspector', limit: 1_000 });
      expect(tasks.map(({ status }) => status)).toEqual(tasks.map(() => 'completed'));
      expect(tasks.filter(({ attempt }) => attempt > 1).length).toBeLessThanOrEqual(1);
    } finally {
      await queue.close();
    }
    expect(readFileSync(bench.out, 'utf8')).toContain(`${FOLDERS} of ${FOLDERS} folders inspected`);
  });

  test('right after the start: the next start still ends with a report', async () => {
    await using bench = new ReportBench();
    const first = bench.start();
    await first.line(/^new run/);
    await first.kill();
    expect((await bench.start().end()).code).toBe(0);
    expect(readFileSync(bench.out, 'utf8')).toContain(`${FOLDERS} of ${FOLDERS} folders inspected`);
  });
});

test('two processes on one file share the work: no folder is inspected by both', async () => {
  await using bench = new ReportBench();
  const ends = await Promise.all([bench.start().end(), bench.start().end()]);
  expect(ends.map(({ code, errors }) => ({ code, errors }))).toEqual([
    { code: 0, errors: '' },
    { code: 0, errors: '' },
  ]);
  const folders = bench.traced();
  // The second may have come after the first had ended: then it made a run of its own.
  expect([FOLDERS, 2 * FOLDERS]).toContain(folders.length);
  expect(new Set(folders).size).toBe(FOLDERS);
});

test('--fresh gives up an unfinished run', async () => {
  await using bench = new ReportBench();
  const first = bench.start('--concurrency', '1');
  await first.line(/^inspected +3\/40/);
  await first.kill();
  const { code, output } = await bench.start('--fresh').end();
  expect(code).toBe(0);
  expect(output).toMatch(/new run \S+-2 /);
});

test('SIGINT stops in order, and the next start goes on', async () => {
  await using bench = new ReportBench();
  const first = bench.start('--concurrency', '1');
  await first.line(/^inspected +3\/40/);
  first.child.kill('SIGINT');
  const { code, output } = await first.end();
  expect(code).toBe(130);
  expect(output).toContain('stopped; the next start goes on from here');
  expect((await bench.start().end()).output).toMatch(/continuing run \S+-1: \d+ of 40/);
});
