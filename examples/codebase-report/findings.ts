import { isTestPath, type Language } from './languages.ts';
import { lineCounter, type Source } from './source.ts';

/** A place in the code that somebody marked or that deserves a second look. */
export interface Finding {
  /** `TODO`, `FIXME`, … for marks; the name of a rule otherwise. */
  readonly kind: string;
  readonly line: number;
  /** What stands there. Never the text of a secret. */
  readonly text: string;
}

const TEXT_CHARS_MAX = 140;
const MARK = /\b(?:TODO|FIXME|HACK|XXX|BUG)\b/g;
const COMMENT_OPENING = /^(?:\/\/+|\/\*+|#+|--+|\*|;+|<!--)?\s*@?$/;

/** The marks in the comments of a file. */
export function marksOf({ comments }: Source, language: Language): Finding[] {
  if (language.kind === 'data' || language.syntax === 'none') return [];
  const lineAt = lineCounter(comments);
  return [...comments.matchAll(MARK)]
    .map(({ 0: kind, index }) => ({ kind, index, rest: restOfLine(comments, index + kind.length) }))
    .filter(({ index, rest }) => isMark(comments, index, rest))
    .map(({ kind, index, rest }) => ({
      kind,
      line: lineAt(index),
      text: shortened(rest.replace(/^[\s:*-]+/, '').replace(/(\*\/|-->)$/, '')),
    }));
}

/** A mark is followed by a colon or a parenthesis, or opens its comment; in the middle of a sentence it is a word. */
function isMark(comments: string, index: number, rest: string): boolean {
  if (/^[:(]/.test(rest)) return true;
  const before = comments.slice(comments.lastIndexOf('\n', index - 1) + 1, index).trim();
  return COMMENT_OPENING.test(before) && !/^(,| and\b| or\b)/.test(rest);
}

function restOfLine(text: string, from: number): string {
  const end = text.indexOf('\n', from);
  return text.slice(from, end === -1 ? text.length : end).trimEnd();
}

interface Rule {
  readonly kind: string;
  readonly pattern: RegExp;
  /** Where the pattern has to match: in code, in comments, or anywhere in the text. */
  readonly in: 'code' | 'comments' | 'text';
  readonly languages?: readonly string[];
  /** Whether the line may be shown. */
  readonly secret?: true;
  readonly tests?: 'only' | 'skip';
}

const JS = ['TypeScript', 'JavaScript', 'Vue', 'Svelte'];
const RULES: readonly Rule[] = [
  { kind: 'merge conflict marker', in: 'text', pattern: /^(<{7} |>{7} )\S/gm },
  { kind: 'private key', in: 'text', pattern: /^-----BEGIN [A-Z ]*PRIVATE KEY-----/gm, secret: true },
  {
    kind: 'looks like an access key',
    in: 'text',
    pattern: /\b(AKIA[0-9A-Z]{16}|gh[pousr]_[A-Za-z0-9]{36}|xox[bp]-[\w-]{20,}|sk-[A-Za-z0-9]{32,})\b/g,
    secret: true,
  },
  {
    kind: 'password in the source',
    in: 'text',
    pattern:
      /\b(password|passwd|secret|api_?key)\s*[:=]\s*(['"])(?!\$|<|\{|test|example|changeme|password|secret|x{3})[^'"\s]{8,}\2/gi,
    secret: true,
    tests: 'skip',
  },
  { kind: 'debugger statement', in: 'code', pattern: /(?<![.\w$])debugger\s*;/g, languages: JS },
  { kind: 'breakpoint', in: 'code', pattern: /\b(pdb\.set_trace|breakpoint)\(\)/g, languages: ['Python'] },
  { kind: 'code from a string', in: 'code', pattern: /(?<![.\w$])(eval\(|new Function\()/g, languages: JS },
  { kind: 'code from a string', in: 'code', pattern: /(?<![.\w])(eval|exec)\(/g, languages: ['Python'] },
  {
    kind: 'swallowed error',
    in: 'text',
    pattern: /\bcatch\s*(\(\s*\w*\s*\))?\s*\{\s*\}/g,
    languages: [...JS, 'Java', 'C#', 'Kotlin'],
  },
  { kind: 'swallowed error', in: 'code', pattern: /^[ \t]*except[^\n]*:\s*pass\b/gm, languages: ['Python'] },
  { kind: 'bare except', in: 'code', pattern: /^[ \t]*except\s*:/gm, languages: ['Python'] },
  {
    kind: 'test that runs alone',
    in: 'code',
    pattern: /\b(test|it|describe)\.only\(/g,
    languages: JS,
    tests: 'only',
  },
  { kind: 'type checks switched off', in: 'comments', pattern: /@ts-(ignore|nocheck)\b|#\s*type:\s*ignore/g },
  {
    kind: 'shell command from a string',
    in: 'code',
    pattern: /\bos\.system\(|shell\s*=\s*True/g,
    languages: ['Python'],
  },
  { kind: 'unsafe block', in: 'code', pattern: /\bunsafe\s*\{/g, languages: ['Rust'] },
];

/** What deserves a second look, by simple patterns. Tests may have what only tests should have. */
export function suspicionsOf(source: Source, language: Language, path: string): Finding[] {
  if (language.kind === 'data' || language.kind === 'prose') return [];
  const found = RULES.filter((rule) => applies(rule, language, path)).flatMap((rule) => {
    const lineAt = lineCounter(source.text);
    return [...source[rule.in].matchAll(rule.pattern)]
      .filter((match) => standsInCode(source, rule, match.index))
      .map((match) => {
        const line = lineAt(match.index);
        return {
          kind: rule.kind,
          line,
          text: rule.secret ? '(not shown)' : lineOf(source.text, match.index),
        };
      });
  });
  return found.sort((a, b) => a.line - b.line);
}

/** A pattern that needs the text (an empty block may hold a comment) must still begin in code. */
function standsInCode(source: Source, rule: Rule, index: number): boolean {
  return rule.kind !== 'swallowed error' || /\S/.test(source.code[index] ?? '') || rule.in === 'code';
}

function applies(rule: Rule, language: Language, path: string): boolean {
  if (rule.languages !== undefined && !rule.languages.includes(language.name)) return false;
  return rule.tests === undefined || (rule.tests === 'only') === isTestPath(path);
}

function lineOf(text: string, index: number): string {
  const end = text.indexOf('\n', index);
  return shortened(text.slice(text.lastIndexOf('\n', index - 1) + 1, end === -1 ? text.length : end));
}

function shortened(text: string): string {
  const line = text.trim().replace(/\s+/g, ' ');
  return line.length > TEXT_CHARS_MAX ? `${line.slice(0, TEXT_CHARS_MAX - 1)}…` : line;
}
