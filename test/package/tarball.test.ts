import { execFileSync } from 'node:child_process';
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from 'vitest';

const root = fileURLToPath(new URL('../../', import.meta.url));
const { devDependencies } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
let project: string;

/** npm sets variables for the scripts it runs; a user's project does not inherit ours. */
const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('npm_')));

function run(command: string, args: readonly string[]): string {
  return execFileSync(command, args, {
    cwd: project,
    env,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'pipe'],
  });
}

beforeAll(() => {
  project = mkdtempSync(join(tmpdir(), 'jotty-tarball-'));
  writeFileSync(join(project, 'package.json'), JSON.stringify({ name: 'consumer', private: true }));
  execFileSync('npm', ['pack', '--ignore-scripts', '--pack-destination', project], {
    cwd: root,
    env,
    stdio: 'pipe',
  });
  const tarball = readdirSync(project).find((file) => file.endsWith('.tgz'))!;
  const peers = ['core', 'langgraph', 'langgraph-checkpoint'].map(
    (name) => `@langchain/${name}@${devDependencies[`@langchain/${name}`]}`,
  );
  const quiet = ['--no-audit', '--no-fund', '--prefer-offline', '--ignore-scripts', '--omit=optional'];
  run('npm', ['install', ...quiet, `./${tarball}`, ...peers]);
  // The native part was compiled once for this checkout; compiling it again would prove nothing.
  for (const name of ['better-sqlite3', 'bindings', 'file-uri-to-path']) {
    rmSync(join(project, 'node_modules', name), { recursive: true, force: true });
    symlinkSync(join(root, 'node_modules', name), join(project, 'node_modules', name));
  }
}, 180_000);

afterAll(() => {
  rmSync(project, { recursive: true, force: true });
});

const SUBPATHS = ['jotty', 'jotty/queue', 'jotty/checkpoint', 'jotty/testing', 'jotty/tools'];

test.each(SUBPATHS)('%s loads by import and by require, with the same names', (specifier) => {
  const names = 'console.log(JSON.stringify(Object.keys(m).filter((k) => k !== "__esModule").sort()))';
  const imported = run('node', [
    '--input-type=module',
    '--eval',
    `import * as m from '${specifier}'; ${names}`,
  ]);
  const required = run('node', [
    '--no-warnings',
    '--input-type=commonjs',
    '--eval',
    `const m = require('${specifier}'); ${names}`,
  ]);
  expect(JSON.parse(imported).length).toBeGreaterThan(0);
  expect(required).toBe(imported);
});

const CONSUMER = `
import { Annotation, START, StateGraph } from '@langchain/langgraph';
import { Conductor } from 'jotty';
import { SQLiteTaskQueue, type Task } from 'jotty/queue';
import { SQLiteSaver } from 'jotty/checkpoint';
import { FakeClock } from 'jotty/testing';

const State = Annotation.Root({ goal: Annotation<string>(), answer: Annotation<string>() });
const agent = new StateGraph(State)
  .addNode('think', ({ goal }) => ({ answer: goal.toUpperCase() }))
  .addEdge(START, 'think')
  .compile();

async function main(): Promise<void> {
  const queue = new SQLiteTaskQueue({ path: 'tasks.db' });
  const conductor = new Conductor({ agents: { agent }, queue });
  const id: string = await conductor.enqueueGoal('hello', { priority: 8 });
  await conductor.processQueue({ untilEmpty: true });
  const task: Task | null = await queue.getTask(id);
  const saver: SQLiteSaver = new SQLiteSaver({ path: 'other.db' });
  await saver.close();
  const clock: FakeClock = new FakeClock();
  console.log(JSON.stringify({ status: task?.status, result: task?.result, now: typeof clock.now() }));
  await conductor.close();
  await queue.close();
}
void main();
`;

test('a TypeScript app gets types for import and for require, and its goal is done', () => {
  mkdirSync(join(project, 'app'));
  writeFileSync(join(project, 'app', 'main.mts'), CONSUMER);
  writeFileSync(join(project, 'app', 'main.cts'), CONSUMER);
  const options = {
    target: 'es2023',
    module: 'nodenext',
    strict: true,
    skipLibCheck: true,
    types: ['node'],
    typeRoots: [join(root, 'node_modules/@types')],
  };
  writeFileSync(
    join(project, 'tsconfig.json'),
    JSON.stringify({ compilerOptions: options, include: ['app'] }),
  );
  try {
    run('node', [join(root, 'node_modules/typescript/bin/tsc'), '-p', '.']);
  } catch (error) {
    throw new Error(String((error as { stdout?: unknown }).stdout));
  }
  for (const file of ['app/main.mjs', 'app/main.cjs']) {
    expect(JSON.parse(run('node', ['--no-warnings', file]))).toMatchObject({
      status: 'completed',
      result: { answer: 'HELLO' },
      now: 'number',
    });
  }
});

test('the tarball holds what is needed and nothing else', () => {
  const files = readdirSync(join(project, 'node_modules/jotty'), { recursive: true, encoding: 'utf8' });
  expect(files).toEqual(
    expect.arrayContaining(['README.md', 'LICENSE', 'CHANGELOG.md', 'dist/index.js', 'dist/index.d.ts']),
  );
  expect(files.filter((file) => file.endsWith('.sql')).length).toBeGreaterThanOrEqual(2);
  expect(files.filter((file) => /^(src|test|bench|examples)\b|\.tsbuildinfo$/.test(file))).toEqual([]);
});
