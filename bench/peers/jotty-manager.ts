import { Conductor, TaskQueueManager } from '../../dist/index.js';
import { SQLiteTaskQueue } from '../../dist/queue/index.js';
import type { OpenQueue } from '../side.ts';
import { AGENT_TYPES, RESULT } from '../work.ts';
import { openJotty } from './jotty.ts';

/** Jotty's queue with the `TaskQueueManager` as its consumer; the start is that of the agent. */
export function openWithManager(path: string): OpenQueue {
  const queue = new SQLiteTaskQueue({ path });
  return {
    ...openJotty(queue),
    consume: async (onStart) => {
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
