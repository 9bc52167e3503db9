import { readFileSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { AIMessage } from '@langchain/core/messages';
import { fakeModel } from '@langchain/core/testing';
import { describe, expect, test } from 'vitest';
import type { Gathered } from '../../../examples/codebase-report/analysis.ts';
import { cyclesOf } from '../../../examples/codebase-report/import-graph.ts';
import { inspector } from '../../../examples/codebase-report/inspection.ts';
import type { ChatModel, Narrator } from '../../../examples/codebase-report/narration.ts';
import { surveyor } from '../../../examples/codebase-report/survey.ts';
import { writer } from '../../../examples/codebase-report/writer.ts';
import { tree } from './tree.ts';

const FILES = {
  'package.json':
    '{ "name": "pond", "description": "Ducks on water.", "license": "MIT", "dependencies": { "zod": "4" } }',
  '.gitignore': '*.log\n/build/\n!keep.log\n',
  'noise.log': 'x',
  'keep.log': 'x',
  'build/out.js': 'x',
  'node_modules/zod/index.js': 'x',
  'logo.png': new Uint8Array([0x89, 0x50, 0]),
  'src/pond.ts':
    "import { z } from 'zod';\nimport { duck } from './ducks/duck.ts';\n\n// TODO fill it with water\nexport function pond() {\n  return z.array(duck());\n}\n",
  'src/ducks/duck.ts':
    "import { feather } from './feather.js';\nimport { water } from '../water.ts';\nexport const duck = () => {\n  debugger;\n  return feather(water);\n};\n",
  'src/ducks/feather.ts':
    "import type { pond } from '../pond.ts';\nexport const feather = (w: unknown): typeof pond | null => {\n  return w === 1 ? null : null;\n};\n",
  'src/water.ts': 'export const water = 1;\n',
  'test/pond.test.ts': "import { pond } from '../src/pond.ts';\npond();\n",
};

async function surveyOf(root: string) {
  return (await surveyor().invoke({ goal: 'survey', root })).survey;
}

async function gathered(root: string, skipped: readonly string[] = []): Promise<Gathered> {
  const survey = await surveyOf(root);
  const inspections = [];
  for (const { path, files } of survey.folders) {
    if (skipped.includes(path)) continue;
    inspections.push(
      (await inspector().invoke({ goal: 'inspect', root, folder: path, names: files })).inspection,
    );
  }
  return {
    survey,
    inspections,
    missing: skipped.map((folder) => ({ folder, reason: 'the disk <said> no' })),
  };
}

async function written(found: Gathered, narrator: Narrator | null = null) {
  const out = join(tree({}), 'deep', 'report.md');
  const record = {
    id: 'pond-1',
    startedAt: 0,
    folders: found.survey.folders.length,
    extraStarts: 1,
    crashes: 1,
  };
  const agent = writer({ gather: async () => ({ ...found, record }) }, narrator);
  const state = await agent.invoke({ goal: 'write', run: 'pond-1', out });
  return { ...state.written, markdown: readFileSync(out, 'utf8') };
}

describe('the surveyor', () => {
  test('finds what git would keep, and what the project says it is', async () => {
    const survey = await surveyOf(tree(FILES));
    expect(survey.identity).toMatchObject({
      name: 'pond',
      description: 'Ducks on water.',
      license: 'MIT',
      dependencies: 1,
    });
    expect(survey.folders.map(({ path }) => path).sort()).toEqual(['.', 'src', 'src/ducks', 'test']);
    expect(survey.folders.flatMap(({ files }) => files)).not.toContain('noise.log');
    expect(survey.folders.find(({ path }) => path === '.')?.files).toEqual([
      '.gitignore',
      'keep.log',
      'package.json',
    ]);
    expect(survey.binaries.count).toBe(1);
  });

  test('does not follow a link into a circle', async () => {
    const root = tree({ 'a/b.ts': 'x' });
    symlinkSync(root, join(root, 'a', 'again'));
    expect((await surveyOf(root)).files).toBe(1);
  });

  test('cuts a tree with very many folders less finely instead of queueing them all', async () => {
    const many = Object.fromEntries(
      Array.from({ length: 320 }, (_, at) => [`part${at % 4}/sub${at}/a.ts`, 'x']),
    );
    const survey = await surveyOf(tree(many));
    expect(survey.folders).toHaveLength(4);
    expect(survey.folders.flatMap(({ files }) => files)).toHaveLength(320);
  });
});

describe('the inspector', () => {
  test('a file that went away since the survey is noted, the others are inspected', async () => {
    const root = tree(FILES);
    const { inspection } = await inspector().invoke({
      goal: 'inspect',
      root,
      folder: 'src',
      names: ['gone.ts', 'pond.ts'],
    });
    expect(inspection.files.map(({ note }) => note)).toEqual(['gone', undefined]);
    expect(inspection.functions).toEqual([{ name: 'pond', path: 'src/pond.ts', line: 5, lines: 3 }]);
    expect(inspection.files[1]?.lines).toEqual({ code: 5, comment: 1, blank: 1 });
  });
});

describe('the writer', () => {
  test('names languages, functions, marks, imports, circles and suspicions with their places', async () => {
    const { markdown, totals } = await written(await gathered(tree(FILES)));
    expect(totals).toMatchObject({ functions: 3, marks: 1, suspicions: 1, testFiles: 1, packages: 1 });
    expect(markdown).toContain('# pond: codebase report');
    expect(markdown).toContain('| 3 | `pond` | `src/pond.ts:5` |');
    expect(markdown).toContain('- **TODO** `src/pond.ts:4` fill it with water');
    expect(markdown).toContain('**debugger statement**: 1 place\n  - `src/ducks/duck.ts:4`');
    expect(markdown).toContain('- `src` ⇄ `src/ducks`');
    expect(markdown).toMatch(/f\d -->\|\d\| f\d/);
    expect(markdown).toContain('| `src/pond.ts` | 2 files |');
    expect(markdown).toContain('| `zod` | 1 file |');
    expect(markdown).toContain('No model was used');
    expect(markdown).toContain('1 start more than needed (1 crash)');
  });

  test('says which folders are missing, and why', async () => {
    const { markdown, missing } = await written(await gathered(tree(FILES), ['src/ducks']));
    expect(missing).toBe(1);
    expect(markdown).toContain('- `src/ducks` was not inspected: the disk &lt;said&gt; no');
  });

  test('a directory without any code has a report too', async () => {
    const { markdown } = await written(await gathered(tree({ 'notes.md': '# Notes\n' })));
    expect(markdown).toContain('There is no program code here');
  });

  test('a model gets figures and no source text, and its words are marked as its own', async () => {
    const model = fakeModel().respond(new AIMessage('A small pond.'));
    const { markdown, model: name } = await written(await gathered(tree(FILES)), {
      name: 'fake:pond',
      load: async () => model as unknown as ChatModel,
    });
    expect(name).toBe('fake:pond');
    expect(markdown).toContain('A small pond.\n\n*Written by the model fake:pond from the figures below.*');
    const asked = JSON.stringify(model.calls[0]?.messages);
    expect(asked).toContain('src/ducks');
    expect(asked).not.toContain('z.array');
  });

  test('a model that cannot be used costs the summary, not the report', async () => {
    const { markdown, model } = await written(await gathered(tree(FILES)), {
      name: 'fake:broken',
      load: async () => fakeModel().alwaysThrow(new Error('no key')) as unknown as ChatModel,
    });
    expect(model).toBeNull();
    expect(markdown).toContain('No model was used: fake:broken could not be used (no key)');
  });
});

test('circles are found, and only circles', () => {
  const edge = (from: string, to: string) => ({ from, to, imports: 1 });
  expect(cyclesOf([edge('a', 'b'), edge('b', 'c'), edge('c', 'a'), edge('c', 'd'), edge('d', 'e')])).toEqual([
    ['a', 'b', 'c'],
  ]);
});
