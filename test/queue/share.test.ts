import { expect, test } from 'vitest';
import type { Limit } from '../../src/queue/limits.ts';
import { shareOf } from '../../src/queue/limits.ts';

function shareFor(limits: readonly Limit[], more: object = {}, templates: readonly Limit[] = []) {
  return shareOf({ payload: {}, limits, ...more }, templates, (field) => `${field}`);
}

test('tasks under the same limits share one object, each other word gives another', () => {
  const a = { key: 'a', max: 2 };
  const b = { key: 'b', rate: { max: 5, perMs: 100 } };
  const share = shareFor([a, b]);
  expect(shareFor([{ ...a }, { ...b, rate: { ...b.rate } }])).toBe(share);
  const others: readonly (readonly Limit[])[] = [
    [a],
    [{ key: 'a' }, b],
    [{ key: 'a', max: 3 }, b],
    [a, { key: 'b', rate: { max: 6, perMs: 100 } }],
    [a, { key: 'b', rate: { max: 5, perMs: 101 } }],
    [a, { ...b, weight: 4 }],
    [a, b, { key: 'c' }],
  ];
  const rulesOf = (limits: readonly Limit[]) =>
    limits
      .filter(({ max, rate }) => max !== undefined || rate !== undefined)
      .map(({ key, max = null, rate = null }) => ({ key, rule: { max, rate } }));
  for (const limits of [...others, [a, b], ...others]) {
    expect(shareFor(limits)).toEqual({
      quota: {
        limits: limits.map(({ key, weight = 1 }: Limit) => ({ key, weight })),
        fairKey: null,
        fairWeight: 1,
      },
      rules: rulesOf(limits),
    });
  }
});

test('keys come in one order, each once, whoever named them first; turns are told apart', () => {
  expect(shareFor([{ key: 'b' }, { key: 'a' }])?.quota.limits.map(({ key }) => key)).toEqual(['a', 'b']);
  const twice = shareFor([
    { key: 'a', max: 1 },
    { key: 'a', max: 2 },
  ]);
  expect(twice?.rules).toEqual([{ key: 'a', rule: { max: 1, rate: null } }]);
  const ofQueue = shareFor([{ key: 'a', max: 1 }], { agentType: 'x' }, [{ key: '{agentType}', max: 7 }]);
  expect(ofQueue?.rules.map(({ key }) => key)).toEqual(['a', 'x']);
  const fair = (fairKey: string, fairWeight?: number) =>
    shareFor([{ key: 'a' }], { fairKey, fairWeight })?.quota;
  expect(
    [fair('t'), fair('u'), fair('t', 3), fair('t')].map((quota) => [quota?.fairKey, quota?.fairWeight]),
  ).toEqual([
    ['t', 1],
    ['u', 1],
    ['t', 3],
    ['t', 1],
  ]);
});

test('a rate that its submitter changes later changes nothing for those who submit the same as before', () => {
  const rate = { max: 5, perMs: 100 };
  const share = shareFor([{ key: 'changed', rate }]);
  rate.max = 9;
  expect(share?.rules).toEqual([{ key: 'changed', rule: { max: null, rate: { max: 5, perMs: 100 } } }]);
  expect(shareFor([{ key: 'changed', rate }])?.rules).toEqual([
    { key: 'changed', rule: { max: null, rate } },
  ]);
});

test('more limits than are remembered are right all the same', () => {
  for (let i = 0; i < 25_000; i++) {
    const share = shareFor([
      { key: 'first', max: 3 },
      { key: `k${i}`, max: i },
    ]);
    expect(share?.rules[1]?.rule?.max).toBe(i);
  }
});
