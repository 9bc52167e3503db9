/** Runs graphs from the queue through Conductor and TaskQueueManager, as an app would. SIGTERM drains and exits. */
import {
  type AgentSource,
  type Checkpointer,
  Conductor,
  type IsolationOptions,
  type JsonObject,
  type JsonValue,
  TaskQueueManager,
} from '../../../src/index.ts';
import { type Death, makeDeadly } from './deadly-saver.ts';
import { agents, Gate } from './graphs.ts';
import { openQueue } from './open-queue.ts';
import { dieLoudly, type Message, onCommand, readSettings, say, sayError } from './protocol.ts';

const settings = readSettings();
const more = settings.more as {
  autostart?: boolean;
  drainMs?: number;
  death?: Death;
  isolation?: IsolationOptions;
};
const gate = new Gate();
const queue = openQueue(settings.backend, settings.path, settings.queue);
queue.registerCondition('big', (result) => (result as number) >= 2);
const saver = (await queue.checkpointer()) as Checkpointer;
makeDeadly(saver, more.death);
const conductor = new Conductor({ agents: agentsHere(), queue, checkpointer: saver });
const manager = new TaskQueueManager(conductor, queue, { maxConcurrent: settings.concurrency });

process.on('unhandledRejection', dieLoudly('unhandledRejection'));
queue.on('error', (error) => sayError('queue', error));
queue.on('leaseLost', ({ taskId, reason }) => say('lease-lost', { id: taskId, reason }));
queue.on('transition', ({ taskId, to }) => say('transition', { id: taskId, to }));
process.once('SIGTERM', () => void shutDown());
const letGo = onCommand((command) => void obey(command).catch(dieLoudly(command.type)));
let started = false;
if (more.autostart !== false) await start();
say('ready', { pid: process.pid });

/** With `isolation` the same agents, loaded elsewhere. */
function agentsHere(): Record<string, AgentSource> {
  const { isolation } = more;
  if (isolation === undefined) return agents(settings.log, gate);
  process.env.JOTTY_FAULTS_LOG = settings.log;
  const module = new URL(import.meta.url.replace(/graph-worker\.(\w+)$/, 'isolated-agents.$1'));
  return Object.fromEntries(
    ['steps', 'gate', 'blocker', 'deaf'].map((name) => [name, { module, export: name, isolation }]),
  );
}

async function obey(command: Message): Promise<void> {
  const id = String(command.id);
  if (command.type === 'start') await start();
  if (command.type === 'open') gate.open(id);
  if (command.type === 'submit') await submit(id, String(command.agent));
  if (command.type === 'submit-many') await submitMany(command);
  if (command.type === 'answer') {
    await conductor.answer(id, String(command.interrupt), command.value as JsonValue);
    say('answered', { id });
  }
  if (command.type === 'pause') {
    await manager.pause();
    say('paused', { id });
  }
}

/** The first time, and again after a pause. */
async function start(): Promise<void> {
  if (started) await manager.resume();
  else await manager.start();
  started = true;
}

async function submit(id: string, agent: string): Promise<void> {
  try {
    say('submitted', { id: await conductor.enqueueGoal('a goal', { id, agent }) });
  } catch (error) {
    const { code, message } = error as { code?: string; message?: string };
    say('submission-refused', { id, code, message });
  }
}

async function submitMany({ ids, agent, payload }: Message): Promise<void> {
  const tasks = (ids as string[]).map((id) => ({ id, agent: String(agent), payload: payload as JsonObject }));
  await queue.enqueueMany(tasks);
  say('submitted-many');
}

/** Nothing calls process.exit here: a handle left open would show as a process that does not end. */
async function shutDown(): Promise<void> {
  const startedAt = performance.now();
  letGo();
  await manager.stop({ drainMs: more.drainMs ?? 1_000 });
  await conductor.close();
  await queue.close();
  say('closed', { ms: performance.now() - startedAt });
}
