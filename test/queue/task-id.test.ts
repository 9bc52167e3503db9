import { validate, version } from 'uuid';
import { expect, test } from 'vitest';
import { createIdSource } from '../../src/queue/task-id.ts';

test('ids are UUIDs of version 7 that rise, also within a millisecond and when the clock goes back', () => {
  let now = 1_790_000_000_000;
  const newId = createIdSource(() => now);
  const ids: string[] = [];
  for (let i = 0; i < 2_000; i++) {
    ids.push(newId());
    if (i % 300 === 0) now += i % 600 === 0 ? 7 : -3;
  }
  expect(ids.every((id) => validate(id) && version(id) === 7)).toBe(true);
  expect([...ids].sort()).toEqual(ids);
  expect(new Set(ids).size).toBe(ids.length);
  expect(Number.parseInt(ids[0]!.replaceAll('-', '').slice(0, 12), 16)).toBe(1_790_000_000_000);
});
