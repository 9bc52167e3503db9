import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';

const root = fileURLToPath(new URL('../../', import.meta.url));

/** Imports the module in a process of its own, where loading a native module would be an error. */
function importAlone(specifier: string): { native: string[]; resources: string[]; modules: string[] } {
  const script = `
    const native = [];
    const dlopen = process.dlopen;
    process.dlopen = (...args) => { native.push(args[1]); return dlopen.apply(process, args); };
    const before = process.getActiveResourcesInfo();
    await import(${JSON.stringify(specifier)});
    const resources = process.getActiveResourcesInfo().slice(before.length);
    const { createRequire } = await import('node:module');
    const modules = Object.keys(createRequire(import.meta.url).cache);
    console.log(JSON.stringify({ native, resources, modules }));
  `;
  const out = execFileSync(process.execPath, ['--input-type=module', '--eval', script], {
    cwd: root,
    encoding: 'utf8',
  });
  return JSON.parse(out);
}

test.each(['jotty', 'jotty/queue', 'jotty/checkpoint', 'jotty/testing'])(
  'importing %s loads no native module, opens nothing and starts no timer',
  (specifier) => {
    const { native, resources, modules } = importAlone(specifier);
    expect(native).toEqual([]);
    expect(resources).toEqual([]);
    expect(modules.filter((path) => /better-sqlite3|ioredis/.test(path))).toEqual([]);
  },
);

test('jotty/queue and jotty/testing work without LangGraph', () => {
  const script = `
    const { registerHooks } = await import('node:module');
    await import('jotty/queue');
    await import('jotty/testing');
  `;
  const loader = `data:text/javascript,${encodeURIComponent(`
    export async function resolve(specifier, context, next) {
      if (specifier.startsWith('@langchain/')) throw new Error('loads ' + specifier);
      return next(specifier, context);
    }
  `)}`;
  const register = `data:text/javascript,${encodeURIComponent(`
    import { register } from 'node:module';
    register(${JSON.stringify(loader)});
  `)}`;
  const run = () =>
    execFileSync(
      process.execPath,
      ['--import', register, '--input-type=module', '--eval', script.replace(/.*registerHooks.*\n/, '')],
      {
        cwd: root,
        encoding: 'utf8',
        stdio: 'pipe',
      },
    );
  expect(run).not.toThrow();
});
