import { RedisScript } from '../../../redis/redis-script.ts';

type Prelude =
  | 'turns'
  | 'gates'
  | 'groups'
  | 'no-groups'
  | 'idle'
  | 'tasks'
  | 'alarms'
  | 'lanes'
  | 'edges'
  | 'links'
  | 'records'
  | 'buckets'
  | 'holds'
  | 'logs';

function script(name: string, ...preludes: readonly Prelude[]): RedisScript {
  const file = (part: string) => new URL(`./lua/${part}.lua`, import.meta.url);
  return new RedisScript(file(name), ['base', ...preludes].map(file));
}

/** What every script that writes tasks needs. */
const TASKS = ['turns', 'gates', 'tasks', 'alarms'] as const;

/** One program for each operation of the store; its contract stands at its top. */
export const SCRIPTS = {
  open: script('open'),
  insert: script('insert', ...TASKS, 'lanes', 'edges', 'links', 'records', 'buckets'),
  claim: script('claim', ...TASKS, 'lanes', 'records', 'holds', 'no-groups'),
  claimAmongGroups: script('claim', ...TASKS, 'lanes', 'records', 'holds', 'groups'),
  release: script('release', ...TASKS, 'lanes', 'holds'),
  nodes: script('nodes', ...TASKS, 'lanes', 'holds'),
  writeHeld: script('write-held', ...TASKS),
  apply: script('apply', ...TASKS, 'lanes', 'edges', 'links', 'logs'),
  judge: script('judge', ...TASKS, 'lanes', 'edges'),
  setGates: script('set-gates', 'turns', 'gates'),
  purgeable: script('purgeable', 'turns', 'gates', 'idle'),
  purge: script('purge', ...TASKS, 'buckets'),
  threads: script('threads', 'turns', 'gates'),
  read: script('read', 'tasks', 'records'),
  list: script('list', 'tasks', 'records', 'buckets'),
  expired: script('expired', 'tasks', 'records'),
  alarmed: script('alarmed', 'tasks', 'alarms', 'records'),
  outlook: script('outlook'),
  appendLogs: script('append-logs', 'turns', 'gates', 'tasks', 'logs'),
  log: script('log', 'logs'),
  unjudged: script('unjudged', ...TASKS, 'lanes', 'edges'),
  counts: script('counts', ...TASKS, 'lanes'),
  pause: script('pause'),
  registryPut: script('registry-put'),
  registryEntries: script('registry-entries'),
  watch: script('watch'),
} as const;

export type ScriptName = keyof typeof SCRIPTS;
