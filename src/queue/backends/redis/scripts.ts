import { RedisScript } from '../../../redis/redis-script.ts';

type Preludes = readonly (Prelude | readonly Prelude[])[];

type Prelude =
  | 'base'
  | 'turns'
  | 'gates'
  | 'gate-counts'
  | 'gate-leaves'
  | 'groups'
  | 'no-groups'
  | 'idle'
  | 'first-claim'
  | 'endings'
  | 'brief'
  | 'grant'
  | 'insert-lone'
  | 'tasks'
  | 'alarms'
  | 'lane-ends'
  | 'lanes'
  | 'claim-quick'
  | 'insert-quick'
  | 'apply-quick'
  | 'edges'
  | 'links'
  | 'records'
  | 'buckets'
  | 'holds'
  | 'hold-begin'
  | 'hold-sources'
  | 'entries'
  | 'lane-filter'
  | 'due'
  | 'logs';

/** Preludes in a list of their own share a function. */
function script(name: string, ...preludes: Preludes): RedisScript {
  return scriptOf(name, ['base', ...preludes]);
}

/** One that needs no frame, or may have answered before it does. */
function scriptOf(name: string, preludes: Preludes): RedisScript {
  const file = (part: string) => new URL(`./lua/${part}.lua`, import.meta.url);
  const parts = preludes.map((part) => (typeof part === 'string' ? file(part) : part.map(file)));
  return new RedisScript(file(name), parts);
}

/** What every script that writes tasks needs; those that begin with the endings do not need them again. */
const CHANGED = ['turns', 'gates', 'tasks', 'alarms'] as const;
const TASKS = ['endings', ...CHANGED] as const;

/** …and moves them between lanes. */
const LANES = [['lane-ends', 'lanes']] as const;

/** What takes tasks off lanes needs beside these. */
const CLAIMED = ['records', 'holds', ['entries', 'lane-filter', 'due']] as const;

/**
 * How claims, changes and submissions begin: the usual ones end there. What the others need of it comes a second time where it
 * is used: a function may capture 60 variables, and what lies between counts.
 */
const CLAIM = ['turns', 'gates', 'first-claim', ['gate-counts', 'claim-quick']] as const;
const APPLY = ['endings', 'turns', 'gates', ['gate-counts', 'gate-leaves', 'apply-quick']] as const;
const INSERT = ['turns', 'lane-ends', 'buckets', ['gate-counts', 'insert-quick']] as const;
const INSERT_ANY = [
  'gates',
  'endings',
  'tasks',
  'alarms',
  'lanes',
  'edges',
  'links',
  'records',
  'buckets',
] as const;

/** What the programs for a lone submission begin with, in place of the base. */
const LONE = ['brief', 'first-claim'] as const;

/** One program for each operation of the store; its contract stands at its top. */
export const SCRIPTS = {
  open: script('open'),
  insert: script('insert', ...INSERT, ...INSERT_ANY),
  insertLone: scriptOf('insert', [LONE, ['grant', 'insert-lone'], 'base', ...INSERT, ...INSERT_ANY]),
  standby: script('standby'),
  recall: script('recall'),
  handOver: scriptOf('hand-over', [LONE]),
  claim: script('claim', ...CLAIM, ...TASKS, ...LANES, ...CLAIMED, 'no-groups', 'first-claim'),
  claimAmongGroups: script('claim', ...CLAIM, ...TASKS, ...LANES, ...CLAIMED, 'groups', 'first-claim'),
  hold: script('hold', ...TASKS, ...LANES, ...CLAIMED, 'gate-counts', 'hold-begin', 'hold-sources'),
  release: script('release', ...TASKS, ...LANES, 'holds'),
  nodes: script('nodes', ...TASKS, ...LANES, 'holds'),
  writeHeld: script('write-held', ...TASKS, 'gate-counts', 'gate-leaves'),
  apply: script('apply', ...APPLY, ...CHANGED, ...LANES, 'edges', 'links', 'logs'),
  judge: script('judge', ...TASKS, ...LANES, 'edges'),
  setGates: script('set-gates', 'turns', 'gates'),
  purgeable: script('purgeable', 'turns', 'gates', 'idle'),
  purge: script('purge', ...TASKS, 'buckets'),
  threads: script('threads', 'turns', 'gates'),
  read: script('read', 'endings', 'tasks', 'records'),
  list: script('list', 'endings', 'tasks', 'records', 'buckets'),
  expired: script('expired', 'endings', 'tasks', 'records'),
  alarmed: script('alarmed', 'endings', 'tasks', 'alarms', 'records'),
  outlook: script('outlook'),
  appendLogs: script('append-logs', 'turns', 'gates', 'endings', 'tasks', 'logs'),
  log: script('log', 'logs'),
  unjudged: script('unjudged', ...TASKS, ...LANES, 'edges'),
  counts: script('counts', ...TASKS, ...LANES),
  pause: script('pause'),
  registryPut: script('registry-put'),
  registryEntries: script('registry-entries'),
  watch: script('watch'),
} as const;

export type ScriptName = keyof typeof SCRIPTS;
