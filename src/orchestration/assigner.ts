import type { Task } from '../queue/task.ts';
import type { Assignment, TaskQueue } from '../queue/task-queue.ts';
import type { AgentHost } from './agent-host.ts';
import { agentsToAvoid } from './failure-policy.ts';
import { HandBacks } from './hand-backs.ts';

/** Tasks in a row that nobody takes; then the loop waits. */
const REFUSED_MAX = 100;

/** Nobody takes a task. `isBusy`: since those who could have no slot free, which a claim does not know. */
interface Refusal {
  readonly reason: string;
  readonly isBusy: boolean;
}

function busy(who: string): Refusal {
  return { reason: `not assigned: ${who}`, isBusy: true };
}

/** Finds the agent for a claimed task, or gives the task back where none takes it. */
export class Assigner {
  readonly #host: AgentHost;
  readonly #queue: TaskQueue;
  readonly #onError: (error: unknown) => void;
  readonly #handBacks = new HandBacks();
  /** Claimed tasks that were handed back so far, since nobody took them; as many as the loop knew of, and when it last waited. */
  #refused = 0;
  #seen = 0;
  #waitedAt = 0;

  constructor(host: AgentHost, queue: TaskQueue, onError: (error: unknown) => void) {
    this.#host = host;
    this.#queue = queue;
    this.#onError = onError;
  }

  /** null where nobody here takes it now: then it has been handed back, for longer each time. */
  assign(task: Task): Assignment | null {
    const choice = this.#choose(task);
    if ('reason' in choice) {
      const { reason, isBusy } = choice;
      this.#refused += 1;
      this.handBack(task, reason, this.#queue.clock.now() + this.#handBacks.next(task.id, isBusy));
      return null;
    }
    this.#handBacks.taken(task.id);
    return this.#host.coordinator.counted(choice);
  }

  /** Whether some were refused since this was last asked: behind them there may be others for those who are free. */
  looksOn(): boolean {
    const looksOn = this.#refused > this.#seen && this.#refused - this.#waitedAt < REFUSED_MAX;
    this.#seen = this.#refused;
    if (!looksOn) this.#waitedAt = this.#refused;
    return looksOn;
  }

  /** The reason stands in the task's history. */
  handBack(task: Task, reason: string, runAt?: number): void {
    const at = runAt === undefined ? {} : { runAt };
    this.#queue.settle(task, { status: 'released', reason, hasBegun: false, ...at }).catch(this.#onError);
  }

  /** Who takes it, or why nobody does. A thread belongs to the agent that began it, where that agent is here. */
  #choose(task: Task): Assignment | Refusal {
    const { coordinator, agents } = this.#host;
    const bound =
      task.agent === undefined && task.assignedAgent !== undefined && agents.has(task.assignedAgent);
    try {
      const others = this.#others(task);
      if (others !== null) return coordinator.choose(task, others) ?? busy('the other agents are busy');
      const wanted = bound ? { ...task, agent: task.assignedAgent! } : task;
      const choice = coordinator.choose(wanted, agents);
      if (choice !== null) return choice;
      return bound ? busy(`${task.assignedAgent} is busy`) : { reason: 'not assigned', isBusy: false };
    } catch (error) {
      this.#onError(error);
      const why = error instanceof Error ? error.message : String(error);
      return { reason: `not assigned: ${why}`, isBusy: false };
    }
  }

  /** The agents to choose from after one has failed in a way that calls for another; null where there is none, or it was chosen. */
  #others(task: Task): ReadonlySet<string> | null {
    const avoided = agentsToAvoid(task);
    if (avoided.length === 0 || task.agent !== undefined) return null;
    const others = this.#host.matching(task).filter(({ name }) => !avoided.includes(name));
    const names = new Set(others.map(({ name }) => name));
    return names.size === 0 || names.has(task.assignedAgent ?? '') ? null : names;
  }
}
