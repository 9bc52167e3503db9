import { expect, test } from 'vitest';
import { Workflow } from '../../src/index.ts';

const goal = 'go';

function thrown(run: () => unknown): Record<string, unknown> {
  try {
    run();
  } catch (error) {
    return error as Record<string, unknown>;
  }
  throw new Error('expected a refusal');
}

test('a ref that is there already, or none, is refused with its place', () => {
  const workflow = new Workflow('w').add('a', { goal });
  expect(thrown(() => workflow.add('a', { goal }))).toMatchObject({
    code: 'INVALID_TASK',
    path: 'tasks[1].ref',
  });
  expect(thrown(() => workflow.add('a:b', { goal }))).toMatchObject({ path: 'tasks[1].ref' });
  expect(thrown(() => workflow.add('b', { goal, dependsOn: [{ on: 'failure' } as never] }))).toMatchObject({
    path: 'tasks[1].dependsOn[0]',
  });
  expect(thrown(() => workflow.add('b', { goal, dependsOn: 'a' as never }))).toMatchObject({
    path: 'tasks[1].dependsOn',
  });
  expect(thrown(() => workflow.add('b', null as never))).toMatchObject({ path: 'tasks[1]' });
  expect(thrown(() => new Workflow('no spaces please'))).toMatchObject({ code: 'INVALID_OPTION' });
  expect(workflow.tasks()).toHaveLength(1);
});

test('an unknown ref, a cycle, nothing at all and too much are refused as a whole', () => {
  const unknown = new Workflow<string>('w').add('a', { goal }).add('b', { goal, dependsOn: ['a', 'x'] });
  expect(thrown(() => unknown.check())).toMatchObject({
    code: 'UNKNOWN_DEPENDENCY',
    path: 'tasks[1].dependsOn[1]',
    dependencyId: 'x',
  });
  const round = new Workflow<string>('w')
    .add('a', { goal, dependsOn: [{ ref: 'b', on: 'completion' }] })
    .add('b', { goal, dependsOn: ['a'] });
  expect(thrown(() => round.check())).toMatchObject({
    code: 'DEPENDENCY_CYCLE',
    path: 'tasks[0].dependsOn[0]',
    cycle: ['a', 'b', 'a'],
  });
  expect(thrown(() => new Workflow('w').check())).toMatchObject({ code: 'INVALID_TASK' });
  const large = new Workflow<string>('w');
  for (let i = 0; i <= 10_000; i++) large.add(`t${i}`, { goal });
  expect(thrown(() => large.check())).toMatchObject({ code: 'TOO_LARGE', bound: 'BATCH_TASKS_MAX' });
});

test('a nested workflow has its refs prefixed, and begins where its dependencies hold', () => {
  const inner = new Workflow('inner')
    .add('x', { goal })
    .add('y', { goal, dependsOn: ['x'] })
    .add('always', { goal, dependsOn: [{ ref: 'x', on: 'completion' }] });
  const outer = new Workflow('outer')
    .add('a', { goal })
    .addWorkflow('in', inner, { dependsOn: ['a'] })
    .add('z', { goal, dependsOn: ['in.y'] });
  outer.check();
  expect(outer.tasks().map(({ ref, dependsOn }) => [ref, dependsOn.map((edge) => edge.ref)])).toEqual([
    ['a', []],
    ['in.x', ['a']],
    ['in.y', ['in.x']],
    ['in.always', ['a', 'in.x']],
    ['z', ['in.y']],
  ]);
});

test('the types know the refs', () => {
  const workflow = new Workflow('w').add('a', { goal });
  // @ts-expect-error there is no b yet
  workflow.add('c', { goal, dependsOn: ['b'] });
  // @ts-expect-error nor here
  workflow.add('d', { goal, dependsOn: [{ ref: 'b', on: 'failure' }] });
  workflow.add('e', { goal, dependsOn: ['a', { ref: 'a', where: { 'result.x': { eq: 1 } } }] });
  expect(thrown(() => workflow.check())).toMatchObject({ code: 'UNKNOWN_DEPENDENCY' });
});

test('a plan is drawn, whatever its conditions say', () => {
  const workflow = new Workflow('w')
    .add('a', { goal, agent: 'runner' })
    .add('b', { goal, dependsOn: [{ ref: 'a', where: { 'result.x': { eq: '"]|\n' } } }] })
    .add('c', { goal, dependsOn: ['a', { ref: 'b', on: 'failure' }, { ref: 'b', on: { custom: 'good' } }] });
  expect(workflow.toMermaid()).toBe(
    [
      'flowchart TD',
      '  t0["a"]',
      '  t1["b"]',
      '  t2["c"]',
      '  t0 -->|"result.x eq #34;#92;#34;#93;#124;#92;n#34;"| t1',
      '  t0 --> t2',
      '  t1 -->|"failure"| t2',
      '  t1 -->|"good"| t2',
      '',
    ].join('\n'),
  );
  expect(JSON.parse(JSON.stringify(workflow))).toEqual({
    name: 'w',
    tasks: [
      { ref: 'a', agent: 'runner', dependsOn: [] },
      { ref: 'b', dependsOn: [{ ref: 'a', where: { 'result.x': { eq: '"]|\n' } } }] },
      {
        ref: 'c',
        dependsOn: [{ ref: 'a' }, { ref: 'b', on: 'failure' }, { ref: 'b', on: { custom: 'good' } }],
      },
    ],
  });
});
