import { Conductor, TaskQueueManager } from '../../dist/index.js';
import type { Place } from '../private-redis.ts';
import type { QueueSide } from '../side.ts';
import { emptyPlace, openTaskQueue } from '../task-queues.ts';
import { AGENT_TYPES, RESULT } from '../work.ts';
import { openJotty } from './jotty.ts';

/** One of Jotty's queues with the `TaskQueueManager` as its consumer; the start is that of the agent. */
export function withManager(side: string): QueueSide {
  const join = async (place: Place) => openWithManager(side, place);
  return {
    tasksMax: () => 20_000,
    wakes: true,
    join,
    open: async (path) => join(await emptyPlace(side, path)),
  };
}

function openWithManager(side: string, place: Place) {
  const queue = openTaskQueue(side, place);
  return {
    ...openJotty(queue, place),
    consume: async (onStart: () => void) => {
      const invoke = async () => {
        onStart();
        return { ...RESULT };
      };
      const conductor = new Conductor({
        agents: { worker: { graph: { invoke }, capabilities: [...AGENT_TYPES] } },
        queue,
      });
      const manager = new TaskQueueManager(conductor, queue, { maxConcurrent: 10 });
      await manager.start();
      return {
        stop: async () => {
          await manager.stop();
          await conductor.close();
        },
      };
    },
  };
}
