import type { Syntax } from './languages.ts';

/**
 * A source text taken apart. All three texts have the same length and the same
 * line breaks, so an index into one is an index into the others.
 */
export interface Source {
  readonly text: string;
  /** The text with the contents of strings and comments replaced by spaces. */
  readonly code: string;
  /** The comments alone; everything else is spaces. */
  readonly comments: string;
}

interface Rules {
  readonly line: readonly string[];
  readonly block: readonly (readonly [open: string, close: string])[];
  readonly quotes: string;
  /** Quotes whose strings may run over several lines. */
  readonly long: string;
  readonly triple: boolean;
  readonly regex: boolean;
}

const rules = (change: Partial<Rules>): Rules => ({
  line: [],
  block: [],
  quotes: '"\'',
  long: '',
  triple: false,
  regex: false,
  ...change,
});

const C_BLOCK = [['/*', '*/']] as const;
const RULES: Record<Exclude<Syntax, 'none'>, Rules> = {
  js: rules({ line: ['//'], block: C_BLOCK, quotes: '"\'`', long: '`', regex: true }),
  c: rules({ line: ['//'], block: C_BLOCK }),
  // In Rust a single quote mostly opens a lifetime, so only double quotes are strings; they may run over lines.
  rust: rules({ line: ['//'], block: C_BLOCK, quotes: '"', long: '"' }),
  python: rules({ line: ['#'], triple: true }),
  hash: rules({ line: ['#'] }),
  dash: rules({ line: ['--'] }),
  html: rules({ block: [['<!--', '-->']], quotes: '' }),
  css: rules({ line: ['//'], block: C_BLOCK }),
};

/** Takes a text apart by the rules of its syntax. One pass; a scanner, no parser: it may err on exotic literals. */
export function takeApart(text: string, syntax: Syntax): Source {
  if (syntax === 'none') return { text, code: text, comments: blank(text) };
  const spans = spansOf(text, RULES[syntax]);
  const code: string[] = [];
  const comments: string[] = [];
  let at = 0;
  for (const { start, end, comment } of spans) {
    const before = text.slice(at, start);
    const inside = text.slice(start, end);
    code.push(before, blank(inside));
    comments.push(blank(before), comment ? inside : blank(inside));
    at = end;
  }
  const rest = text.slice(at);
  return { text, code: code.join('') + rest, comments: comments.join('') + blank(rest) };
}

/** The number of the line, from 1, in which an index lies. Calls must come with rising indexes. */
export function lineCounter(text: string): (index: number) => number {
  let line = 1;
  let at = 0;
  return (index) => {
    for (let next = text.indexOf('\n', at); next !== -1 && next < index; next = text.indexOf('\n', at)) {
      line += 1;
      at = next + 1;
    }
    return line;
  };
}

function blank(text: string): string {
  if (!text.includes('\n')) return ' '.repeat(text.length);
  return text
    .split('\n')
    .map((line) => ' '.repeat(line.length))
    .join('\n');
}

interface Span {
  readonly start: number;
  readonly end: number;
  readonly comment: boolean;
}

function spansOf(text: string, rule: Rules): Span[] {
  const { line, block, quotes, long, triple, regex } = rule;
  const interesting = openersOf(rule);
  const spans: Span[] = [];
  // Most of a text is neither string nor comment: the expression leaps to the next character that may open one.
  for (let at = 0; ; ) {
    interesting.lastIndex = at;
    const found = interesting.exec(text);
    if (found === null) return spans;
    at = found.index;
    const char = text[at] as string;
    const marker = line.find((open) => text.startsWith(open, at));
    const pair = block.find(([open]) => text.startsWith(open, at));
    if (marker !== undefined && !(marker === '#' && text[at - 1] === '$')) {
      at = push(spans, at, endOf(text, '\n', at, 0), true);
    } else if (pair !== undefined) {
      at = push(spans, at, endOf(text, pair[1], at + pair[0].length, pair[1].length), true);
    } else if (triple && (text.startsWith('"""', at) || text.startsWith("'''", at))) {
      at = push(spans, at, endOf(text, text.slice(at, at + 3), at + 3, 3), isDocstring(text, at));
    } else if (quotes.includes(char)) {
      // The quotes themselves stay: they show that there is code on the line.
      at = push(spans, at + 1, endOfString(text, at + 1, char, long.includes(char)), false) + 1;
    } else if (regex && char === '/' && BEFORE_A_REGEX.test(text.slice(Math.max(0, at - 12), at))) {
      at = push(spans, at + 1, endOfRegex(text, at + 1), false) + 1;
    } else {
      at += 1;
    }
  }
}

const BEFORE_A_REGEX = /(^|[(,=:[!&|?{};>\n]|return|typeof)\s*$/;

/** Matches every character at which a string, a comment or a regular expression may begin. */
function openersOf({ line, block, quotes, regex }: Rules): RegExp {
  const first = new Set(
    [...line, ...block.map(([open]) => open), ...quotes, regex ? '/' : ''].map((open) => open[0]),
  );
  return new RegExp(`[${[...first].join('').replace(/[-\\\]^]/g, '\\$&')}]`, 'g');
}

function push(spans: Span[], start: number, end: number, comment: boolean): number {
  if (end > start) spans.push({ start, end, comment });
  return Math.max(end, start);
}

function endOf(text: string, close: string, from: number, length: number): number {
  const found = text.indexOf(close, from);
  return found === -1 ? text.length : found + length;
}

/** A triple-quoted string that stands alone on its line is documentation, as other line counters have it. */
function isDocstring(text: string, at: number): boolean {
  return /^\s*[rRuUbB]?$/.test(text.slice(text.lastIndexOf('\n', at - 1) + 1, at));
}

function endOfString(text: string, from: number, quote: string, long: boolean): number {
  for (let at = from; at < text.length; at += 1) {
    if (text[at] === '\\') at += 1;
    else if (text[at] === quote) return at;
    else if (quote === '`' && text.startsWith('${', at)) at = endOfInterpolation(text, at + 2);
    else if (text[at] === '\n' && !long) return at;
  }
  return text.length;
}

/** The closing brace of `${…}`; templates inside it are followed, so that `${a ? `${b}` : ''}` is one string. */
function endOfInterpolation(text: string, from: number): number {
  let depth = 1;
  for (let at = from; at < text.length; at += 1) {
    const char = text[at] as string;
    if (char === '{') depth += 1;
    else if (char === '}') depth -= 1;
    else if ('"\'`'.includes(char)) at = endOfString(text, at + 1, char, char === '`');
    if (depth === 0) return at;
  }
  return text.length;
}

function endOfRegex(text: string, from: number): number {
  let inClass = false;
  for (let at = from; at < text.length && text[at] !== '\n'; at += 1) {
    if (text[at] === '\\') at += 1;
    else if (text[at] === '[') inClass = true;
    else if (text[at] === ']') inClass = false;
    else if (text[at] === '/' && !inClass) return at;
  }
  return from;
}
