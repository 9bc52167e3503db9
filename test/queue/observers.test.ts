import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';
import { systemClock } from '../../src/clock.ts';
import { MemoryTaskQueue } from '../../src/queue/backends/memory/memory-task-queue.ts';
import { MemoryTaskStore } from '../../src/queue/backends/memory/memory-task-store.ts';
import { StoredTaskQueue } from '../../src/queue/stored-task-queue.ts';
import { FakeClock } from '../../src/testing/fake-clock.ts';

test('a process that awaits a task lives until it has ended, and no longer', async () => {
  const entry = new URL('../../src/queue/index.ts', import.meta.url).href;
  const program = `
    const { MemoryTaskQueue } = await import(${JSON.stringify(entry)});
    const queue = new MemoryTaskQueue({ sweepMs: 100 });
    await queue.enqueue({ payload: {}, id: 'a' });
    const code = await queue.waitFor('a', { timeoutMs: 50 }).catch((error) => error.code);
    process.stdout.write(code);`;
  const { stdout } = await promisify(execFile)(
    process.execPath,
    ['--import', 'tsx', '--input-type=module', '-e', program],
    { cwd: fileURLToPath(new URL('../..', import.meta.url)) },
  );
  expect(stdout).toBe('TIMEOUT');
});

test('the process is held once, however many wait, and let go with the last', async () => {
  let held = 0;
  const holdProcess = () => {
    held++;
    return () => {
      held--;
    };
  };
  const clock = { ...systemClock, holdProcess };
  await using queue = new MemoryTaskQueue({ clock });
  await queue.enqueueMany(['a', 'b'].map((id) => ({ payload: {}, id })));
  const ends = [queue.waitFor('a'), queue.waitFor('a'), queue.waitFor('b')];
  expect(held).toBe(1);
  await queue.cancel('a');
  await Promise.all(ends.slice(0, 2));
  expect(held).toBe(1);
  await queue.cancel('b');
  await ends[2];
  expect(held).toBe(0);
});

test('a store that cannot be opened leaves no listener and no waiter behind', async () => {
  let opens = false;
  const watched: string[] = [];
  const store = new MemoryTaskStore();
  const watch = store.watch.bind(store);
  store.watch = (listener) => {
    if (!opens) throw new Error('no such disk');
    watched.push('watch');
    return watch(listener);
  };
  const clock = new FakeClock();
  const queue = new StoredTaskQueue(store, { clock, sweepMs: 600_000 });
  await queue.enqueue({ payload: {}, id: 'a' });
  const heard: string[] = [];
  expect(() => queue.on('available', () => heard.push('available'))).toThrow('no such disk');
  await expect(queue.waitFor('a')).rejects.toThrow('no such disk');
  opens = true;
  await queue.enqueue({ payload: {}, id: 'b' });
  expect(heard).toEqual([]);
  // Nobody is left to watch for, so that one who comes and goes leaves no timer but those of the sweeper and of the analytics.
  const ended = queue.waitFor('a');
  await queue.cancel('a');
  await ended;
  expect(watched).toEqual(['watch']);
  expect(clock.timers).toBe(2);
  await queue.close();
});

test('more listeners than anybody needs are refused with a code', async () => {
  await using queue = new MemoryTaskQueue();
  for (let i = 0; i < 10_000; i++) queue.on('completed', () => {});
  expect(() => queue.on('completed', () => {})).toThrow(
    expect.objectContaining({ code: 'TOO_MANY_LISTENERS' }),
  );
});

test('what is no function is refused as a listener', async () => {
  await using queue = new MemoryTaskQueue();
  expect(() => queue.on('completed', 'log' as never)).toThrow(
    expect.objectContaining({ code: 'INVALID_OPTION' }),
  );
});
