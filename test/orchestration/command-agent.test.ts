import { chmodSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Annotation, END, START, StateGraph } from '@langchain/langgraph';
import { afterAll, expect, test } from 'vitest';
import {
  COMMAND_BYTES_MAX,
  COMMAND_LINE_CHARS_MAX,
  COMMAND_LINES_MAX,
  COMMAND_OUTPUT_BYTES_MAX,
  type CommandAgentOptions,
  type CommandProgress,
  Conductor,
  commandAgent,
  Workflow,
} from '../../src/index.ts';

const folder = mkdtempSync(join(tmpdir(), 'jotty-command-'));
afterAll(() => rmSync(folder, { recursive: true }));

function script(path: string, text: string): string {
  const file = join(folder, path);
  writeFileSync(file, `#!/bin/sh\n${text}\n`);
  chmodSync(file, 0o755);
  return file;
}

const sh = (text: string, ...args: string[]) => ['sh', '-c', text, 'sh', ...args];
const run = (argv: string[], options: CommandAgentOptions = {}, input: object = {}) =>
  commandAgent({ allow: ['sh'], ...options }).invoke({ argv, ...input });

test.each([undefined, []])(
  'without a list of programs (%s) everything is refused, once and for all',
  async (allow) => {
    await using conductor = new Conductor({ agents: { shell: commandAgent({ allow }) } });
    const program = await conductor.enqueueGoal('run', { input: { argv: ['true'] } });
    const check = await conductor.enqueueGoal('ask', { input: { healthCheck: 'http://localhost:1/' } });
    await conductor.processQueue({ untilEmpty: true });
    for (const id of [program, check]) {
      const task = await conductor.queue.getTask(id);
      expect(task).toMatchObject({ status: 'failed', retryCount: 0, error: { code: 'COMMAND_REFUSED' } });
      expect(task?.error?.message).toContain('commandAgent({ allow: [...] })');
    }
  },
);

test('a program is run as it is named: its code, its output, its arguments unread by any shell', async () => {
  expect(await run(sh('echo "$# $1 $2"; echo warned >&2', '$(id) `id` *', 'a  b'))).toEqual({
    exitCode: 0,
    signal: null,
    stdout: '2 $(id) `id` * a  b\n',
    stderr: 'warned\n',
    truncated: false,
    durationMs: expect.any(Number),
  });
  expect(await run(['sh'], {}, { stdin: 'echo "read ü"' })).toMatchObject({ stdout: 'read ü\n' });
  await expect(run(sh('cat'))).resolves.toMatchObject({ stdout: '' });
  await expect(run(sh('exec <&-'), {}, { stdin: 'x'.repeat(1_000_000) })).resolves.toMatchObject({
    exitCode: 0,
  });
});

test.each([
  ['exit 3', { exitCode: 3, signal: null }, 'sh exited with code 3; stderr ends with:\nwhy'],
  ['kill -9 $$', { exitCode: null, signal: 'SIGKILL' }, 'sh was ended by SIGKILL; stderr ends with:\nwhy'],
])('%s is a failure', async (text, fields, message) => {
  const end = run(sh(`echo why >&2; ${text}`));
  await expect(end).rejects.toMatchObject({
    code: 'COMMAND_FAILED',
    name: 'CommandFailedError',
    message,
    ...fields,
  });
});

test('a failure is tried again as its task says', async () => {
  await using conductor = new Conductor({ agents: { shell: commandAgent({ allow: ['sh'] }) } });
  const retry = { initialInterval: 1, backoffFactor: 1, maxInterval: 1, jitter: false };
  const input = { argv: sh('[ "$JOTTY_ATTEMPT" = 3 ] && echo "$JOTTY_TASK_ID $JOTTY_FENCE"') };
  const id = await conductor.enqueueGoal('run', { id: 'mine', input, maxRetries: 2, retry });
  await conductor.processQueue({ untilEmpty: true });
  expect(await conductor.result(id)).toMatchObject({ stdout: 'mine 3\n' });
});

test.each<[string, CommandAgentOptions['allow'], string[]]>([
  ['another program', ['sh'], ['ls']],
  ['a name that only begins so', ['sh'], ['sh2']],
  ['the path of an allowed name', ['sh'], ['/bin/sh', '-c', 'true']],
  ['another path to an allowed path', ['/bin/sh'], ['/bin/../bin/sh', '-c', 'true']],
  ['the name of an allowed path', ['/bin/sh'], ['sh', '-c', 'true']],
  ['a relative path', ['sh'], ['./sh']],
  ['a path that climbs', ['sh'], ['../sh']],
  ['other arguments', [['sh', '-c', 'true']], ['sh', '-c', 'false']],
  ['fewer arguments', [['sh', '-c']], ['sh']],
  ['what a function turns down', [(argv) => argv.length === 1], ['sh', '-c', 'true']],
  ['what a function answers with more than true', [(() => 'yes') as never], ['sh', '-c', 'true']],
  ['a program that is not there', ['no-such-program'], ['no-such-program']],
  ['a directory', ['/bin'], ['/bin']],
])('%s is refused', async (_, allow, argv) => {
  script('sh2', 'true');
  const shell = commandAgent({ allow, path: `/usr/bin:/bin:${folder}`, roots: [folder] });
  await expect(shell.invoke({ argv })).rejects.toMatchObject({ code: 'COMMAND_REFUSED' });
});

test.each<[string, CommandAgentOptions['allow'], string[]]>([
  ['an allowed path', ['/bin/sh'], ['/bin/sh', '-c', 'true']],
  ['an argv that begins so', [['sh', '-c']], ['sh', '-c', 'true', 'and', 'more']],
  ['what a function accepts', [(argv) => argv[2] === 'true'], ['sh', '-c', 'true']],
])('%s runs', async (_, allow, argv) => {
  await expect(commandAgent({ allow }).invoke({ argv })).resolves.toMatchObject({ exitCode: 0 });
});

test('names are looked up in a fixed path, whatever lies in the directory or is asked of the environment', async () => {
  script('planted', 'echo planted');
  const options = { allow: ['planted'], path: '/usr/bin:/bin', roots: [folder] };
  await expect(run(['planted'], options)).rejects.toMatchObject({ code: 'COMMAND_REFUSED' });
  await expect(run(['planted'], { ...options, path: folder })).resolves.toMatchObject({
    stdout: 'planted\n',
  });
  expect(() => commandAgent({ envAllowed: ['PATH'] })).toThrow('envAllowed[0]');
});

test('relative directories are no part of the path', async () => {
  const { stdout } = await run(sh('echo "$PATH"'), { path: '.::bin:/usr/bin:/bin' });
  expect(stdout).toBe('/usr/bin:/bin\n');
});

test('a program works within the roots alone, whatever its directory is called', async () => {
  mkdirSync(join(folder, 'root', 'inner'), { recursive: true });
  mkdirSync(join(folder, 'root-beside'), { recursive: true });
  symlinkSync(folder, join(folder, 'root', 'out'));
  const roots = [join(folder, 'root')];
  const pwd = async (cwd?: string) =>
    (await run(sh('pwd'), { roots }, cwd === undefined ? {} : { cwd })).stdout;
  expect(await pwd()).toBe(`${roots[0]}\n`);
  expect(await pwd('inner')).toBe(`${roots[0]}/inner\n`);
  expect(await pwd(`${roots[0]}/inner/..`)).toBe(`${roots[0]}\n`);
  for (const cwd of ['..', '/', 'out', 'inner/../../root-beside'])
    await expect(pwd(cwd)).rejects.toMatchObject({ code: 'COMMAND_REFUSED' });
  await expect(pwd('nowhere')).rejects.toMatchObject({ code: 'INVALID_TASK' });
});

test('the environment is scrubbed, and a task sets what it may', async () => {
  process.env.JOTTY_TEST_KEY = 'sk-1';
  const options = { env: { MODE: 'ci' }, envAllowed: ['VERSION'], path: '/usr/bin:/bin' };
  const { stdout } = await run(sh('env'), options, { env: { VERSION: '1.2' } });
  delete process.env.JOTTY_TEST_KEY;
  const names = stdout
    .trim()
    .split('\n')
    .map((line) => line.split('=')[0]);
  const known = [
    'HOME',
    'USER',
    'LOGNAME',
    'TMPDIR',
    'LANG',
    'LC_ALL',
    'TZ',
    'PATH',
    'PWD',
    'SHLVL',
    '_',
    'OLDPWD',
  ];
  expect(names.filter((name) => !known.includes(name!)).toSorted()).toEqual(['MODE', 'VERSION']);
  expect(stdout).toMatch(/^PATH=\/usr\/bin:\/bin$/m);
  for (const name of ['MODE', 'PATH', 'LD_PRELOAD', 'BASH_FUNC_read%%', '__proto__'])
    await expect(run(sh('env'), options, { env: JSON.parse(`{"${name}":"x"}`) })).rejects.toMatchObject({
      code: 'COMMAND_REFUSED',
    });
  for (const name of ['LD_PRELOAD', 'NODE_OPTIONS', 'BASH_ENV', 'JOTTY_FENCE', 'a b'])
    expect(() => commandAgent({ envAllowed: [name] })).toThrow('envAllowed[0]');
});

test('secrets reach the program, and no output, no line of progress and no error', async () => {
  const secrets = { TOKEN: 'tok-aaaa-bbbb', KEY: 'line-one\nline-two', PIN: '1234' };
  const told: unknown[] = [];
  const shell = commandAgent({ allow: ['sh'], secrets, outputBytesMax: 1_000 });
  const writer = (chunk: unknown) => told.push(chunk);
  const text = 'echo "$TOKEN,$PIN"; echo "$KEY" >&2';
  const result = await shell.invoke({ argv: sh(text) }, { writer });
  expect(result).toMatchObject({ stdout: '[TOKEN],1234\n', stderr: '[KEY]\n' });
  expect(told.map((chunk) => (chunk as CommandProgress).line).toSorted()).toEqual([
    '[KEY]',
    '[KEY]',
    '[TOKEN],1234',
  ]);
  await expect(shell.invoke({ argv: sh(`${text}; exit 1`, 'tok-aaaa-bbbb') })).rejects.toMatchObject({
    message: 'sh exited with code 1; stderr ends with:\n[KEY]',
  });
});

test('a cut goes through no secret', async () => {
  const secrets = { TOKEN: 'tok-aaaa-bbbb' };
  // The token ends `after` characters before the end, so that the cut at 30 goes through each part of it.
  for (let after = 15; after <= 30; after++) {
    const text = `printf 'before it %s' "$TOKEN"; printf '%*s' ${after} end`;
    const { stdout, truncated } = await run(sh(text), { secrets, outputBytesMax: 30 });
    expect({ truncated, after }).toEqual({ truncated: true, after });
    expect(stdout).not.toMatch(/tok|aaa|bbb|ok-/);
    expect(stdout.endsWith('end')).toBe(true);
    // What is hidden behind the cut makes the text shorter, and must not pull in what is before it.
    const again = `printf '%s' "$TOKEN"; printf '%*s' ${after - 12} end; printf '%s' "$TOKEN"`;
    const twice = await run(sh(again), { secrets, outputBytesMax: 20 });
    expect(twice.stdout.replaceAll('[TOKEN]', '')).not.toMatch(/to|aa|bb|ok|-/);
  }
  const lines: string[] = [];
  const shell = commandAgent({ allow: ['sh'], secrets });
  const writer = (chunk: unknown) => lines.push((chunk as CommandProgress).line);
  const wide = COMMAND_LINE_CHARS_MAX - 5;
  await shell.invoke({ argv: sh(`printf '%s%*s%s\\n' "$TOKEN" ${wide - 7} x "$TOKEN"`) }, { writer });
  expect(lines).toHaveLength(1);
  expect(lines[0]!.replaceAll('[TOKEN]', '')).not.toMatch(/tok|aaa|bbb/);
});

test('of much output the end is kept, at a character, and it says so', async () => {
  const { stdout, truncated } = await run(sh('yes äöü | head -c 3000000; echo; echo end'), {
    outputBytesMax: 100,
  });
  expect(truncated).toBe(true);
  expect(Buffer.byteLength(stdout)).toBeLessThanOrEqual(100);
  expect(stdout).toMatch(/^[äöü\n]+\uFFFD?\nend\n$/);
  const exact = await run(sh('printf 1234567890'), { outputBytesMax: 10 });
  expect(exact).toMatchObject({ stdout: '1234567890', truncated: false });
});

test('the most output that may be kept can be recorded', async () => {
  const shell = commandAgent({ allow: ['sh'], outputBytesMax: COMMAND_OUTPUT_BYTES_MAX });
  await using conductor = new Conductor({ agents: { shell } });
  const zeros = 'head -c 1000000 /dev/zero';
  const id = await conductor.enqueueGoal('run', { input: { argv: sh(`${zeros}; ${zeros} >&2`) } });
  await conductor.processQueue({ untilEmpty: true });
  const { stdout } = await conductor.result<{ stdout: string }>(id);
  expect(stdout).toHaveLength(COMMAND_OUTPUT_BYTES_MAX);
});

test('lines are progress as they come, for those who read a run, and bounded', async () => {
  await using conductor = new Conductor({ agents: { shell: commandAgent({ allow: ['sh'] }) } });
  const seen: unknown[] = [];
  const input = { argv: sh('echo one; echo two >&2; printf three') };
  for await (const event of conductor.stream('run', { input }))
    if (event.type === 'custom') seen.push(event.data);
  expect(seen).toContainEqual({ type: 'output', stream: 'stderr', line: 'two' });
  expect(seen.filter((data) => (data as CommandProgress).stream === 'stdout')).toEqual([
    { type: 'output', stream: 'stdout', line: 'one' },
    { type: 'output', stream: 'stdout', line: 'three' },
  ]);
  const id = await conductor.enqueueGoal('run', { input });
  const events = (async () => {
    const lines: unknown[] = [];
    for await (const event of conductor.events(id)) if (event.type === 'custom') lines.push(event.data);
    return lines;
  })();
  await conductor.processQueue({ untilEmpty: true });
  expect(await events).toHaveLength(3);
  const many: string[] = [];
  const writer = (chunk: unknown) => many.push((chunk as CommandProgress).line);
  const flood = sh(`printf '%*s\\n' ${COMMAND_LINE_CHARS_MAX + 9} x; yes | head -n ${COMMAND_LINES_MAX + 5}`);
  await commandAgent({ allow: ['sh'] }).invoke({ argv: flood }, { writer });
  expect(many).toHaveLength(COMMAND_LINES_MAX);
  expect(many[0]).toHaveLength(COMMAND_LINE_CHARS_MAX);
});

test('a node hands its config on, and its graph streams the lines', async () => {
  const shell = commandAgent({ allow: ['sh'] });
  const State = Annotation.Root({ out: Annotation<string> });
  const graph = new StateGraph(State)
    .addNode('work', async (_, config) => ({
      out: (await shell.invoke({ argv: sh('echo hi') }, config)).stdout,
    }))
    .addEdge(START, 'work')
    .addEdge('work', END)
    .compile();
  const chunks: unknown[] = [];
  for await (const chunk of await graph.stream({}, { streamMode: 'custom' })) chunks.push(chunk);
  expect(chunks).toEqual([{ type: 'output', stream: 'stdout', line: 'hi' }]);
});

test('a reader that throws harms nobody', async () => {
  const writer = () => {
    throw new Error('gone');
  };
  const end = commandAgent({ allow: ['sh'] }).invoke({ argv: sh('echo hi') }, { writer });
  expect(await end).toMatchObject({ stdout: 'hi\n' });
});

test('stdout that is JSON is a result for conditions', async () => {
  expect(await run(sh('echo \'{"coverage":81}\''), {}, { parse: 'json' })).toMatchObject({
    json: { coverage: 81 },
  });
  expect(await run(sh('echo null'), {}, { parse: 'json' })).toMatchObject({ json: null });
  await expect(run(sh('echo {'), {}, { parse: 'json' })).rejects.toMatchObject({ code: 'COMMAND_FAILED' });
});

test('in a workflow the result takes edges, and what the workflow gives to all its tasks is no typo', async () => {
  const shell = commandAgent({ allow: ['sh'], toResult: ({ stdout }) => ({ coverage: Number(stdout) }) });
  await using conductor = new Conductor({ agents: { shell } });
  const plan = new Workflow('checks')
    .add('tests', {
      goal: 'test',
      input: { argv: sh('echo 79') },
      validate: { where: { 'result.coverage': { gte: 70 } } },
    })
    .add('good', {
      goal: 'go on',
      input: { argv: sh('echo 1') },
      dependsOn: [{ ref: 'tests', where: { 'result.coverage': { gte: 80 } } }],
    })
    .add('bad', {
      goal: 'tell',
      input: { argv: sh('echo 2') },
      dependsOn: [{ ref: 'tests', where: { 'result.coverage': { lt: 80 } } }],
    });
  const submitted = await conductor.submit(plan, { id: 'w', input: { version: '1' } });
  await conductor.processQueue({ untilEmpty: true });
  expect(await submitted.results()).toEqual({ tests: { coverage: 79 }, bad: { coverage: 2 } });
});

test.each<[string, unknown]>([
  ['input.argv', {}],
  ['input.argv', { argv: [] }],
  ['input.argv', { argv: [''] }],
  ['input.argv', { argv: 'sh -c true' }],
  ['input.argv', { argv: ['sh', 'x'.repeat(COMMAND_BYTES_MAX)] }],
  ['input.argv[1]', { argv: ['sh', 1] }],
  ['input.argv[1]', { argv: ['sh', 'a\0b'] }],
  ['input.cwd', { argv: ['sh'], cwd: 1 }],
  ['input.cwd', { argv: ['sh'], cwd: 'a\0' }],
  ['input.stdin', { argv: ['sh'], stdin: {} }],
  ['input.env', { argv: ['sh'], env: [] }],
  ['input.env.A', { argv: ['sh'], env: { A: 1 } }],
  ['input.parse', { argv: ['sh'], parse: 'yaml' }],
  ['input.argvs', { argv: ['sh'], argvs: [] }],
  ['input.healthCheck', { healthCheck: 1 }],
  ['input.healthCheck.uri', { healthCheck: { uri: 'http://localhost/' } }],
])('a malformed %s is refused with its place', async (path, input) => {
  const end = commandAgent({ allow: ['sh'] }).invoke(input as never);
  await expect(end).rejects.toMatchObject({ code: 'INVALID_TASK', path });
});

test.each<[string, object]>([
  ['allow', { allow: 'sh' }],
  ['allow[0]', { allow: ['./sh'] }],
  ['allow[0]', { allow: [[]] }],
  ['allow[1]', { allow: ['sh', 1] }],
  ['roots[0]', { roots: [join(folder, 'nowhere')] }],
  ['roots', { roots: [] }],
  ['env.A', { env: { A: 1 } }],
  ['secrets.a=b', { secrets: { 'a=b': 'x' } }],
  ['outputBytesMax', { outputBytesMax: COMMAND_OUTPUT_BYTES_MAX + 1 }],
  ['graceMs', { graceMs: -1 }],
  ['healthCheckOrigins[0]', { healthCheckOrigins: ['file:///etc'] }],
])('a bad option %s is refused at once', (option, options) => {
  expect(() => commandAgent(options as never)).toThrow(
    expect.objectContaining({ code: 'INVALID_OPTION', message: expect.stringContaining(`${option}: `) }),
  );
});
