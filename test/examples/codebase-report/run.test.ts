import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { ReportBench } from './report-bench.ts';

describe('a run', () => {
  test('inspects every folder once, writes the report and ends by itself', async () => {
    await using bench = new ReportBench({
      'a/x.ts': 'export const x = 1;\n',
      'b/y.ts': "import { x } from '../a/x';\n",
    });
    const { code, output, errors } = await bench.start().end();
    expect(errors).toBe('');
    expect(code).toBe(0);
    expect(output).toContain('surveyed: 2 files in 2 folders');
    expect(output).toMatch(/^inspected 2\/2 /m);
    expect(output).toContain('no model was used');
    expect(bench.traced().sort()).toEqual(['a', 'b']);
    expect(readFileSync(bench.out, 'utf8')).toContain('each in one go');
  });

  test('a finished run is followed by a new one', async () => {
    await using bench = new ReportBench({ 'x.ts': 'export const x = 1;\n' });
    expect((await bench.start().end()).output).toMatch(/new run \S+-1 /);
    expect((await bench.start().end()).output).toMatch(/new run \S+-2 /);
    expect(bench.traced()).toEqual(['.', '.']);
  });
});
