import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { sharedRedis } from './shared-redis.ts';

/** Valkey began as Redis 7.2, so it has all that 6.2 has. */
const OLDEST = '6.2.0';
/** What scripts may use of Redis beside its commands: all of it is in 6.2. */
const LUA_API = ['call', 'error_reply', 'pcall'];

const redis = sharedRedis();
const src = join(import.meta.dirname, '..', '..', 'src');

function sources(extension: string): string[] {
  const files = readdirSync(src, { recursive: true, encoding: 'utf8' });
  return files
    .filter((file) => file.endsWith(extension))
    .map((file) => readFileSync(join(src, file), 'utf8'));
}

/** Each command that is written out somewhere, with the options written beside it. */
function commandsIn(text: string): { readonly name: string; readonly options: readonly string[] }[] {
  const calls = text.matchAll(/\b(?:call|pcall|callBinary|sound|spread)\(\s*'([A-Z]+)'([^;\n]*)/g);
  return [...calls].map(([, name, rest]) => ({
    name: name!,
    options: [...rest!.matchAll(/'([A-Z]{2,})'/g)].map(([, option]) => option!),
  }));
}

type Doc = readonly unknown[];
const field = (doc: Doc, name: string) => doc[doc.indexOf(name) + 1];

/** When each option came to be, by its word; `since` is left out where it came with the command. */
function optionsOf(doc: Doc, since: string): Map<string, string> {
  const found = new Map<string, string>();
  if (!doc.includes('arguments')) return found;
  for (const argument of field(doc, 'arguments') as Doc[]) {
    const own = argument.includes('since') ? String(field(argument, 'since')) : since;
    if (argument.includes('token')) found.set(String(field(argument, 'token')), own);
    for (const [token, inner] of optionsOf(argument, own)) found.set(token, inner);
  }
  return found;
}

function isOldEnough(since: string): boolean {
  return since.localeCompare(OLDEST, 'en', { numeric: true }) <= 0;
}

test('every command and option that is sent to Redis is in the oldest one that is supported', async () => {
  const used = new Map<string, Set<string>>();
  for (const text of [...sources('.lua'), ...sources('.ts')]) {
    for (const { name, options } of commandsIn(text))
      used.set(name, new Set([...(used.get(name) ?? []), ...options]));
  }
  // Were the pattern to miss them, this would hold for nothing.
  expect(used.size).toBeGreaterThan(35);
  const docs = await redis.server.ask<Doc>('COMMAND', 'DOCS', ...used.keys());
  const younger: string[] = [];
  for (const [name, options] of used) {
    const doc = docs[docs.indexOf(name.toLowerCase()) + 1] as Doc;
    expect(doc, name).toBeDefined();
    const since = String(field(doc, 'since'));
    if (!isOldEnough(since)) younger.push(name);
    const known = optionsOf(doc, since);
    for (const option of options)
      if (!isOldEnough(known.get(option) ?? since)) younger.push(`${name} ${option}`);
  }
  expect(younger).toEqual([]);
});

test('scripts use nothing of Redis that came later', () => {
  const used = sources('.lua').flatMap((text) =>
    [...text.matchAll(/\b(?:redis|server)\.(\w+)/g)].map(([, name]) => name!),
  );
  expect([...new Set(used)].sort()).toEqual(LUA_API);
});
