/** A release as a workflow: checks side by side, a branch on their results, a merge, and a retry of what failed. */
import { Annotation, END, START, StateGraph } from '@langchain/langgraph';
import { Conductor, Workflow } from 'jotty';
import { MemoryTaskQueue } from 'jotty/queue';

const State = Annotation.Root({
  goal: Annotation<string>,
  version: Annotation<string>,
  results: Annotation<Record<string, { coverage?: number }>>,
  coverage: Annotation<number>,
  outcome: Annotation<string>,
});

let isRegistryDown = true;

const work: Record<string, (state: typeof State.State) => Partial<typeof State.State>> = {
  'run the tests': () => ({ coverage: 91 }),
  'publish it': ({ version, results }) => {
    if (isRegistryDown) throw new Error('the registry is down');
    return { outcome: `${version} is out, ${results.tests?.coverage} % of it tested` };
  },
};

const runner = new StateGraph(State)
  .addNode('work', (state) => {
    console.log(state.goal);
    return work[state.goal]?.(state) ?? { outcome: 'done' };
  })
  .addEdge(START, 'work')
  .addEdge('work', END)
  .compile();

const release = new Workflow('release')
  .add('tests', { goal: 'run the tests', validate: { where: { 'result.coverage': { exists: true } } } })
  .add('lint', { goal: 'lint the code' })
  .add('build', {
    goal: 'build it',
    dependsOn: ['lint', { ref: 'tests', where: { 'result.coverage': { gte: 80 } } }],
  })
  .add('complain', {
    goal: 'write more tests',
    dependsOn: [{ ref: 'tests', where: { 'result.coverage': { lt: 80 } } }],
  })
  .add('publish', { goal: 'publish it', maxRetries: 0, dependsOn: ['tests', 'build'] })
  .add('announce', { goal: 'tell everybody', dependsOn: ['publish'] });

await using queue = new MemoryTaskQueue();
await using conductor = new Conductor({ agents: { runner }, queue });
const run = await conductor.submit(release, { id: 'release-1.2.0', input: { version: '1.2.0' } });
await conductor.processQueue({ untilEmpty: true });
console.log('the release has', (await run.status()).status);

isRegistryDown = false;
await run.retry();
await conductor.processQueue({ untilEmpty: true });
console.log('the release has', (await run.status()).status);
console.log((await run.results()).publish);
console.log(await run.toMermaid());
