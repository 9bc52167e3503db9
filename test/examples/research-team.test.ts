import { expect, test } from 'vitest';
import { ExampleProcess } from './example-process.ts';

test('research-team goes from agent to agent as its model decides, and shows the path', async () => {
  const { code, output, errors } = await new ExampleProcess('research-team/main.ts').end();
  expect(errors).toBe('');
  expect(code).toBe(0);
  expect(output).toContain('{"jotty":"route","next":["writer"],"by":"router"}');
  expect(output).not.toContain('poet');
  expect(output).toMatch(/loses its lease, and another takes over\.\nClear and true/);
  expect(output).toMatch(/research → writer → critic, ended by done$/);
});
