import { expect, test } from 'vitest';
import { RecentAssignments } from '../../src/orchestration/recent-assignments.ts';
import { Roster } from '../../src/orchestration/roster.ts';

const listed = (name: string) => ({ name, place: -1 });

test('a roster lists those who came and have not left, wherever they stood', () => {
  const roster = new Roster<ReturnType<typeof listed>>();
  const [a, b, c, stranger] = ['a', 'b', 'c', 'd'].map(listed) as [never, never, never, never];
  for (const one of [a, b, c]) roster.add(one);

  roster.remove(a);
  roster.remove(a);
  roster.remove(stranger);
  expect(roster.all()).toEqual([c, b]);
  expect([a, b, c, stranger].map((one) => roster.has(one))).toEqual([false, true, true, false]);

  roster.remove(b);
  roster.remove(c);
  expect(roster.isEmpty).toBe(true);
});

test('the newest assignments are remembered, of each task the last one', () => {
  const recent = new RecentAssignments(3);
  const by = (agent: string) => ({ agent, scores: [] });
  recent.add('a', by('1'));
  recent.add('b', by('2'));
  recent.add('a', by('3'));
  expect(recent.of('a')?.agent).toBe('3');
  recent.add('c', by('4'));
  expect(['a', 'b', 'c', 'd'].map((id) => recent.of(id)?.agent)).toEqual(['3', '2', '4', undefined]);
  recent.add('d', by('5'));
  expect(['a', 'b', 'c', 'd'].map((id) => recent.of(id)?.agent)).toEqual(['3', undefined, '4', '5']);
});
