import { expect } from 'vitest';
import type { StoredTaskQueue } from '../../src/queue/index.ts';
import { audit, lineage } from './audit.ts';
import { type Child, eventually } from './processes.ts';
import { scaled, TEST_TIMEOUT } from './scale.ts';
import { type Stage, test } from './stage.ts';
import type { Death } from './workers/deadly-saver.ts';

const ASKING = 'n3';
const NODES = ['n1', 'n2', 'n3', 'n4', 'n5'];
const MEMBERS = ['first', 'second', 'third'];
/** More writes than a run makes: the search ends at the first death that does not come. */
const CALLS_MAX = 80;
/** The five nodes as one graph, and as three agents. The short storm kills at each so many writes, beginning with one of the first. */
const AGENTS = [
  // Five nodes and an interrupt: seven checkpoints and the writes between them.
  { agent: 'five', path: NODES, step: scaled(2, 1), least: 12 },
  { agent: 'staticTeam', path: MEMBERS, step: scaled(6, 1), least: 20 },
  { agent: 'dynamicTeam', path: MEMBERS, step: scaled(6, 1), least: 20 },
] as const;
type Five = (typeof AGENTS)[number];
const WHEN: readonly Death['when'][] = scaled(['before'], ['before', 'after']);

test.for(AGENTS)(
  'R28: killed at every write of a checkpoint, a run of $agent resumes, repeats at most one node and keeps the approval',
  TEST_TIMEOUT,
  async (five, { stage }) => {
    stage.queueOptions = { leaseMs: 500, sweepMs: 50, retry: { initialInterval: 10, maxInterval: 20 } };
    const queue = stage.queue();
    const survivor = await stage.launch('graph-worker', { more: { autostart: false } });
    for (const when of WHEN) {
      const survived = await dieAtEveryCall(stage, queue, survivor, five, when);
      expect(survived, `deaths ${when} a write`).toBeGreaterThanOrEqual(five.least);
    }
    await audit(stage.database);
  },
);

async function dieAtEveryCall(
  stage: Stage,
  queue: StoredTaskQueue,
  survivor: Child,
  { agent, path, step }: Five,
  when: Death['when'],
): Promise<number> {
  const first = stage.random.between(1, step);
  let next = victim(stage, { call: first, when });
  for (let call = first; call <= CALLS_MAX; call += step) {
    const current = next;
    // The next one starts up while this one lives.
    next = victim(stage, { call: call + step, when });
    const id = `killed-${agent}-${when}-${call}`;
    await current.until('ready');
    const died = await live(queue, { id, agent }, current, survivor);
    await expectOneStory(stage, queue, { id, path }, died);
    if (!died) return call - 1;
  }
  return CALLS_MAX;
}

function victim(stage: Stage, death: Death): Child {
  return stage.spawn('graph-worker', { more: { autostart: false, death } });
}

/** The victim begins, a person answers once, the survivor ends what the victim left. Returns whether the victim died. */
async function live(
  queue: StoredTaskQueue,
  { id, agent }: { readonly id: string; readonly agent: string },
  current: Child,
  survivor: Child,
): Promise<boolean> {
  await queue.enqueue({ id, agent, payload: {} });
  const ended = queue.waitFor(id, { timeoutMs: 20_000 });
  const answered = answerOnce(queue, id);
  current.send({ type: 'start' });
  const died = await Promise.race([ended.then(() => false), current.exited.then(() => true)]);
  if (died) survivor.send({ type: 'start' });
  else current.kill('SIGKILL');
  await Promise.all([ended, answered]);
  if (died) {
    survivor.send({ type: 'pause', id });
    await survivor.until('paused', { id });
  }
  return died;
}

async function answerOnce(queue: StoredTaskQueue, id: string): Promise<void> {
  await eventually(
    async () => (await queue.getTask(id))?.status === 'waiting',
    20_000,
    () => `${id} did not ask`,
  );
  const question = (await queue.getTask(id))?.interrupts?.[0];
  expect(question?.value, id).toBe('may I go on?');
  await queue.answer(id, question!.id, `yes to ${id}`);
}

async function expectOneStory(
  stage: Stage,
  queue: StoredTaskQueue,
  { id, path }: { readonly id: string; readonly path: readonly string[] },
  died: boolean,
): Promise<void> {
  const task = await queue.getTask(id);
  expect(task, id).toMatchObject({ status: 'completed', retryCount: 0 });
  // On a busy machine the survivor may lose its short lease too; each loss may repeat one node, and no more.
  const crashes = task?.crashes ?? 0;
  expect(crashes, id).toBeGreaterThanOrEqual(died ? 1 : 0);
  expect(task?.result, id).toMatchObject({ path, approved: `yes to ${id}` });
  // A node that asks begins anew to hear its answer, so that only what it did to its end counts as a run.
  const runs = NODES.map((node) => stage.log({ id, node, phase: 'end' }).length);
  const begun = NODES.filter((node) => node !== ASKING).map(
    (node) => stage.log({ id, node, phase: 'start' }).length,
  );
  for (const counts of [runs, begun]) {
    const repeated = counts.reduce((sum, count) => sum + count - 1, 0);
    expect(repeated, `${id}: ${counts}`).toBeLessThanOrEqual(crashes);
  }
  const asked = (await queue.history(id)).filter((event) => event.to === 'waiting');
  expect(asked, id).toHaveLength(1);
  await lineage(queue, id);
}
