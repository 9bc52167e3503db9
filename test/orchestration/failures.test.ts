import { Annotation, END, START, StateGraph } from '@langchain/langgraph';
import { describe, expect, test } from 'vitest';
import {
  type AttemptInfo,
  Conductor,
  type ConductorOptions,
  RateLimitError,
  TimeoutError,
} from '../../src/index.ts';
import { classOf } from '../../src/orchestration/failure-class.ts';
import { MemoryTaskQueue } from '../../src/queue/index.ts';

const State = Annotation.Root({
  goal: Annotation<string>(),
  first: Annotation<string>(),
  by: Annotation<string>(),
});
type Config = { configurable?: Record<string, unknown> };

/** first → second; `deed` is the second one's, and may fail. */
function twoSteps(name: string, log: string[], deed: (info: AttemptInfo, config: Config) => unknown) {
  return new StateGraph(State)
    .addNode(`${name}-1`, () => {
      log.push(`${name}-1`);
      return { first: name };
    })
    .addNode(`${name}-2`, async (_state, config) => {
      log.push(`${name}-2`);
      return {
        by: String(
          (await deed((config as Config).configurable?.jotty as AttemptInfo, config as Config)) ?? name,
        ),
      };
    })
    .addEdge(START, `${name}-1`)
    .addEdge(`${name}-1`, `${name}-2`)
    .addEdge(`${name}-2`, END)
    .compile();
}

async function run(options: Omit<ConductorOptions, 'queue'>) {
  const queue = new MemoryTaskQueue({ retry: { initialInterval: 1, maxInterval: 1, jitter: false } });
  const conductor = new Conductor({ ...options, queue } as ConductorOptions);
  await conductor.enqueueGoal('go', { id: 't' });
  const process = async () => {
    await conductor.processQueue({ untilEmpty: true });
    return (await queue.getTask('t'))!;
  };
  return { queue, conductor, process, task: await process() };
}

function failing(error: () => Error, times = 1) {
  let left = times;
  return (): void => {
    if (left-- > 0) throw error();
  };
}

const coded = (code: string) => Object.assign(new Error(`no ${code}`), { code });

describe('a failure', () => {
  test('is waited out, and the next attempt sees what went wrong', async () => {
    const seen: unknown[] = [];
    const deed = failing(() => coded('ECONNRESET'), 2);
    const agent = twoSteps('a', [], (info) => {
      seen.push(
        info.failures.map((failure) => [failure.class, failure.message, failure.agent, failure.attempt]),
      );
      deed();
    });
    const { task } = await run({ agents: { agent } });
    expect(task).toMatchObject({ status: 'completed', retryCount: 2 });
    const first = ['transient', 'no ECONNRESET', 'agent', 1];
    expect(seen).toEqual([[], [first], [first, [...first.slice(0, 3), 2]]]);
  });

  test('of capability goes to another agent, which begins anew', async () => {
    const log: string[] = [];
    const weak = twoSteps('weak', log, () => {
      throw coded('CAPABILITY');
    });
    const strong = twoSteps(
      'strong',
      log,
      failing(() => new Error('once')),
    );
    const { task } = await run({ agents: { weak, strong } });
    expect(log).toEqual(['weak-1', 'weak-2', 'strong-1', 'strong-2', 'strong-2']);
    expect(task).toMatchObject({
      status: 'completed',
      assignedAgent: 'strong',
      result: { first: 'strong', by: 'strong' },
    });
    expect(task.failures).toMatchObject([
      { n: 1, class: 'capability', agent: 'weak', step: 'otherAgent' },
      { n: 2, class: 'unknown', agent: 'strong', step: 'wait' },
    ]);
  });

  test('without another agent stays with its own', async () => {
    const agent = twoSteps(
      'a',
      [],
      failing(() => coded('CAPABILITY')),
    );
    const { task } = await run({ agents: { agent } });
    expect(task).toMatchObject({ status: 'completed', retryCount: 1 });
  });

  test('may call for another model, which the node finds in its config', async () => {
    const models: unknown[] = [];
    const deed = failing(() => coded('OUTPUT_PARSING_FAILURE'));
    const graph = twoSteps('a', [], ({ model }, { configurable }) => {
      models.push([model, configurable?.model]);
      deed();
    });
    await run({ agents: { agent: { graph, onFailure: { badOutput: { model: 'large' } } } } });
    expect(models).toEqual([
      [undefined, undefined],
      ['large', 'large'],
    ]);
  });

  test.each([
    ['again', 'completed'],
    ['giveUp', 'failed'],
  ])('is put to a person, who says %s', async (choice, status) => {
    const log: string[] = [];
    const agent = twoSteps(
      'a',
      log,
      failing(() => Object.assign(new Error('tool broke'), { name: 'ToolException' })),
    );
    const { conductor, process, task } = await run({ agents: { agent }, onFailure: { tool: 'ask' } });
    expect(task).toMatchObject({ status: 'waiting', retryCount: 0 });
    expect(task.interrupts).toMatchObject([
      { id: 'failure:1', value: { jotty: 'failure', class: 'tool', message: 'tool broke', agent: 'agent' } },
    ]);
    await conductor.answer('t', 'failure:1', choice);
    const end = await process();
    expect(end.status).toBe(status);
    expect(log).toEqual(choice === 'again' ? ['a-1', 'a-2', 'a-2'] : ['a-1', 'a-2']);
    if (status === 'failed') expect(end.error?.message).toBe('tool broke');
  });

  test('is given up where that was said, with retries left', async () => {
    const agent = twoSteps(
      'a',
      [],
      failing(() => new Error('why')),
    );
    const { task } = await run({ agents: { agent }, onFailure: { unknown: 'giveUp' } });
    expect(task).toMatchObject({ status: 'failed', retryCount: 0, failures: [{ step: 'giveUp' }] });
  });

  test('is classified by the agent first, then by the conductor, then by its shape', async () => {
    const deed = failing(() => coded('ECONNRESET'), 3);
    const graph = twoSteps('a', [], deed);
    const { task } = await run({
      agents: {
        agent: { graph, classify: (_error, { attempt }) => (attempt === 1 ? 'tool' : undefined) },
      },
      classify: (_error, { attempt }) => {
        if (attempt === 2) return 'badOutput';
        throw new Error('no opinion');
      },
    });
    expect(task.failures?.map((failure) => failure.class)).toEqual(['tool', 'badOutput', 'transient']);
  });

  test('for too many calls is none, until something else was asked for', async () => {
    const slow = () => new RateLimitError('slow', { retryAfterMs: 1 });
    const quiet = await run({ agents: { agent: twoSteps('a', [], failing(slow)) } });
    expect(quiet.task).toMatchObject({ status: 'completed', retryCount: 0 });
    expect(quiet.task.failures).toBeUndefined();
    const agent = twoSteps('a', [], failing(slow));
    const other = await run({ agents: { agent }, onFailure: { rateLimit: { model: 'spare' } } });
    expect(other.task).toMatchObject({
      status: 'completed',
      retryCount: 1,
      failures: [{ class: 'rateLimit' }],
    });
  });

  test('is kept short, and of many the newest', async () => {
    const agent = twoSteps(
      'a',
      [],
      failing(() => new Error('x'.repeat(5_000)), 12),
    );
    const queue = new MemoryTaskQueue({ retry: { initialInterval: 1, maxInterval: 1 } });
    await using conductor = new Conductor({ agents: { agent }, queue });
    await conductor.enqueueGoal('go', { id: 't', maxRetries: 20 });
    await conductor.processQueue({ untilEmpty: true });
    const { failures = [] } = (await queue.getTask('t'))!;
    expect(failures.map(({ n }) => n)).toEqual([3, 4, 5, 6, 7, 8, 9, 10, 11, 12]);
    expect(Buffer.byteLength(failures[0]!.message)).toBeLessThanOrEqual(500);
  });

  test('of a class or with a step that there is not is refused', () => {
    const agent = twoSteps('a', [], () => {});
    for (const onFailure of [{ odd: 'wait' }, { tool: 'odd' }, { tool: {} }] as never[]) {
      expect(() => new Conductor({ agents: { agent }, onFailure })).toThrow(/onFailure/);
      expect(() => new Conductor({ agents: { agent: { graph: agent, onFailure } } })).toThrow(
        /agents.agent.onFailure/,
      );
    }
  });
});

test.each([
  [new TimeoutError('late'), 'transient'],
  [Object.assign(new Error('x'), { status: 503 }), 'transient'],
  [new Error('fetch failed', { cause: coded('UND_ERR_SOCKET') }), 'transient'],
  [Object.assign(new Error('x'), { status: 429 }), 'rateLimit'],
  [Object.assign(new Error('x'), { lc_error_code: 'OUTPUT_PARSING_FAILURE' }), 'badOutput'],
  [Object.assign(new Error('x'), { name: 'ToolInvocationError' }), 'tool'],
  [coded('context_length_exceeded'), 'capability'],
  [Object.assign(coded('insufficient_quota'), { status: 429 }), 'budget'],
  [Object.assign(new Error('x'), { status: 402 }), 'budget'],
  [new Error('x'), 'unknown'],
  ['text', 'unknown'],
])('%s is %s', (error, expected) => {
  expect(classOf(error)).toBe(expected);
});
