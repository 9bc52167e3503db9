import { RedisScript } from '../../../redis/redis-script.ts';

type Prelude = 'tasks' | 'lanes' | 'edges' | 'records' | 'buckets' | 'holds';

function script(name: string, ...preludes: readonly Prelude[]): RedisScript {
  const file = (part: string) => new URL(`./lua/${part}.lua`, import.meta.url);
  return new RedisScript(file(name), ['base', ...preludes].map(file));
}

/** One program for each operation of the store; its contract stands at its top. */
export const SCRIPTS = {
  open: script('open'),
  insert: script('insert', 'tasks', 'lanes', 'edges', 'records', 'buckets'),
  claim: script('claim', 'tasks', 'lanes', 'records', 'holds'),
  release: script('release', 'tasks', 'lanes', 'holds'),
  nodes: script('nodes', 'tasks', 'lanes', 'holds'),
  apply: script('apply', 'tasks', 'lanes', 'edges'),
  judge: script('judge', 'tasks', 'lanes', 'edges'),
  purgeable: script('purgeable'),
  purge: script('purge', 'tasks', 'buckets'),
  read: script('read', 'tasks', 'records'),
  list: script('list', 'tasks', 'records', 'buckets'),
  expired: script('expired', 'tasks', 'records'),
  unjudged: script('unjudged', 'tasks', 'lanes', 'edges'),
  counts: script('counts', 'tasks', 'lanes'),
  pause: script('pause'),
  registryPut: script('registry-put'),
  registryEntries: script('registry-entries'),
  watch: script('watch'),
} as const;

export type ScriptName = keyof typeof SCRIPTS;
