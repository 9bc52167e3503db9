import { RedisScript } from '../../../redis/redis-script.ts';

type Prelude = 'tasks' | 'alarms' | 'lanes' | 'edges' | 'records' | 'buckets' | 'holds';

function script(name: string, ...preludes: readonly Prelude[]): RedisScript {
  const file = (part: string) => new URL(`./lua/${part}.lua`, import.meta.url);
  return new RedisScript(file(name), ['base', ...preludes].map(file));
}

/** One program for each operation of the store; its contract stands at its top. */
export const SCRIPTS = {
  open: script('open'),
  insert: script('insert', 'tasks', 'alarms', 'lanes', 'edges', 'records', 'buckets'),
  claim: script('claim', 'tasks', 'alarms', 'lanes', 'edges', 'records', 'holds'),
  release: script('release', 'tasks', 'alarms', 'lanes', 'edges', 'holds'),
  nodes: script('nodes', 'tasks', 'alarms', 'lanes', 'edges', 'holds'),
  apply: script('apply', 'tasks', 'alarms', 'lanes', 'edges'),
  judge: script('judge', 'tasks', 'alarms', 'lanes', 'edges'),
  purgeable: script('purgeable'),
  purge: script('purge', 'tasks', 'buckets'),
  read: script('read', 'tasks', 'alarms', 'lanes', 'edges', 'records'),
  list: script('list', 'tasks', 'alarms', 'lanes', 'edges', 'records', 'buckets'),
  alarmed: script('alarmed', 'tasks', 'alarms', 'lanes', 'edges', 'records'),
  due: script('due'),
  expired: script('expired', 'tasks', 'alarms', 'lanes', 'edges', 'records'),
  unjudged: script('unjudged', 'tasks', 'alarms', 'lanes', 'edges'),
  counts: script('counts', 'tasks', 'lanes'),
  pause: script('pause'),
  registryPut: script('registry-put'),
  registryEntries: script('registry-entries'),
  watch: script('watch'),
} as const;

export type ScriptName = keyof typeof SCRIPTS;
