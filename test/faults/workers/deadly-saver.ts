import { say } from './protocol.ts';

/** Where in the sequence of a saver's writes the process dies. */
export interface Death {
  /** Counts `put` and `putWrites` together, from 1. */
  readonly call: number;
  readonly when: 'before' | 'after';
}

type Write = (...args: unknown[]) => Promise<unknown>;

/** Makes the saver's n-th write of this process its last moment. Its own object only: the class stays as it is. */
export function makeDeadly(saver: unknown, death: Death | undefined): void {
  const writer = saver as Record<'put' | 'putWrites', Write>;
  let calls = 0;
  for (const method of ['put', 'putWrites'] as const) {
    const write = writer[method].bind(saver);
    writer[method] = async (...args) => {
      const call = ++calls;
      const mine = call === death?.call;
      if (mine && death?.when === 'before') die(method, call);
      const result = await write(...args);
      if (mine) die(method, call);
      if (death !== undefined) say('wrote', { method, call });
      return result;
    };
  }
}

function die(method: string, call: number): void {
  say('dying', { method, call });
  process.kill(process.pid, 'SIGKILL');
}
