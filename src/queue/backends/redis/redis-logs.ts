import type { TaskLog } from '../../task-log.ts';
import type { Logging } from '../../task-store.ts';
import { sizeOfLoggings } from './applications.ts';
import { Batcher } from './batcher.ts';
import { pagesText, toLog } from './log-text.ts';
import type { ScriptRunner } from './script-runner.ts';

const PARALLEL = 2;

/** The logs of tasks in Redis, apart from what changes of tasks bring along. */
export class RedisLogs extends Batcher<readonly Logging[], boolean[]> {
  readonly #scripts: ScriptRunner;

  constructor(scripts: ScriptRunner) {
    super({
      send: (items, slot) => this.#append(items, slot),
      keyOf: () => 0,
      sizeOf: sizeOfLoggings,
      parallel: PARALLEL,
    });
    this.#scripts = scripts;
  }

  async read(id: string, after: number, limit: number): Promise<TaskLog> {
    return toLog(await this.#scripts.run('log', { now: 0, values: [id, after, limit] }));
  }

  async #append(items: readonly (readonly Logging[])[], slot: number): Promise<boolean[][]> {
    const values = items.flat().flatMap(({ id, fence, pages }) => [id, fence, pagesText(pages)]);
    const added = await this.#scripts.run('appendLogs', { now: '', mark: `l${slot}`, values });
    let i = 0;
    return items.map((loggings) => loggings.map(() => added[i++] === 1));
  }
}
