import { expect, test } from 'vitest';
import { StoreWatch } from '../../src/queue/store-watch.ts';
import type { TaskStore } from '../../src/queue/task-store.ts';
import { FakeClock } from '../../src/testing/fake-clock.ts';

test('word of a new task is passed on while the next look around is still waited for, other hints are not', async () => {
  const clock = new FakeClock();
  let hint: (isNew?: boolean) => void = () => {};
  const store = {
    watch: (listener: (isNew?: boolean) => void) => {
      hint = listener;
      return () => {};
    },
    outlook: async () => ({ nextDueAt: null }),
  };
  const seen: string[] = [];
  const watch = new StoreWatch(store as unknown as TaskStore, clock, {
    onHint: async () => void seen.push('hint'),
    onReady: () => void seen.push('ready'),
    onAlarm: () => {},
    onError: () => {},
  });
  watch.start();
  hint(true);
  expect(seen).toEqual(['hint']);
  await clock.advance(2);
  hint();
  expect(seen).toEqual(['hint']);
  hint(true);
  hint(true);
  expect(seen).toEqual(['hint', 'ready']);
  await clock.advance(10);
  hint(true);
  expect(seen).toEqual(['hint', 'ready', 'ready']);
  await clock.advance(15);
  expect(seen).toEqual(['hint', 'ready', 'ready', 'hint']);
  watch.stop();
});
