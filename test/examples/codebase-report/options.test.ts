import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { optionsFrom } from '../../../examples/codebase-report/options.ts';
import { Terminal } from '../../../examples/codebase-report/terminal.ts';
import { ExampleProcess } from '../example-process.ts';
import { tree } from './tree.ts';

describe('options', () => {
  test('everything a report leaves behind lies in .jotty unless somebody says otherwise', async () => {
    const cwd = tree({ 'a.ts': 'x' });
    const options = await optionsFrom([], cwd, {});
    expect(options).toMatchObject({ root: cwd, concurrency: 4, fresh: false, model: null });
    if (options === 'help') throw new Error('no help was asked for');
    for (const path of [options.out, options.db]) expect(path.startsWith(join(cwd, '.jotty'))).toBe(true);
  });

  test('a model comes from the option, else from the environment, and --no-model wins', async () => {
    const cwd = tree({ 'a.ts': 'x' });
    const env = { JOTTY_MODEL: 'a:b' };
    expect(await optionsFrom([], cwd, env)).toMatchObject({ model: 'a:b' });
    expect(await optionsFrom(['--model', 'c:d'], cwd, env)).toMatchObject({ model: 'c:d' });
    expect(await optionsFrom(['--no-model'], cwd, env)).toMatchObject({ model: null });
  });

  test('what cannot be right is refused with what was expected', async () => {
    const cwd = tree({ 'a.ts': 'x' });
    await expect(optionsFrom(['nowhere'], cwd, {})).rejects.toThrow('there is no directory');
    await expect(optionsFrom(['a.ts'], cwd, {})).rejects.toThrow('is a file');
    await expect(optionsFrom([tree({})], cwd, {})).rejects.toThrow('is empty');
    await expect(optionsFrom(['--concurrency', '0'], cwd, {})).rejects.toThrow('from 1 to 64, got 0');
    await expect(optionsFrom(['--wat'], cwd, {})).rejects.toThrow('--wat');
    await expect(optionsFrom(['a', 'b'], cwd, {})).rejects.toThrow('expected one directory');
  });

  test('a wrong directory ends the program with one sentence, no stack, and code 2', async () => {
    const { code, output, errors } = await new ExampleProcess('codebase-report/main.ts', [
      '/nowhere/at/all',
    ]).end();
    expect(code).toBe(2);
    expect(output).toMatch(/^there is no directory \/nowhere\/at\/all/);
    expect(errors).not.toMatch(/^\s+at /m);
  });
});

describe('the terminal', () => {
  const written: string[] = [];
  const output = { isTTY: true, columns: 11, write: (text: string) => written.push(text) };

  test('living lines are erased before what comes next, and cut at the edge', () => {
    const terminal = new Terminal(output, {});
    terminal.live(['one', 'a long second line']);
    terminal.line('stays');
    expect(written.splice(0).join('')).toBe('one\na long sec\n\u001b[2A\u001b[Jstays\n');
  });

  test('without a terminal there are no living lines', () => {
    const terminal = new Terminal({ ...output, isTTY: false }, {});
    terminal.live(['one']);
    terminal.line('stays');
    expect(written.splice(0).join('')).toBe('stays\n');
  });
});
