import { StoredTaskQueue } from '../../stored-task-queue.ts';
import type { TaskQueueOptions } from '../../task-queue.ts';
import { MemoryTaskStore } from './memory-task-store.ts';

/** A queue in this process's memory: fast, complete, and gone with the process. */
export class MemoryTaskQueue extends StoredTaskQueue {
  constructor(options: TaskQueueOptions = {}) {
    super(new MemoryTaskStore(), options);
  }
}
