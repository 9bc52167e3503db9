import { type StructuredToolInterface, type ToolRunnableConfig, tool } from '@langchain/core/tools';
import { JottyError, TaskNotFoundError } from '../errors.ts';
import type { JsonObject } from '../json.ts';
import type { AttemptInfo } from '../orchestration/agent.ts';
import { childId, enqueueChildren, waitForChildren } from '../orchestration/children.ts';
import type { Task } from '../queue/task.ts';
import type { TaskQueue } from '../queue/task-queue.ts';
import { liveWorkers } from '../queue/workers.ts';

/** Agents that a model is told of, where it has named none of them. */
const AGENTS_TOLD_MAX = 50;

interface EnqueueInput {
  readonly goal: string;
  readonly agent?: string;
  readonly agentType?: string;
  readonly priority?: number;
  readonly input?: JsonObject;
}

/**
 * What an agent can do with the queue that runs it, as LangChain tools: enqueue tasks, wait for them without a slot,
 * look them up, cancel them. They work in runs of the queue only, with the rights of the run's task: what it enqueues
 * are children, which take over its limits, fair key and deadline, are never more urgent, and end with it; others
 * it can neither see nor cancel. A tool call that runs again after a crash makes no second task.
 *
 * Takes a conductor, or `{ queue }` where the agents are made before it.
 */
export function queueTools({ queue }: { readonly queue: TaskQueue }): StructuredToolInterface[] {
  return [enqueueTool(queue), waitTool(queue), lookUpTool(queue), cancelTool(queue)];
}

function enqueueTool(queue: TaskQueue): StructuredToolInterface {
  return queueTool(
    'enqueue_task',
    'Puts a task into the queue, to be worked on in the background. Returns its id.',
    {
      goal: { type: 'string', description: 'What is to be done.' },
      agent: { type: 'string', description: 'The agent that is to do it, if it must be that one.' },
      agentType: { type: 'string', description: 'The capability it takes, if any agent with it will do.' },
      priority: { type: 'integer', minimum: 1, maximum: 10, description: '10 is the most urgent.' },
      input: { type: 'object', description: 'What the agent is to know beside the goal.' },
    },
    ['goal'],
    async ({ priority, ...goal }: EnqueueInput, config) => {
      const { taskId } = infoOf(config);
      const own = await queue.getTask(taskId);
      const urgency =
        priority === undefined ? {} : { priority: Math.min(priority, own?.priority ?? priority) };
      const callId = config.toolCall?.id;
      const id = callId === undefined ? {} : { id: childId(taskId, `tool ${callId}`) };
      const [child] = await enqueueChildren(config, [{ ...goal, ...urgency, ...id }]);
      return { id: child!, ...(await noAgentFor(queue, child!)) };
    },
  );
}

function waitTool(queue: TaskQueue): StructuredToolInterface {
  return queueTool(
    'wait_for_tasks',
    'Waits until tasks that you have enqueued have ended, in whatever way. Returns how each ended, with its result.',
    { ids: { type: 'array', items: { type: 'string' }, minItems: 1 } },
    ['ids'],
    async ({ ids }: { readonly ids: readonly string[] }, config) => {
      for (const id of ids) await ownChild(queue, id, config);
      return waitForChildren(config, ids);
    },
  );
}

function lookUpTool(queue: TaskQueue): StructuredToolInterface {
  return queueTool(
    'look_up_task',
    'Tells how a task that you have enqueued stands, with its result if it has one.',
    { id: { type: 'string' } },
    ['id'],
    async ({ id }: { readonly id: string }, config) => shown(await ownChild(queue, id, config)),
  );
}

function cancelTool(queue: TaskQueue): StructuredToolInterface {
  return queueTool(
    'cancel_task',
    'Cancels a task that you have enqueued. One that has ended stays as it is.',
    { id: { type: 'string' }, reason: { type: 'string' } },
    ['id'],
    async ({ id, reason }: { readonly id: string; readonly reason?: string }, config) => {
      await ownChild(queue, id, config);
      return shown(await queue.cancel(id, reason));
    },
  );
}

function queueTool<Input>(
  name: string,
  description: string,
  properties: Readonly<Record<string, object>>,
  required: readonly string[],
  run: (input: Input, config: ToolRunnableConfig) => Promise<object>,
): StructuredToolInterface {
  const schema = { type: 'object', properties, required, additionalProperties: false };
  const call = async (input: unknown, config: ToolRunnableConfig) =>
    JSON.stringify(await run(input as Input, config).catch(refusal));
  return tool(call as never, {
    name,
    description,
    schema: schema as never,
  }) as unknown as StructuredToolInterface;
}

/** What a model can put right is told to it; anything else fails the run. */
function refusal(error: unknown): object {
  if (!(error instanceof JottyError) || !TOLD.has(error.code)) throw error;
  return { error: error.message };
}

const TOLD: ReadonlySet<string> = new Set([
  'INVALID_TASK',
  'TASK_NOT_FOUND',
  'TOO_LARGE',
  'UNKNOWN_DEPENDENCY',
]);

/** A model that names an agent which is not there would wait for it for ever: it is told, and may cancel. */
async function noAgentFor(queue: TaskQueue, id: string): Promise<object | undefined> {
  const { blockers } = await queue.explain(id);
  if (!blockers.some(({ code }) => code === 'NO_AGENT')) return undefined;
  const workers = await liveWorkers(queue.registry, queue.clock.now());
  const agents = workers
    .flatMap((worker) => worker.agents)
    .map(({ name, capabilities }) => ({ name, capabilities }));
  return { warning: 'no agent here takes it', agents: agents.slice(0, AGENTS_TOLD_MAX) };
}

/** @throws TaskNotFoundError also for a task that is another's: what an agent may not touch it may not see. */
async function ownChild(queue: TaskQueue, id: string, config: ToolRunnableConfig): Promise<Task> {
  const { taskId } = infoOf(config);
  const task = await queue.getTask(id);
  if (task === null || task.parent?.id !== taskId) throw new TaskNotFoundError(id);
  return task;
}

function infoOf({ configurable }: ToolRunnableConfig): { readonly taskId: string } {
  const { taskId } = (configurable?.jotty ?? {}) as Partial<AttemptInfo>;
  if (taskId === undefined)
    throw new JottyError('NO_QUEUE', 'queue tools work in runs of queued tasks only; enqueue the goal');
  return { taskId };
}

function shown({ id, status, result, error }: Task): object {
  return {
    id,
    status,
    ...(result !== undefined && { result }),
    ...(error !== undefined && { error: error.message }),
  };
}
