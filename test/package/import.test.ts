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
    // Whoever looks at them first opens the standard streams.
    void [process.stdout, process.stderr];
    const before = process.getActiveResourcesInfo();
    await import(${JSON.stringify(specifier)});
    // The loader closes the files it has read in the background.
    const open = () => process.getActiveResourcesInfo().filter((name) => name !== 'CloseReq');
    const resources = open().slice(before.length);
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

test.each(['jotty', 'jotty/queue', 'jotty/checkpoint', 'jotty/testing', 'jotty/tools'])(
  'importing %s loads no native module, opens nothing and starts no timer',
  (specifier) => {
    const { native, resources, modules } = importAlone(specifier);
    expect(native).toEqual([]);
    expect(resources).toEqual([]);
    expect(modules.filter((path) => /better-sqlite3|ioredis/.test(path))).toEqual([]);
  },
);

/** A module hook that refuses LangGraph, as a data: URL. */
const REFUSE_LANGGRAPH = `
  import { register } from 'node:module';
  register('data:text/javascript,' + encodeURIComponent(\`
    export async function resolve(specifier, context, next) {
      if (specifier.startsWith('@langchain/')) throw new Error('loads ' + specifier);
      return next(specifier, context);
    }
  \`));
`;

test.each(['jotty/queue', 'jotty/testing'])('%s works without LangGraph', (specifier) => {
  const hook = `data:text/javascript,${encodeURIComponent(REFUSE_LANGGRAPH)}`;
  const script = `await import(${JSON.stringify(specifier)});`;
  const run = () =>
    execFileSync(process.execPath, ['--import', hook, '--input-type=module', '--eval', script], {
      cwd: root,
      stdio: 'pipe',
    });
  expect(run).not.toThrow();
});
