import { expect, test } from 'vitest';
import { edgeVerdict, findCycle, toDependency, toEdge } from '../../src/queue/dependencies.ts';
import type { NewRecord } from '../../src/queue/task-store.ts';
import { misfit, readWhere } from '../../src/queue/where.ts';

const ENDS = ['completed', 'failed', 'cancelled', 'skipped'] as const;

test.each([
  ['success', ['holds', 'fails', 'fails', 'fails']],
  ['failure', ['fails', 'holds', 'fails', 'fails']],
  ['completion', ['holds', 'holds', 'holds', 'holds']],
  ['custom', ['unjudged', 'fails', 'fails', 'fails']],
] as const)('an edge on %s is decided by each end', (on, verdicts) => {
  expect(ENDS.map((end) => edgeVerdict(on, end))).toEqual(verdicts);
});

test('a dependency is shown in one form', () => {
  const where = { 'result.x': { exists: true } };
  const full = [
    { id: 'a', on: 'failure' },
    { id: 'b', on: { custom: 'good' } },
    { id: 'c', where },
  ] as const;
  expect(full.map(toDependency)).toEqual(full);
  expect(['d', { id: 'd' }].map(toDependency)).toEqual([
    { id: 'd', on: 'success' },
    { id: 'd', on: 'success' },
  ]);
});

test('a where is an edge whose condition is one word of visible ASCII, and says the same', () => {
  const where = { 'result.größe': { in: ['a b\n\u2028', '\ud800', null] } };
  const { on, condition } = toEdge({ id: 'a', where });
  expect(on).toBe('custom');
  expect(condition).toMatch(/^[\x21-\x7e]+$/);
  expect(readWhere(condition!)).toEqual(where);
  expect(misfit(readWhere('{"broken'), 1)).toContain('damaged');
});

function records(edges: Record<string, string[]>): NewRecord[] {
  return Object.entries(edges).map(
    ([id, ids]) => ({ id, dependsOn: ids.map(toEdge) }) as unknown as NewRecord,
  );
}

test('a cycle is named all the way round', () => {
  expect(findCycle(records({ x: ['a'], a: ['b'], b: ['c'], c: ['a'] }))).toEqual(['a', 'b', 'c', 'a']);
  expect(findCycle(records({ a: ['a'] }))).toEqual(['a', 'a']);
});

test('a diamond is no cycle, and ids outside the batch do not matter', () => {
  expect(findCycle(records({ a: ['old'], b: ['a'], c: ['a'], d: ['b', 'c', 'old'] }))).toBeNull();
});

test('a chain as long as a batch does not exhaust the stack', () => {
  const chain = Object.fromEntries(Array.from({ length: 10_000 }, (_, i) => [`t${i}`, [`t${i + 1}`]]));
  expect(findCycle(records(chain))).toBeNull();
  expect(findCycle(records({ ...chain, t10000: ['t0'] }))).toHaveLength(10_002);
});
