import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { ExampleProcess } from './example-process.ts';

test('quick-start runs two agents, the second after the first', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'jotty-quick-start-'));
  try {
    const example = new ExampleProcess('quick-start.ts', [join(folder, 'tasks.db')]);
    const { code, output, errors } = await example.end();
    expect(errors).toBe('');
    expect(code).toBe(0);
    expect(output).toMatch(/found: Survey task queues[\s\S]*wrote: Write it up/);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test('approval asks, survives the end of its process, and goes on after the answer', async () => {
  const { code, output, errors } = await new ExampleProcess('approval.ts').end();
  expect(errors).toBe('');
  expect(code).toBe(0);
  expect(output.match(/writing the draft/g)).toHaveLength(1);
  expect(output).toMatch(/the task is waiting\nasked: .*Send this\?/);
  expect(output).toContain('sent: Dear customers, we moved to a new address.');
});

test('retry-and-resume runs the finished node once and the failing one until it succeeds', async () => {
  const { code, output, errors } = await new ExampleProcess('retry-and-resume.ts').end();
  expect(errors).toBe('');
  expect(code).toBe(0);
  expect(output.match(/download:/g)).toHaveLength(1);
  expect(output.match(/summarise: call \d (fails|succeeds)/g)).toEqual([
    'summarise: call 1 fails',
    'summarise: call 2 fails',
    'summarise: call 3 succeeds',
  ]);
  expect(output).toContain('40 pages in one sentence');
  expect(output).toMatch(/retrying → .*retrying → .*completed$/m);
});

test('several-agents routes by type, orders by priority and respects dependencies', async () => {
  const { code, output, errors } = await new ExampleProcess('several-agents.ts').end();
  expect(errors).toBe('');
  expect(code).toBe(0);
  expect(output).toContain(
    [
      'coder    write the schema',
      'coder    write the api',
      'reviewer review both',
      'helper   tidy the changelog',
      'helper   collect the logs',
    ].join('\n'),
  );
  expect(output).toContain('schema: best first, coder before helper');
});

test('release-workflow takes the branch, retries what failed, and draws itself', async () => {
  const { code, output, errors } = await new ExampleProcess('release-workflow.ts').end();
  expect(errors).toBe('');
  expect(code).toBe(0);
  expect(output.match(/^publish it$/gm)).toHaveLength(2);
  expect(output).not.toContain('write more tests');
  expect(output).toMatch(/the release has failed\npublish it\ntell everybody\nthe release has completed/);
  expect(output).toContain('1.2.0 is out, 91 % of it tested');
  expect(output).toContain('t0 -->|"result.coverage gte 80"| t2');
});

test('time-travel reads the events of a run, and goes on from before its mistake', async () => {
  const { code, output, errors } = await new ExampleProcess('time-travel.ts').end();
  expect(errors).toBe('');
  expect(code).toBe(0);
  expect(output.match(/plan: slow/g)).toHaveLength(1);
  expect(output).toContain(
    [
      '1 pending',
      '2 in_progress',
      '3 plan started',
      '4 plan ended',
      '5 write started',
      '6 in a rude tone',
      '7 write ended',
      '8 completed',
    ].join('\n'),
  );
  expect(output).toContain('A rude letter: ask for a refund');
  expect(output).toContain('A friendly letter: ask for a refund');
});

test('budget stops at its tokens with parallel calls, and goes on when it is raised', async () => {
  const { code, output, errors } = await new ExampleProcess('budget.ts').end();
  expect(errors).toBe('');
  expect(code).toBe(0);
  expect(output).toContain('the budget of task:the goal is spent: 1000 of 1000 tokens; raise it, or stop?');
  expect(output).toContain('calls made: 4');
  expect(output).toContain('6 pages, 6 calls, 1500 tokens, $0.0033');
});

test('isolated-agent cancels what heeds nothing', async () => {
  const { code, output, errors } = await new ExampleProcess('isolated-agent.ts').end();
  expect(errors).toBe('');
  expect(code).toBe(0);
  expect(output).toContain('cancelled: long enough; its process was killed');
});
