/** A worker that runs one command, for tests that end it in all ways: `command-worker.ts <how> <argv as JSON>`. */
import { Conductor, commandAgent } from '../../src/index.ts';

const [how = '', argv = '[]'] = process.argv.slice(2);
const conductor = new Conductor({
  agents: { shell: commandAgent({ allow: ['sh'], graceMs: how === 'stop' ? 50 : 60_000 }) },
});
await conductor.enqueueGoal('run it', { input: { argv: JSON.parse(argv) } });
const stop = new AbortController();
process.once('SIGUSR2', () => (how === 'exit' ? process.exit(0) : stop.abort()));
await conductor.processQueue({ signal: stop.signal, drainMs: 0 });
await conductor.close();
