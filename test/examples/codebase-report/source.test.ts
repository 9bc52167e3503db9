import { describe, expect, test } from 'vitest';
import { marksOf, suspicionsOf } from '../../../examples/codebase-report/findings.ts';
import { functionsOf } from '../../../examples/codebase-report/functions.ts';
import { importsOf } from '../../../examples/codebase-report/imports.ts';
import { languageOf } from '../../../examples/codebase-report/languages.ts';
import { takeApart } from '../../../examples/codebase-report/source.ts';

const read = (path: string, text: string) => ({
  source: takeApart(text, languageOf(path).syntax),
  language: languageOf(path),
});
const functionsIn = (path: string, text: string) => {
  const { source, language } = read(path, text);
  return functionsOf(source, language).map(({ name, line, lines }) => `${name} ${line} ${lines}`);
};
const importsIn = (path: string, text: string) => {
  const { source, language } = read(path, text);
  return importsOf(source, language, path).map(({ kind, target }) => `${kind} ${target}`);
};
const marksIn = (path: string, text: string) => {
  const { source, language } = read(path, text);
  return marksOf(source, language).map(({ kind, line, text: note }) => `${kind} ${line} ${note}`);
};

describe('taking a source apart', () => {
  test('strings, templates, regular expressions and comments leave the code', () => {
    const nested = ['`t $', '{f(`{`)} u`'].join('');
    const { code, comments } = takeApart(`a('x // y', ${nested}, /[/'"]/g); // note\nb();`, 'js');
    expect(code.replace(/ +/g, ' ')).toBe("a(' ', ` `, / /g); \nb();");
    expect(comments.trim()).toBe('// note');
  });

  test('all parts keep the length and the lines of the text', () => {
    const text = '"""doc\nmore"""\nx = "#no"  # yes\n';
    const { code, comments } = takeApart(text, 'python');
    for (const part of [code, comments])
      expect([part.length, part.split('\n').length]).toEqual([text.length, 4]);
    expect(comments).toContain('# yes');
    expect(comments).not.toContain('#no');
  });
});

describe('functions', () => {
  test('TypeScript: declarations, arrows, methods and their return types', () => {
    const text = [
      'export function a(x: { y: number }): { z: number } {',
      '  return { z: x.y };',
      '}',
      'const b: () => Promise<void> = async () => {',
      '};',
      'class C {',
      '  #d(f = () => 1) { if (f()) { return; } }',
      '  async e<T>(): Promise<Map<string, { v: T }>> {',
      '    for (const x of []) { g(x); }',
      '  }',
      '}',
      "test('no name', () => {",
      '});',
    ].join('\n');
    expect(functionsIn('a.ts', text)).toEqual(['a 1 3', 'b 4 2', '#d 7 1', 'e 8 3']);
  });

  test('Python by indentation, also with a signature over several lines', () => {
    const text =
      'class A:\n    def one(\n        self,\n    ) -> int:\n        return 1\n\n    async def two(self):\n        pass\n\nx = 1\n';
    expect(functionsIn('a.py', text)).toEqual(['one 2 4', 'two 7 2']);
  });

  test('Go, Rust, Java, C++ and Ruby', () => {
    expect(functionsIn('a.go', 'func (s *S) Get(k string) (int, error) {\n\treturn 1, nil\n}\n')).toEqual([
      'Get 1 3',
    ]);
    expect(functionsIn('a.rs', "pub fn get<'a>(k: &'a str) -> Option<u8> {\n  None\n}\n")).toEqual([
      'get 1 3',
    ]);
    expect(
      functionsIn('A.java', 'class A {\n  int get(int k) throws X {\n    return new B() { };\n  }\n}'),
    ).toEqual(['get 2 3']);
    expect(functionsIn('a.cpp', 'A::A(int b) : c(b) {\n}\nint A::d() const {\n  if (c) {}\n}\n')).toContain(
      'A::d 3 3',
    );
    expect(functionsIn('a.rb', 'class A\n  def get!\n    1\n  end\nend\n')).toEqual(['get! 2 3']);
  });
});

describe('imports', () => {
  test('of JavaScript, relative ones from the root, none out of strings and comments', () => {
    const text =
      "import a from './a.ts';\nexport { b } from '../b';\nconst c = require('@s/c/d');\n// import x from 'x'\nconst s = \"import y from 'y'\";\nawait import('node:fs');";
    expect(importsIn('src/deep/m.ts', text)).toEqual([
      'path src/deep/a.ts',
      'path src/b',
      'module @s/c/d',
      'module node:fs',
    ]);
  });

  test('of Python, Go, Rust, Java and C', () => {
    expect(
      importsIn('p/q/m.py', 'import os, sys\nfrom .x import y\nfrom ..z import w\nfrom . import v\n'),
    ).toEqual(['module os', 'module sys', 'path p/q/x', 'path p/z', 'path p/q/v']);
    expect(importsIn('a.go', 'import (\n\t"fmt"\n\tx "a.b/c/d"\n)\n')).toEqual([
      'module fmt',
      'module a.b/c/d',
    ]);
    expect(importsIn('src/a.rs', 'use crate::b::C;\nmod d;\n')).toEqual(['module crate::b::C', 'path src/d']);
    expect(importsIn('A.java', 'import static a.b.C.d;\n')).toEqual(['module a.b.C.d']);
    expect(importsIn('src/a.c', '#include <stdio.h>\n#include "b/c.h"\n')).toEqual([
      'module stdio.h',
      'path src/b/c.h',
    ]);
  });
});

describe('findings', () => {
  test('a mark opens a comment or is followed by a colon; a word in a sentence is none', () => {
    const text =
      '// TODO clean up\nconst TODO = "FIXME: no";\n/* later, FIXME(ann): now */\n// the TODO list is long\n';
    expect(marksIn('a.ts', text)).toEqual(['TODO 1 clean up', 'FIXME 3 (ann): now']);
  });

  test('the text of a secret is never shown', () => {
    const { source, language } = read('a.ts', "const password = 'hunter2hunter2';\n");
    expect(suspicionsOf(source, language, 'a.ts')).toEqual([
      { kind: 'password in the source', line: 1, text: '(not shown)' },
    ]);
  });

  test('an empty catch is found, one with a comment is not', () => {
    const { source, language } = read(
      'a.ts',
      'try {} catch {}\ntry {} catch { /* gone already */ }\n// catch {}\n',
    );
    expect(suspicionsOf(source, language, 'a.ts').map(({ kind, line }) => `${kind} ${line}`)).toEqual([
      'swallowed error 1',
    ]);
  });
});
