import { expect, test } from 'vitest';
import { ExampleProcess } from '../examples/example-process.ts';

test('fleet: four workers share a queue in Redis, one is killed, and every goal ends once', async () => {
  const { code, output, errors } = await new ExampleProcess('fleet/main.ts').end();
  expect(errors).toBe('');
  expect(code).toBe(0);
  expect(output).toMatch(/the fleet: .*reader.*coder|the fleet: .*coder.*reader/);
  expect(output).toMatch(/killed coder with -9, and [1-9]\d* tasks in its hands/);
  const shared = /shared: (.*)/.exec(output)?.[1] ?? '';
  const counts = [...shared.matchAll(/(\w+) (\d+)/g)].map(
    ([, agent, count]) => [agent, Number(count)] as const,
  );
  expect(new Set(counts.map(([agent]) => agent))).toEqual(new Set(['reader', 'coder', 'painter', 'helper']));
  expect(counts.reduce((sum, [, count]) => sum + count, 0)).toBe(240);
  expect(output).toMatch(
    /[1-9]\d* tasks of the killed worker were taken over; 240 endings recorded for 240 goals/,
  );
});
