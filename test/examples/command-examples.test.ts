import { readdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { expect, test } from 'vitest';
import { ExampleProcess } from './example-process.ts';

test('deploy-pipeline stops at a low coverage and says so, else deploys; either way it cleans up', async () => {
  const folders = () => readdirSync(tmpdir()).filter((name) => name.startsWith('jotty-deploy-'));
  const before = folders();
  const { code, output, errors } = await new ExampleProcess('deploy-pipeline.ts').end();
  expect(errors).toBe('');
  expect(code).toBe(0);
  const [few = '', all = ''] = output.split('all.test.mjs: ');
  expect(few).toMatch(/few.test.mjs: failed, result.coverage is [\d.]+, expected gte 80/);
  expect(few).toContain('production: skipped\n  tests-failed: completed');
  expect(few).toContain('cleanup: completed\ntests failed, nothing was deployed');
  expect(all).toMatch(/^completed, tested\n/);
  expect(all).toContain('staging: completed\n  approval: completed\n  production: completed');
  expect(all).toContain('tests-failed: skipped');
  expect(all).toContain('cleanup: completed\nhalf of 10 is 5');
  expect(folders()).toEqual(before);
});

test('nightly runs by hand and by its interval, and tells when the night is', async () => {
  const { code, output, errors } = await new ExampleProcess('nightly.ts').end();
  expect(errors).toBe('');
  expect(code).toBe(0);
  expect(output).toMatch(/the first night ends \d{4}-\d\d-\d\dT0[01]:30:00.000Z/);
  expect(output.match(/by hand: \{ kilobytes: [1-9]\d* \}/g)).toHaveLength(1);
  expect(output.match(/a tick: \{ kilobytes: [1-9]\d* \}/g)).toHaveLength(2);
  expect(output).toMatch(
    /by-the-second has ticked, last run 20\S+Z\nnightly has not ticked, last run 20\S+Z/,
  );
});
