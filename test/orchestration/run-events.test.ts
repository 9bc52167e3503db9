import { expect, test } from 'vitest';
import { EVENTS_BUFFER_MAX, type RunEvent } from '../../src/index.ts';
import { toPlainJson } from '../../src/orchestration/plain-result.ts';
import { EventBuffer } from '../../src/orchestration/run-events.ts';

const custom = (data: number): RunEvent => ({ type: 'custom', data, namespace: [], at: 0 });

async function read(buffer: EventBuffer): Promise<RunEvent | null> {
  return (await buffer.next()).value ?? null;
}

test('a slow reader gets a gap with the number of events it missed, and then goes on', async () => {
  const buffer = new EventBuffer();
  for (let i = 0; i < EVENTS_BUFFER_MAX + 5; i++) buffer.push(custom(i));
  for (let i = 0; i < EVENTS_BUFFER_MAX; i++) expect(await read(buffer)).toEqual(custom(i));
  expect(await read(buffer)).toEqual({ type: 'gap', missed: 5 });
  buffer.push(custom(7));
  buffer.end();
  expect(await read(buffer)).toEqual(custom(7));
  expect(await read(buffer)).toBeNull();
});

test('reads that came before their events get them in order, and the error once', async () => {
  const buffer = new EventBuffer();
  const reads = [read(buffer), read(buffer), read(buffer), read(buffer)];
  buffer.push(custom(1));
  buffer.push(custom(2));
  buffer.end(new Error('broken'));
  expect(await Promise.allSettled(reads)).toEqual([
    { status: 'fulfilled', value: custom(1) },
    { status: 'fulfilled', value: custom(2) },
    { status: 'rejected', reason: new Error('broken') },
    { status: 'fulfilled', value: null },
  ]);
  expect(await read(buffer)).toBeNull();
});

test('a slow reader misses neither a transition nor the end', async () => {
  const buffer = new EventBuffer();
  for (let i = 0; i < EVENTS_BUFFER_MAX + 5; i++) buffer.push(custom(i));
  const failed = {
    type: 'transition',
    taskId: 't',
    seq: 3,
    from: 'in_progress',
    to: 'failed',
    at: 0,
  } as const;
  buffer.push(failed);
  buffer.push(custom(6));
  const end: RunEvent = { type: 'completed', result: 1, threadId: 't' };
  buffer.push(end);
  buffer.end();
  for (let i = 0; i < EVENTS_BUFFER_MAX; i++) await buffer.next();
  const rest: (RunEvent | null)[] = [];
  for (let i = 0; i < 5; i++) rest.push(await read(buffer));
  expect(rest).toEqual([{ type: 'gap', missed: 5 }, failed, { type: 'gap', missed: 1 }, end, null]);
});

test('a state becomes plain JSON', () => {
  const odd = JSON.parse('{"__proto__": {"lc": 1}}') as object;
  const state = {
    date: new Date(0),
    set: new Set([1]),
    map: new Map([['a', 1]]),
    pairs: new Map([[1, 2]]),
    nothing: undefined,
    fn: () => 1,
    nan: Number.NaN,
    odd,
  };
  expect(JSON.stringify(toPlainJson(state))).toBe(
    '{"date":"1970-01-01T00:00:00.000Z","set":[1],"map":{"a":1},"pairs":[[1,2]],"nan":null,"odd":{"__proto__":{"lc":1}}}',
  );
  expect(() => toPlainJson({ list: [1n] })).toThrow('result.list[0]: expected JSON, got a BigInt');
  const cycle: { self?: unknown } = {};
  cycle.self = cycle;
  expect(() => toPlainJson(cycle)).toThrow('cycle');
});
