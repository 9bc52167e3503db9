/** A deployment as a workflow of real commands: nothing untested goes out, somebody is told, and it cleans up. */
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Conductor, commandAgent, Workflow } from 'jotty';
import { MemoryTaskQueue } from 'jotty/queue';

const port = 20_000 + (process.pid % 10_000);
const shell = commandAgent({
  allow: ['node'],
  roots: [join(import.meta.dirname, 'shop')],
  envAllowed: ['OUT', 'PORT'],
  toResult: ({ stdout, pid }) => ({
    said: stdout.trim().split('\n').at(-1),
    coverage: Number(/all files\s*\|\s*([\d.]+)/.exec(stdout)?.[1]),
    pid,
  }),
});

function pipeline(tests: string, out: string) {
  const server = (at: number, whenHealthy: 'stop' | 'leave') => ({
    argv: ['node', join(out, 'server.mjs')],
    env: { PORT: String(at) },
    healthCheck: { url: `http://127.0.0.1:${at}/`, everyMs: 50, whenHealthy },
  });
  const test = ['node', '--test', '--experimental-test-coverage', tests];
  const validate = { where: { 'result.coverage': { gte: 80 } } };
  const build = { argv: ['node', 'build.mjs'], env: { OUT: out } };
  const plan = new Workflow<string>('deploy')
    .add('tests', { goal: 'test it', input: { argv: test }, validate, maxRetries: 0 })
    .add('build', { goal: 'build it', input: build, dependsOn: ['tests'] })
    .add('staging', { goal: 'try it out', input: server(port, 'stop'), dependsOn: ['build'] })
    .add('approval', { approval: { question: 'Put it into production?' }, dependsOn: ['staging'] })
    .add('production', { goal: 'deploy it', input: server(port + 1, 'leave'), dependsOn: ['approval'] });
  for (const ref of ['tests', 'build', 'staging', 'approval', 'production']) {
    const input = { argv: ['node', 'notify.mjs', ref] };
    plan.add(`${ref}-failed`, { goal: 'tell everybody', input, dependsOn: [{ ref, on: 'failure' }] });
  }
  const clean = { ...build, argv: ['node', 'clean.mjs'] };
  const always = [{ ref: 'production', on: 'completion' } as const];
  return plan.add('cleanup', { goal: 'clean up', input: clean, dependsOn: always });
}

await using queue = new MemoryTaskQueue();
await using conductor = new Conductor({ agents: { shell }, queue });
for (const tests of ['few.test.mjs', 'all.test.mjs']) {
  const run = await conductor.submit(pipeline(tests, mkdtempSync(join(tmpdir(), 'jotty-deploy-'))));
  await conductor.processQueue({ untilEmpty: true });
  // What waits for a person; it may be answered tomorrow, and from another process.
  for (const { taskId } of (await conductor.inbox()).entries) await conductor.approve(taskId, { by: 'ada' });
  await conductor.processQueue({ untilEmpty: true });
  const { status, tasks } = await run.status();
  console.log(`${tests}: ${status}, ${tasks.tests?.error?.message ?? 'tested'}`);
  for (const [ref, task] of Object.entries(tasks)) console.log(`  ${ref}: ${task.status}`);
  const results = (await run.results()) as Record<string, { said: string; pid: number } | undefined>;
  console.log(results['tests-failed']?.said ?? (await (await fetch(`http://127.0.0.1:${port + 1}/`)).text()));
  // The program is left running; this example ends it here, with its whole group.
  if (results.production !== undefined) process.kill(-results.production.pid);
}
