import type { Entrant, Goal, Row, Section } from './sections.ts';

/** Tasks that wait: for one another, and for a place under a limit. */

/** Jotty's sides, by where the tasks are kept. */
const SIDES: Readonly<Record<string, string>> = {
  memory: 'jotty-memory',
  sqlite: 'jotty',
  redis: 'redis',
  hybrid: 'hybrid',
};
const STORES = Object.keys(SIDES);
/** Those whose graphs have goals. */
const JUDGED = ['memory', 'sqlite', 'redis'];
const QUICK_MANAGER = 'sqlite';

const PG_RELEASE = 'pg-boss.releaseMs';
const PG_RELEASED = 'pg-boss.releasedMs';

const flows: Section = {
  name: 'flows',
  title:
    'Flows: 1,000 no-op tasks, from submission to the last ending (the graph: 100 layers of ten that wait for all ten before, 9,900 edges; BullMQ has only the nearest tree, 990 edges; pg-boss is told to fetch, complete and resolve at once)',
  rounds: 3,
  quickRounds: 1,
  entrants: [
    ...STORES.map((store) => shown(entrant(store, 'flows'), JUDGED.includes(store))),
    ...STORES.map((store) => shown(entrant(store, 'flows', '-manager'), store === QUICK_MANAGER)),
    { key: 'bullmq', measure: 'flows', side: 'bullmq' },
    shown({ key: 'pg-boss', measure: 'flows', side: 'pg-boss' }, false),
  ],
  rows: [
    ...STORES.flatMap((store) => graphRows(store, 'the graph')),
    ...STORES.flatMap((store) => graphRows(`${store}-manager`, 'as a Workflow, through TaskQueueManager')),
    ...['redis', 'hybrid'].map((store) => timeRow('tree against tree', store, 'treeMs', 'bullmq.treeMs')),
    ...STORES.map((store) => timeRow('end of a task with 1,000 dependents', store, 'releaseMs', PG_RELEASE)),
    ...STORES.map((store) => timeRow('until all of them are claimed', store, 'releasedMs', PG_RELEASED)),
  ],
};

/** BullMQ's Redis does not wait for a disk, SQLite does: there it is shown, and has no goal. */
function graphRows(key: string, label: string): Row[] {
  const isJudged = JUDGED.includes(key);
  const goal: Goal = { times: 1 };
  return [
    timeRow(`${label}, against the graph`, key, 'graphMs', 'pg-boss.graphMs', isJudged ? goal : undefined),
    timeRow(
      `${label}, against the tree`,
      key,
      'graphMs',
      'bullmq.treeMs',
      isJudged && key !== 'sqlite' ? goal : undefined,
    ),
  ];
}

function timeRow(label: string, key: string, figure: string, against: string, goal?: Goal): Row {
  return { label, unit: 'ms', subject: `${key}.${figure}`, against, ...(goal && { goal }) };
}

const limits: Section = {
  name: 'limits',
  title:
    'Limits: 20,000 tasks (--quick: 4,000) under limits or none; claims beside 100,000 that wait for a place (--quick: 20,000)',
  rounds: 3,
  quickRounds: 1,
  entrants: STORES.map((store) => entrant(store, 'limits')),
  rows: [
    ...STORES.map((store) => costRow('process, c=100, a limit on each task or none', store, 'Processed')),
    ...STORES.map((store) => costRow('the same from the enqueueing on', store, 'Through')),
    ...STORES.map((store) => shapeRow('one of 1,000 keys each', store, 'keys')),
    ...STORES.map((store) => shapeRow('one of ten rates each', store, 'rate')),
    ...STORES.map((store) => shapeRow('two keys each', store, 'two')),
    ...STORES.map((store) => besideRow('claim beside those of a full key, or alone', store, 'besideOneMs')),
    ...STORES.map((store) => besideRow('the same, of 1,000 full keys', store, 'besideManyMs')),
  ],
};

function costRow(label: string, store: string, figure: string): Row {
  const [subject, against] = [`${store}.limited${figure}`, `${store}.free${figure}`];
  return { label, unit: '/s', subject, against, goal: { times: 1 / 1.3 } };
}

/** From the enqueueing on, beside as many under no limit. */
function shapeRow(label: string, store: string, shape: string): Row {
  return {
    label,
    unit: '/s',
    subject: `${store}.${shape}Through`,
    against: `${store}.freeThrough`,
  };
}

/** Of a thousand keys there is no goal: it is shown what each further full key costs. */
function besideRow(label: string, store: string, figure: string): Row {
  const subject = `${store}.${figure}`;
  const goal = figure === 'besideOneMs' ? { goal: { growth: 2 } } : {};
  return { label, unit: 'ms', subject, against: `${store}.aloneMs`, ...goal };
}

/** Who is only looked at has one round, where each figure is a median already, and no part in a quick run. */
function shown(entrant: Entrant, isInQuick: boolean): Entrant {
  return isInQuick ? entrant : { ...entrant, isSlow: true, roundsMax: 1 };
}

function entrant(store: string, measure: string, suffix = ''): Entrant {
  return { key: `${store}${suffix}`, measure, side: `${SIDES[store]}${suffix}` };
}

export const FLOW_SECTIONS: readonly Section[] = [flows, limits];
