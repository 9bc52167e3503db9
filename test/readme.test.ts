import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';

const read = (path: string) => readFileSync(fileURLToPath(new URL(`../${path}`, import.meta.url)), 'utf8');
const readme = read('README.md');

function blocks(language: string): string[] {
  return [...readme.matchAll(new RegExp(`\`\`\`${language}\n([\\s\\S]*?)\`\`\``, 'g'))].map(
    (match) => match[1]!,
  );
}

test('every TypeScript snippet is part of an example that the tests run', () => {
  const examples = ['quick-start', 'approval', 'retry-and-resume', 'several-agents'].map((name) =>
    read(`examples/${name}.ts`),
  );
  const snippets = blocks('ts');
  expect(snippets.length).toBeGreaterThan(0);
  for (const snippet of snippets) {
    expect(examples.some((example) => example.includes(snippet.trim()))).toBe(true);
  }
});

test('the quick start is a whole program of at most 15 lines', () => {
  const [program = ''] = blocks('ts');
  expect(program).toBe(read('examples/quick-start.ts'));
  expect(program.split('\n').filter((line) => line.trim() !== '').length).toBeLessThanOrEqual(15);
});

test('every npm script that is named exists', () => {
  const { scripts } = JSON.parse(read('package.json'));
  const named = [...readme.matchAll(/npm (?:run )?([a-z:]+)/g)].map((match) => match[1]!);
  for (const name of named) {
    if (!['ci', 'install', 'i'].includes(name)) expect(scripts).toHaveProperty([name]);
  }
});

test('the first bash block below a heading is its command', () => {
  const below = (heading: string) =>
    readme
      .split(`\n## ${heading}\n`)[1]!
      .match(/```bash\n([\s\S]*?)```/)![1]!
      .trim();
  expect(below('Quick start')).toContain('npm start');
  expect(below('Test')).toContain('npm test');
  const before = readme.slice(0, readme.indexOf('\n## Test\n'));
  expect(before.match(/^#+ .*test.*$/gim)).toBeNull();
});
