import { Conductor } from '../../src/index.ts';
import { openQueue, slowSteps } from './events-stage.ts';

/** Works on the task, and never comes back from the second node. */
const [backend, location, prefix] = process.argv.slice(2);
await using queue = openQueue(backend!, location!, prefix!);
const conductor = new Conductor({ agents: { steps: slowSteps(() => new Promise(() => {})) }, queue });
await conductor.processQueue();
