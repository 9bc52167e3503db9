import { Annotation, START, StateGraph } from '@langchain/langgraph';
import { expect, test } from 'vitest';
import {
  Conductor,
  enqueueChildren,
  once,
  type RunConfig,
  Workflow,
  waitForChildren,
} from '../../src/index.ts';
import { HybridTaskQueue, RedisTaskQueue } from '../../src/queue/index.ts';
import { sharedRedis } from '../redis/shared-redis.ts';
import { until } from '../redis/until.ts';
import { threeSteps, twoQuestions } from './graphs.ts';
import { JumpingClock } from './jumping-clock.ts';

const redis = sharedRedis();
const DAY_MS = 24 * 3_600_000;

const Said = Annotation.Root({
  goal: Annotation<string>,
  said: Annotation<string[]>({ reducer: (left, right) => [...left, ...right], default: () => [] }),
});

const talk = new StateGraph(Said)
  .addNode('turn', async ({ goal }, config) => ({
    said: [await once(config as RunConfig, 'say', () => goal)],
  }))
  .addEdge(START, 'turn')
  .compile();

const family = new StateGraph(Said)
  .addNode('turn', async (_, config) => {
    const ids = await enqueueChildren(config as RunConfig, [{ goal: 'child', agent: 'talk' }]);
    const ends = await waitForChildren(config as RunConfig, ids);
    return { said: ends.map(({ status }) => status) };
  })
  .addEdge(START, 'turn')
  .compile();

const release = new Workflow('release')
  .add('build', { goal: 'build', agent: 'steps' })
  .add('gate', { approval: { question: 'Ship it?' }, dependsOn: ['build'] })
  .add('ship', { goal: 'ship', agent: 'fails', dependsOn: ['gate'], maxRetries: 0 })
  .add('sorry', { goal: 'sorry', agent: 'steps', dependsOn: [{ ref: 'ship', on: 'failure' }] });

/** Something of everything that leaves something in the store. */
async function useEverything(conductor: Conductor, queue: RedisTaskQueue | HybridTaskQueue): Promise<void> {
  const run = () => conductor.processQueue({ untilEmpty: true });
  await conductor.submit(release, { id: 'w', budget: { tokens: 1_000 } });
  await conductor.enqueueGoals(
    ['one', 'two'].map((goal) => ({ goal, id: goal, agent: 'talk', threadId: 'talk-1' })),
  );
  const limits = [{ key: 'tenant', max: 1, rate: { max: 100, perMs: 60_000 } }];
  for (const fairKey of ['a', 'b', 'c'])
    await conductor.enqueueGoal('fair', {
      agent: 'steps',
      fairKey,
      limits,
      budget: { tokens: 10, key: 'team' },
    });
  await conductor.enqueueGoal('family', { agent: 'family' });
  const asking = await conductor.enqueueGoal('go', { agent: 'ask' });
  const cancelled = await conductor.enqueueGoal('late', { agent: 'steps', delayMs: DAY_MS });
  await conductor.cancel(cancelled);
  await conductor.schedules.upsert('minutely', { goal: 'tick', agent: 'steps', everyMs: 60_000 });
  await conductor.schedules.runNow('minutely');
  await run();
  await conductor.approve('w:gate', { by: 'ann' });
  for (const answer of ['Ada', 'blue']) {
    const [question] = (await queue.getTask(asking))!.interrupts!;
    await conductor.answer(asking, question!.id, answer);
    await run();
  }
  const from = (await conductor.checkpoints('w:build')).at(-3)!.id;
  await conductor.rerun('w:build', { from });
  await run();
  await queue.pause({ agentType: 'x' });
  await queue.resume({ agentType: 'x' });
  await conductor.schedules.remove('minutely');
}

test.each([RedisTaskQueue, HybridTaskQueue].map((Queue) => [Queue.name, Queue] as const))(
  'what was kept for tasks, workflows, limits, schedules, threads and workers is gone when they are (%s)',
  async (_, Queue) => {
    const prefix = redis.prefix();
    const clock = new JumpingClock();
    const options = { clock, retentionMs: 60_000, sweepMs: 1_000 };
    const at = { url: redis.url, prefix, durability: { atLeast: 'none' } } as const;
    await using queue = new Queue({ ...at, ...options });
    const agents = {
      talk,
      family,
      ask: twoQuestions(),
      steps: threeSteps([]).compile(),
      fails: { invoke: () => Promise.reject(new Error('no')) },
    };
    const conductor = new Conductor({ agents, queue });
    await useEverything(conductor, queue);
    expect((await queue.listTasks({ limit: 100 })).tasks.length).toBeGreaterThan(12);
    const registry = `{${prefix}}:registry:`;
    const left = async () => {
      const keys = await redis.server.ask<string[]>('KEYS', `*${prefix}*`);
      const sections = keys
        .filter((key) => key.startsWith(registry))
        .map((key) => key.slice(registry.length));
      // What is over is removed when its section is read, or written, the next time.
      for (const section of sections) await queue.registry.entries(section, clock.now());
      return redis.server.ask<string[]>('KEYS', `*${prefix}*`);
    };
    // Counters, throughput, a day of analytics, and what a key has spent in all.
    const lasting = ['c', 'minutes', 'registry:account:key:team'].map((name) => `{${prefix}}:${name}`);
    await until(async () => {
      clock.jump(DAY_MS);
      const keys = (await left()).filter((key) => !key.includes(':analytics.'));
      return keys.every((key) => lasting.includes(key));
    }, `something is left of it in ${prefix}`);
    await conductor.close();
  },
);
