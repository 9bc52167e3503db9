import { RedisScript } from '../../../redis/redis-script.ts';

type Prelude =
  | 'turns'
  | 'gates'
  | 'groups'
  | 'idle'
  | 'tasks'
  | 'alarms'
  | 'lanes'
  | 'edges'
  | 'records'
  | 'buckets'
  | 'holds';

function script(name: string, ...preludes: readonly Prelude[]): RedisScript {
  const file = (part: string) => new URL(`./lua/${part}.lua`, import.meta.url);
  return new RedisScript(file(name), ['base', ...preludes].map(file));
}

/** One program for each operation of the store; its contract stands at its top. */
export const SCRIPTS = {
  open: script('open'),
  insert: script('insert', 'turns', 'gates', 'tasks', 'alarms', 'lanes', 'edges', 'records', 'buckets'),
  claim: script('claim', 'turns', 'gates', 'tasks', 'alarms', 'lanes', 'edges', 'records', 'holds', 'groups'),
  release: script('release', 'turns', 'gates', 'tasks', 'alarms', 'lanes', 'edges', 'holds'),
  nodes: script('nodes', 'turns', 'gates', 'tasks', 'alarms', 'lanes', 'edges', 'holds'),
  apply: script('apply', 'turns', 'gates', 'tasks', 'alarms', 'lanes', 'edges'),
  judge: script('judge', 'turns', 'gates', 'tasks', 'alarms', 'lanes', 'edges'),
  purgeable: script('purgeable', 'turns', 'gates', 'idle'),
  purge: script('purge', 'turns', 'gates', 'tasks', 'alarms', 'buckets'),
  read: script('read', 'turns', 'gates', 'tasks', 'alarms', 'lanes', 'edges', 'records'),
  list: script('list', 'turns', 'gates', 'tasks', 'alarms', 'lanes', 'edges', 'records', 'buckets'),
  setGates: script('set-gates', 'turns', 'gates'),
  alarmed: script('alarmed', 'turns', 'gates', 'tasks', 'alarms', 'lanes', 'edges', 'records'),
  due: script('due'),
  expired: script('expired', 'turns', 'gates', 'tasks', 'alarms', 'lanes', 'edges', 'records'),
  unjudged: script('unjudged', 'turns', 'gates', 'tasks', 'alarms', 'lanes', 'edges'),
  counts: script('counts', 'turns', 'gates', 'tasks', 'alarms', 'lanes'),
  pause: script('pause'),
  registryPut: script('registry-put'),
  registryEntries: script('registry-entries'),
  watch: script('watch'),
} as const;

export type ScriptName = keyof typeof SCRIPTS;
