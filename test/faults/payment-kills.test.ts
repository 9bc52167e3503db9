import { expect } from 'vitest';
import { onRedis } from './on-redis.ts';
import { eventually } from './processes.ts';
import { scaled, TEST_TIMEOUT } from './scale.ts';
import { type Stage, test } from './stage.ts';
import type { Backend } from './workers/open-queue.ts';
import type { Boundary } from './workers/payment-worker.ts';

const BOUNDARIES: readonly Boundary[] = [
  'started:before',
  'started:after',
  'tool:before',
  'tool:after',
  'done:before',
  'done:after',
  'next',
];
/** Between the start's record and the result's nobody but the other side knows whether the money has gone. */
const DOUBTFUL = BOUNDARIES.slice(1, 5);
const BACKENDS: readonly Backend[] = scaled(['sqlite'], ['sqlite', 'redis', 'hybrid']);

for (const backend of BACKENDS) {
  for (const reconciles of [false, true]) {
    const judge = reconciles ? 'a reconcile hook' : 'a person';
    test(
      `killed at every boundary of a payment, nobody pays twice: ${judge} on ${backend}`,
      TEST_TIMEOUT,
      async ({ stage }) => {
        stage.queueOptions = { leaseMs: 1_000, sweepMs: 50, retry: { initialInterval: 10, maxInterval: 20 } };
        if (backend === 'redis' || backend === 'hybrid') await onRedis(stage, backend);
        await kill(stage, reconciles);
        const asked = await settle(stage, reconciles);
        expect(asked).toEqual(reconciles ? [] : DOUBTFUL.map(nameOf));
      },
    );
  }
}

/** A victim for each boundary, each with an agent and a task of its own. */
async function kill(stage: Stage, reconciles: boolean): Promise<void> {
  const queue = stage.queue();
  await queue.enqueueMany(BOUNDARIES.map((at) => ({ id: nameOf(at), agent: nameOf(at), payload: {} })));
  const victims = BOUNDARIES.map((death) =>
    stage.spawn('payment-worker', { more: { agents: [nameOf(death)], death, reconciles } }),
  );
  for (const victim of victims) {
    await victim.until('ready');
    victim.send({ type: 'start' });
  }
  for (const victim of victims) expect(await victim.exited).toMatchObject({ signal: 'SIGKILL' });
  expect(paid(stage)).toEqual(BOUNDARIES.slice(3).map(nameOf));
}

/** A survivor ends what they left; a person looks whether the money has gone. Returns the tasks that asked. */
async function settle(stage: Stage, reconciles: boolean): Promise<string[]> {
  const queue = stage.queue();
  const survivor = await stage.launch('payment-worker', {
    more: { agents: BOUNDARIES.map(nameOf), reconciles },
  });
  survivor.send({ type: 'start' });
  const asked: string[] = [];
  for (const id of BOUNDARIES.map(nameOf)) {
    const status = async () => (await queue.getTask(id))!.status;
    await eventually(
      async () => ['waiting', 'completed'].includes(await status()),
      20_000,
      () => `${id} neither asks nor ends`,
    );
    const [question] = (await queue.getTask(id))!.interrupts ?? [];
    if (question === undefined) continue;
    asked.push(id);
    expect(question.value).toMatchObject({ jotty: 'once', key: 'tool:pay:c1', starts: 1 });
    await queue.answer(id, question.id, paid(stage).includes(id) ? { happened: 'found' } : 'again');
  }
  for (const id of BOUNDARIES.map(nameOf)) {
    const task = await queue.waitFor(id, { timeoutMs: 20_000 });
    expect(task, id).toMatchObject({ status: 'completed', retryCount: 0 });
    expect(task.crashes, id).toBeGreaterThanOrEqual(1);
    expect(task.effects, id).toMatchObject([{ key: 'tool:pay:c1', state: 'done' }]);
    expect((task.result as { messages: { content: string }[] }).messages.at(-2)?.content, id).toMatch(
      /paid|found/,
    );
  }
  // Each once, and none twice.
  expect(paid(stage)).toEqual(BOUNDARIES.map(nameOf).sort());
  return asked;
}

function paid(stage: Stage): string[] {
  return stage
    .log({ node: 'money' })
    .map(({ id }) => id)
    .sort();
}

function nameOf(boundary: Boundary): string {
  return `pay-${BOUNDARIES.indexOf(boundary)}`;
}
