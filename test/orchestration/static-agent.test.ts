import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { systemClock } from '../../src/clock.ts';
import { type AgentInput, Conductor, type RunEvent, staticAgent } from '../../src/index.ts';
import { MemoryTaskQueue } from '../../src/queue/backends/memory/memory-task-queue.ts';
import { SQLiteTaskQueue } from '../../src/queue/index.ts';
import { deferred } from './graphs.ts';
import { ask, research, reviewer, writer } from './team-agents.ts';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'jotty-team-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const NODES = ['search', 'read', 'outline', 'write', 'look', 'judge'];
const plan = ['research', 'writer', 'reviewer'] as const;

function logged() {
  const log: string[] = [];
  const push = (node: string) => log.push(node);
  return { log, agents: { research: research(push), writer: writer(push), reviewer: reviewer(push) } };
}

describe('a plan of agents', () => {
  test('runs them in order, on channels in common, and records the path', async () => {
    const { log, agents } = logged();
    await using conductor = new Conductor({ agents, mode: 'static', plan });
    const { result, agent } = (await conductor.run('bees')) as { result: unknown; agent: string };
    expect(agent).toBe('static');
    expect(log).toEqual(NODES);
    expect(result).toEqual({
      goal: 'bees',
      notes: ['found bees', 'read it', 'outlined', 'looked'],
      draft: 'draft of found bees, read it, outlined',
      verdict: 'good',
      path: ['research', 'writer', 'reviewer'],
      results: {
        research: { notes: ['found bees', 'read it'] },
        writer: { notes: ['outlined'], draft: 'draft of found bees, read it, outlined' },
        reviewer: { notes: ['looked'], verdict: 'good' },
      },
      endedBy: 'done',
    });
  });

  test('is what queued goals run on by default; a pinned agent and a type still work', async () => {
    const { log, agents } = logged();
    const queue = new MemoryTaskQueue();
    await using conductor = new Conductor({
      agents: { ...agents, research: { graph: agents.research, capabilities: ['search'] } },
      queue,
      mode: 'static',
      plan,
    });
    await conductor.enqueueGoal('all', { id: 'all' });
    await conductor.enqueueGoal('one', { id: 'pinned', agent: 'research' });
    await conductor.enqueueGoal('one', { id: 'typed', agentType: 'search' });
    await conductor.processQueue({ untilEmpty: true, maxConcurrent: 1 });
    expect(log).toHaveLength(10);
    expect(await conductor.result('all')).toMatchObject({ path: plan, verdict: 'good' });
    expect(await conductor.result('pinned')).toEqual({ goal: 'one', notes: ['found one', 'read it'] });
    expect(await queue.getTask('typed')).toMatchObject({ assignedAgent: 'research', status: 'completed' });
    await expect(conductor.enqueueGoal('x', { input: { typo: 1 } })).rejects.toMatchObject({
      code: 'INVALID_TASK',
    });
    await queue.close();
  });

  test('with a list within runs its agents at the same time, and what each adds to a list stays', async () => {
    const { agents } = logged();
    const functions = {
      left: { invoke: ({ results }: AgentInput) => ({ seen: Object.keys(results as object) }) },
      last: {
        invoke: ({ results }: AgentInput) =>
          Object.keys(results as object)
            .sort()
            .join('+'),
      },
    };
    await using conductor = new Conductor({
      agents: { ...agents, ...functions },
      mode: 'static',
      plan: ['research', ['writer', 'reviewer', 'left'], 'last'],
    });
    const { result } = (await conductor.run('bees')) as unknown as {
      result: { notes: string[]; path: string[] };
    };
    expect(result).toMatchObject({
      results: { last: 'left+research+reviewer+writer', left: { seen: ['research'] } },
    });
    expect([...result.notes].sort()).toEqual(['found bees', 'looked', 'outlined', 'read it']);
    expect(result.path).toHaveLength(5);
  });

  test('as edges with conditions takes those that hold, also back', async () => {
    const drafts: string[] = [];
    const agents = {
      writer: {
        invoke: ({ results }: AgentInput) => `draft ${drafts.push(JSON.stringify(results))}`,
      },
      critic: { invoke: () => (drafts.length < 3 ? 'again' : 'good') },
      printer: { invoke: () => 'printed' },
    };
    await using conductor = new Conductor({
      agents,
      mode: 'static',
      plan: [
        { to: 'writer' },
        { from: 'writer', to: 'critic' },
        { from: 'critic', to: 'writer', when: ({ results }) => results.critic === 'again' },
        { from: 'critic', to: 'printer', when: ({ results }) => results.critic === 'good' },
      ],
    });
    const path = ['writer', 'critic', 'writer', 'critic', 'writer', 'critic', 'printer'];
    expect(await conductor.run('go')).toMatchObject({ result: { path, results: { printer: 'printed' } } });
  });

  test('may name an agent twice, and an agent that is called like a channel', async () => {
    const draft = { invoke: () => 'x' };
    const { agents } = logged();
    await using conductor = new Conductor({
      agents: { draft, writer: agents.writer },
      mode: 'static',
      plan: ['draft', 'writer', 'draft'],
    });
    expect(await conductor.run('go')).toMatchObject({ result: { path: ['draft', 'writer', 'draft'] } });
  });

  test('is refused where it cannot be', () => {
    const { agents } = logged();
    const make = (given: unknown) => () => new Conductor({ agents, mode: 'static', plan: given as never });
    for (const wrong of [
      [],
      undefined,
      ['nobody'],
      ['writer', [], 'reviewer'],
      [{ from: 'writer', to: 'writer' }].slice(1),
      'writer',
    ]) {
      expect(make(wrong)).toThrow(/plan/);
    }
    expect(
      make([
        { from: 'writer', to: 'reviewer' },
        { from: 'reviewer', to: 'writer' },
      ]),
    ).toThrow(/circle/);
    // @ts-expect-error the names are known
    expect(() => new Conductor({ agents, mode: 'static', plan: ['nobody'] })).toThrow(/nobody/);
    // @ts-expect-error a plan is needed
    expect(() => new Conductor({ agents, mode: 'static' })).toThrow(/plan/);
    expect(
      () => new Conductor({ agents: { static: { invoke: () => 1 } }, mode: 'static', plan: ['static'] }),
    ).toThrow(/static/);
  });

  test('is an agent among others, also within another plan', async () => {
    const { log, agents } = logged();
    const { reviewer: last, ...first } = agents;
    const pair = staticAgent({ agents: first, plan: ['research', 'writer'], capabilities: ['report'] });
    await using conductor = new Conductor({
      agents: { pair, whole: staticAgent({ agents: { pair, last }, plan: ['pair', 'last'] }) },
    });
    expect(await conductor.run('bees', { agentType: 'report' })).toMatchObject({
      agent: 'pair',
      result: { path: ['research', 'writer'] },
    });
    log.length = 0;
    expect(await conductor.run('bees', { agent: 'whole' })).toMatchObject({
      result: {
        path: ['pair', 'last'],
        verdict: 'good',
        results: { pair: { path: ['research', 'writer'] } },
      },
    });
    expect(log).toEqual(NODES);
  });
});

describe('a plan that is interrupted', () => {
  test('by an error in the third agent goes on in its node that failed', async () => {
    const log: string[] = [];
    const push = (node: string) => log.push(node);
    let failures = 2;
    const judge = () => {
      if (failures-- > 0) throw new Error('no');
      return 'good';
    };
    const queue = new MemoryTaskQueue({ retry: { initialInterval: 0, jitter: false } });
    const agents = { research: research(push), writer: writer(push), reviewer: reviewer(push, judge) };
    await using conductor = new Conductor({ agents, queue, mode: 'static', plan });
    const id = await conductor.enqueueGoal('go');
    await conductor.processQueue({ untilEmpty: true });
    expect(await conductor.result(id)).toMatchObject({ path: plan, verdict: 'good' });
    expect(log).toEqual([...NODES, 'judge', 'judge']);
    await queue.close();
  });

  test('by a question in an agent waits without a slot, over a restart', async () => {
    const path = join(folder, 'tasks.db');
    const log: string[] = [];
    const push = (node: string) => log.push(node);
    const make = (queue: SQLiteTaskQueue) =>
      new Conductor({
        agents: { research: research(push), writer: writer(push), reviewer: reviewer(push, ask('publish?')) },
        queue,
        mode: 'static',
        plan,
      });
    {
      await using queue = new SQLiteTaskQueue({ path });
      await using conductor = make(queue);
      await conductor.enqueueGoal('go', { id: 'team' });
      expect(await conductor.processQueue({ untilEmpty: true })).toMatchObject({ waiting: 1 });
    }
    await using queue = new SQLiteTaskQueue({ path });
    await using conductor = make(queue);
    const [question] = (await queue.getTask('team'))!.interrupts!;
    expect(question).toMatchObject({ value: 'publish?' });
    await conductor.answer('team', question!.id, 'yes');
    await conductor.processQueue({ untilEmpty: true });
    expect(await conductor.result('team')).toMatchObject({ path: plan, verdict: 'yes' });
    expect(log.slice(0, 6)).toEqual(NODES);
    expect(new Set(log.slice(6))).toEqual(new Set(['judge']));
  });

  test('by questions of two agents at the same time gives each its own answer', async () => {
    const queue = new MemoryTaskQueue();
    const agents = {
      left: reviewer(() => {}, ask('left?')),
      right: reviewer(() => {}, ask('right?')),
    };
    await using conductor = new Conductor({ agents, queue, mode: 'static', plan: [['left', 'right']] });
    const id = await conductor.enqueueGoal('go');
    await conductor.processQueue({ untilEmpty: true });
    for (const { id: question, value } of (await queue.getTask(id))!.interrupts!) {
      await conductor.answer(id, question, `to ${String(value)}`);
      await conductor.processQueue({ untilEmpty: true });
    }
    expect(await conductor.result(id)).toMatchObject({
      results: { left: { verdict: 'to left?' }, right: { verdict: 'to right?' } },
    });
    await queue.close();
  });

  test('by a drain hands back between nodes, uncharged, and goes on there', async () => {
    const queue = new MemoryTaskQueue();
    const log: string[] = [];
    const begun = deferred();
    const gate = deferred();
    const find = () => {
      begun.resolve();
      return gate.promise;
    };
    const push = (node: string) => log.push(node);
    const agents = { research: research(push, find), writer: writer(push), reviewer: reviewer(push) };
    await using conductor = new Conductor({ agents, queue, mode: 'static', plan });
    const id = await conductor.enqueueGoal('go');
    const stop = new AbortController();
    const stopped = conductor.processQueue({ signal: stop.signal });
    await begun.promise;
    stop.abort();
    gate.resolve();
    await stopped;
    expect(await queue.getTask(id)).toMatchObject({ status: 'pending', retryCount: 0 });
    expect(log).toEqual(['search']);
    await conductor.processQueue({ untilEmpty: true });
    expect(await conductor.result(id)).toMatchObject({ path: plan, verdict: 'good' });
    expect(log).toEqual(NODES);
    await queue.close();
  });

  test('by the time-out of one agent fails for that', async () => {
    const slow = {
      graph: reviewer(
        () => {},
        () => new Promise(() => {}),
      ),
      timeoutMs: 20,
    };
    await using conductor = new Conductor({ agents: { slow }, mode: 'static', plan: ['slow'] });
    await expect(conductor.run('go')).rejects.toThrow(/time/i);
  });

  test.each(['static', 'dynamic'])(
    'by kill -9 in the third agent of a %s one repeats only the node in flight',
    async (mode) => {
      const path = join(folder, 'tasks.db');
      const worker = fileURLToPath(new URL('./team-worker.ts', import.meta.url));
      const child = spawn(process.execPath, ['--import', 'tsx', worker, path, mode], {
        stdio: ['ignore', 'pipe', 'inherit'],
      });
      const before: string[] = [];
      for await (const line of createInterface({ input: child.stdout })) {
        before.push(line);
        if (line === 'judge') child.kill('SIGKILL');
      }
      if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
      expect(before).toEqual(NODES);
      // The lease of the dead has run out by this clock.
      const clock = { ...systemClock, now: () => systemClock.now() + 600_000 };
      await using queue = new SQLiteTaskQueue({
        path,
        clock,
        sweepMs: 20,
        retry: { initialInterval: 0, jitter: false },
      });
      const { log, agents } = logged();
      await using conductor =
        mode === 'static'
          ? new Conductor({ agents, queue, mode, plan })
          : new Conductor({
              agents,
              queue,
              mode: 'dynamic',
              router: ({ path: taken }) => plan[taken.length] ?? '__end__',
            });
      await conductor.processQueue({ untilEmpty: true });
      expect(await conductor.result('team')).toMatchObject({ path: plan, verdict: 'good' });
      expect(log).toEqual(['judge']);
      expect(await queue.getTask('team')).toMatchObject({ crashes: 1 });
    },
  );
});

test('the events name each agent as it begins, and its nodes in its namespace', async () => {
  const { agents } = logged();
  await using conductor = new Conductor({ agents, mode: 'static', plan });
  const events: RunEvent[] = [];
  for await (const event of conductor.stream('go')) events.push(event);
  const begun = events.filter((event) => event.type === 'custom').map(({ data }) => data);
  expect(begun).toEqual(plan.map((agent, i) => ({ jotty: 'agent', agent, step: i + 1 })));
  const judged = events.find((event) => event.type === 'node' && event.node === 'judge');
  expect(judged).toMatchObject({ namespace: [expect.stringMatching(/^reviewer:/)] });
});
