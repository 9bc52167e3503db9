/** How strings and comments look in a language: what the scanner of `source.ts` has to know. */
export type Syntax = 'js' | 'c' | 'rust' | 'python' | 'hash' | 'dash' | 'html' | 'css' | 'none';

/** What a language is for. Only `code` counts in the shares of languages. */
export type Kind = 'code' | 'markup' | 'config' | 'prose' | 'data';

export interface Language {
  readonly name: string;
  readonly kind: Kind;
  readonly syntax: Syntax;
  /** Where a function ends: at its closing brace, at its indentation, or at an `end` of the same indentation. */
  readonly blocks: 'braces' | 'indentation' | 'end' | 'none';
}

type Row = [name: string, kind: Kind, syntax: Syntax, blocks: Language['blocks'], extensions: string];

const TABLE: readonly Row[] = [
  ['TypeScript', 'code', 'js', 'braces', 'ts tsx mts cts'],
  ['JavaScript', 'code', 'js', 'braces', 'js jsx mjs cjs'],
  ['Python', 'code', 'python', 'indentation', 'py pyi pyw'],
  ['Go', 'code', 'js', 'braces', 'go'],
  ['Rust', 'code', 'rust', 'braces', 'rs'],
  ['Java', 'code', 'c', 'braces', 'java'],
  ['Kotlin', 'code', 'c', 'braces', 'kt kts'],
  ['Scala', 'code', 'c', 'braces', 'scala sc'],
  ['C', 'code', 'c', 'braces', 'c h'],
  ['C++', 'code', 'c', 'braces', 'cc cpp cxx hpp hh hxx ipp'],
  ['Objective-C', 'code', 'c', 'braces', 'm mm'],
  ['C#', 'code', 'c', 'braces', 'cs'],
  ['Swift', 'code', 'c', 'braces', 'swift'],
  ['Dart', 'code', 'c', 'braces', 'dart'],
  ['Zig', 'code', 'c', 'braces', 'zig'],
  ['PHP', 'code', 'c', 'braces', 'php'],
  ['Ruby', 'code', 'hash', 'end', 'rb rake gemspec'],
  ['Elixir', 'code', 'hash', 'end', 'ex exs'],
  ['Lua', 'code', 'dash', 'end', 'lua'],
  ['Haskell', 'code', 'dash', 'none', 'hs'],
  ['Perl', 'code', 'hash', 'braces', 'pl pm'],
  ['R', 'code', 'hash', 'braces', 'r'],
  ['Julia', 'code', 'hash', 'end', 'jl'],
  ['Shell', 'code', 'hash', 'braces', 'sh bash zsh fish'],
  ['PowerShell', 'code', 'hash', 'braces', 'ps1 psm1'],
  ['SQL', 'code', 'dash', 'none', 'sql'],
  ['Vue', 'code', 'js', 'braces', 'vue'],
  ['Svelte', 'code', 'js', 'braces', 'svelte'],
  ['CSS', 'markup', 'css', 'none', 'css scss sass less'],
  ['HTML', 'markup', 'html', 'none', 'html htm'],
  ['XML', 'markup', 'html', 'none', 'xml xsd xsl plist'],
  ['SVG', 'data', 'html', 'none', 'svg'],
  ['Markdown', 'prose', 'none', 'none', 'md mdx markdown'],
  ['Text', 'prose', 'none', 'none', 'txt rst adoc'],
  ['JSON', 'config', 'none', 'none', 'json jsonc json5'],
  ['YAML', 'config', 'hash', 'none', 'yml yaml'],
  ['TOML', 'config', 'hash', 'none', 'toml'],
  ['INI', 'config', 'hash', 'none', 'ini cfg conf properties env'],
  ['Protocol Buffers', 'code', 'c', 'none', 'proto'],
  ['GraphQL', 'code', 'hash', 'none', 'graphql gql'],
  ['Terraform', 'config', 'hash', 'none', 'tf tfvars hcl'],
  ['CSV', 'data', 'none', 'none', 'csv tsv'],
  ['JSON lines', 'data', 'none', 'none', 'jsonl ndjson'],
  ['Source map', 'data', 'none', 'none', 'map'],
  ['Lock file', 'data', 'none', 'none', 'lock'],
];

const BY_EXTENSION = new Map<string, Language>(
  TABLE.flatMap(([name, kind, syntax, blocks, extensions]) =>
    extensions.split(' ').map((extension): [string, Language] => [extension, { name, kind, syntax, blocks }]),
  ),
);

const named = (name: string, kind: Kind, syntax: Syntax): Language => ({
  name,
  kind,
  syntax,
  blocks: 'none',
});
const LOCK_FILE = named('Lock file', 'data', 'none');
const OTHER = named('Other text', 'data', 'none');

const BY_NAME = new Map<string, Language>([
  ['dockerfile', named('Dockerfile', 'config', 'hash')],
  ['makefile', named('Makefile', 'code', 'hash')],
  ['gnumakefile', named('Makefile', 'code', 'hash')],
  ['cmakelists.txt', named('CMake', 'code', 'hash')],
  ['rakefile', named('Ruby', 'code', 'hash')],
  ['gemfile', named('Ruby', 'code', 'hash')],
  ['package-lock.json', LOCK_FILE],
  ['npm-shrinkwrap.json', LOCK_FILE],
  ['pnpm-lock.yaml', LOCK_FILE],
  ['go.sum', LOCK_FILE],
  ['go.mod', named('Go module', 'config', 'c')],
  ['license', named('Text', 'prose', 'none')],
  ['readme', named('Text', 'prose', 'none')],
]);

/** The language of a file by its name; files nobody knows are `Other text`. */
export function languageOf(path: string): Language {
  const name = path.slice(path.lastIndexOf('/') + 1).toLowerCase();
  const extension = name.slice(name.lastIndexOf('.') + 1);
  return BY_NAME.get(name) ?? (name.includes('.') ? BY_EXTENSION.get(extension) : undefined) ?? OTHER;
}

const BINARY = new Set(
  `png jpg jpeg gif webp ico bmp tiff avif heic psd ai pdf zip gz tgz bz2 xz zst 7z rar tar jar war class o a so dylib dll exe
   bin wasm node pyc pyo pyd whl egg woff woff2 ttf otf eot mp3 mp4 m4a wav ogg webm mov avi mkv flac db sqlite sqlite3 db-wal
   db-shm parquet arrow onnx safetensors pt npy npz pkl iso dmg deb rpm keystore p12 der lockb dat rdb aof`.split(
    /\s+/,
  ),
);

/** Whether the name alone says that a file is not text. */
export function isBinaryName(path: string): boolean {
  return BINARY.has(path.slice(path.lastIndexOf('.') + 1).toLowerCase());
}

const TEST_PATH =
  /(^|\/)(tests?|__tests__|specs?|testdata|fixtures)\/|[._-](test|spec)s?\.[a-z]+$|(^|\/)test_[^/]+\.py$|_test\.go$/i;

/** Whether a path looks like a test, by the conventions of the common languages. */
export function isTestPath(path: string): boolean {
  return TEST_PATH.test(path);
}
