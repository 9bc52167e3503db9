import type { Language } from './languages.ts';
import { lineCounter, type Source } from './source.ts';

/** A function found in a file: where it begins and how many lines it has, signature and closing line included. */
export interface FunctionSpan {
  readonly name: string;
  readonly line: number;
  readonly lines: number;
}

/** How far a signature may reach, in characters, before or after its parameters. */
const SIGNATURE_CHARS_MAX = 400;

/** All named functions and methods of a source. Heuristic, by brackets and indentation; anonymous callbacks do not count. */
export function functionsOf({ code }: Source, language: Language): FunctionSpan[] {
  if (language.blocks === 'braces') return bracedFunctions(code);
  if (language.blocks === 'indentation') return indentedFunctions(code);
  if (language.blocks === 'end') return endedFunctions(code);
  return [];
}

const NOT_A_NAME = new Set(
  'if for while switch catch with return function await new typeof super match unless foreach lock using synchronized when elseif until sizeof defined assert loop select func fn fun'.split(
    ' ',
  ),
);
const NAME_BEFORE = /((?:\w+::)*[\w$#~]+)\s*(?:<[^()]*>)?\s*$/;
const ASSIGNED_BEFORE =
  /([\w$#]+)\??\s*(?::[^=;{}()]*)?[:=]\s*(?:async\s*)?(?:function\s*\*?\s*)?(?:<[^()]*>)?\s*$/;
// The type of a declared constant may itself contain arrows and parentheses: `const f: () => A = () => {`.
const DECLARED_BEFORE = /\b(?:const|let|var)\s+([\w$]+)\s*:[^\n;]*=\s*(?:async\s*)?$/;
// An initialiser list (`: a(b), c(d) {`), an instance (`new A() {`) or a member call is no definition.
const NOT_BEFORE_A_NAME = /(?:[.,:]|\bnew|\breturn|\belse|->)\s*$/;

function bracedFunctions(code: string): FunctionSpan[] {
  const closing = matchBrackets(code);
  const lineAt = lineCounter(code);
  const found: FunctionSpan[] = [];
  for (let open = code.indexOf('('); open !== -1; open = code.indexOf('(', open + 1)) {
    const close = closing.get(open);
    if (close === undefined) continue;
    const body = bodyAfter(code, close + 1, closing);
    if (body === null) continue;
    const name = nameBefore(code.slice(Math.max(0, open - SIGNATURE_CHARS_MAX), open), body.arrow);
    const end = closing.get(body.at);
    if (name === null || end === undefined) continue;
    const line = lineAt(open);
    found.push({ name, line, lines: newlinesBetween(code, open, end) + 1 });
  }
  return found;
}

function nameBefore(before: string, arrow: boolean): string | null {
  const assigned = (DECLARED_BEFORE.exec(before) ?? ASSIGNED_BEFORE.exec(before))?.[1];
  if (arrow) return assigned ?? null;
  const match = NAME_BEFORE.exec(before);
  if (match === null) return null;
  const name = match[1] as string;
  if (name === 'function') return assigned ?? null;
  const ahead = before.slice(0, match.index);
  return NOT_A_NAME.has(name) || NOT_BEFORE_A_NAME.test(ahead) ? null : name;
}

/**
 * The brace that opens the body which follows a list of parameters, if one does.
 * Between them may stand a return type, `throws`, `const`, a `where` clause or an arrow.
 */
function bodyAfter(
  code: string,
  from: number,
  closing: Map<number, number>,
): { at: number; arrow: boolean } | null {
  let angle = 0;
  let arrow = false;
  let typed = false;
  for (let at = from; at < code.length && at - from < SIGNATURE_CHARS_MAX; at += 1) {
    const char = code[at] as string;
    if (char === '{') {
      if (angle === 0 && !isType(code.slice(from, at), typed)) return { at, arrow };
      at = closing.get(at) ?? code.length;
    } else if (char === '(') {
      // Directly after the parameters, Go lists what it returns.
      if (!typed && code.slice(from, at).trim() !== '') return null;
      typed = true;
      at = closing.get(at) ?? code.length;
    } else if (char === '=') {
      if (code[at + 1] !== '>') return null;
      arrow = true;
      at += 1;
    } else if (char === '<') angle += 1;
    else if (char === '>') angle = Math.max(0, angle - 1);
    else if (char === ':' || char === '-') typed = true;
    else if (char === ';' || char === ')' || char === '}' || (char === ',' && angle === 0 && !typed))
      return null;
    else if (char === '.' && !typed) return null;
    else if (arrow && !/\s/.test(char)) return null;
    else if (char === '?' && !typed) return null;
  }
  return null;
}

/** Whether a brace after this text opens a type: `: { a: 1 }`, `interface{}`. */
function isType(before: string, typed: boolean): boolean {
  return (typed && /[:|&]\s*$/.test(before)) || /\b(?:interface|struct)\s*$/.test(before);
}

/** For each opening bracket its closing one. Wrong nesting, as in macros, only loses the brackets involved. */
function matchBrackets(code: string): Map<number, number> {
  const pairs = new Map<number, number>();
  const open: { at: number; close: string }[] = [];
  for (let at = 0; at < code.length; at += 1) {
    const char = code[at];
    if (char === '(') open.push({ at, close: ')' });
    else if (char === '{') open.push({ at, close: '}' });
    else if (char === ')' || char === '}') {
      while (open.length > 0 && char === '}' && open.at(-1)?.close === ')') open.pop();
      if (open.at(-1)?.close === char) pairs.set(open.pop()!.at, at);
    }
  }
  return pairs;
}

function newlinesBetween(code: string, from: number, to: number): number {
  let count = 0;
  for (let at = code.indexOf('\n', from); at !== -1 && at < to; at = code.indexOf('\n', at + 1)) count += 1;
  return count;
}

const indentOf = (line: string): number => line.length - line.trimStart().length;

function indentedFunctions(code: string): FunctionSpan[] {
  const lines = code.split('\n');
  return lines.flatMap((line, at) => {
    const name = /^\s*(?:async\s+)?def\s+(\w+)/.exec(line)?.[1];
    return name === undefined ? [] : [{ name, line: at + 1, lines: lastOfBlock(lines, at) - at + 1 }];
  });
}

function lastOfBlock(lines: readonly string[], start: number): number {
  const indent = indentOf(lines[start] as string);
  let at = start;
  for (let depth = 0; at < lines.length; at += 1) {
    for (const char of lines[at] as string) depth += '([{'.includes(char) ? 1 : ')]}'.includes(char) ? -1 : 0;
    if (depth <= 0) break;
  }
  let last = at;
  for (at += 1; at < lines.length; at += 1) {
    const line = lines[at] as string;
    if (line.trim() === '') continue;
    if (indentOf(line) <= indent) break;
    last = at;
  }
  return Math.min(last, lines.length - 1);
}

function endedFunctions(code: string): FunctionSpan[] {
  const lines = code.split('\n');
  return lines.flatMap((line, at) => {
    const name = /^\s*(?:local\s+)?(?:defp?|function)\s+([\w.:?!]+)/.exec(line)?.[1];
    if (name === undefined) return [];
    const end = lines.findIndex(
      (other, index) => index > at && indentOf(other) === indentOf(line) && /^\s*end\b/.test(other),
    );
    return end === -1 ? [] : [{ name, line: at + 1, lines: end - at + 1 }];
  });
}
