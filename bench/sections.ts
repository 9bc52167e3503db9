import { FLOW_SECTIONS } from './flow-sections.ts';
import { LABELS } from './labels.ts';
import { REDIS_SECTIONS } from './redis-sections.ts';

/** What is measured, who is compared with whom, and what must be reached: data only. */

export interface Section {
  readonly name: string;
  readonly title: string;
  readonly entrants: readonly Entrant[];
  readonly rounds: number;
  readonly quickRounds: number;
  readonly rows: readonly Row[];
}

/** One side under one measure. In every round each entrant runs once, in this order, in a process of its own. */
export interface Entrant {
  readonly key: string;
  readonly measure: string;
  readonly side: string;
  /** Slow ones sit out the later rounds. @default all */
  readonly roundsMax?: number;
  /** Has no part in a quick run: it takes long, and no goal is missed without it. @default false */
  readonly isSlow?: boolean;
  /** Counts and is not timed: it is watched while the others of its round have their turns. @default false */
  readonly isBeside?: boolean;
}

/** One line of the table: a figure of one entrant, perhaps against that of another. */
export interface Row {
  readonly label: string;
  /** Only of `/s` more is better. */
  readonly unit: 'ms' | '/s' | 's' | 'MB' | 'B' | 'commands' | 'commands/s';
  /** `entrant.figure` */
  readonly subject: string;
  readonly against?: string;
  readonly goal?: Goal;
}

export type Goal =
  /** At least this many times as good as the other: faster where the unit is a rate, shorter where it is a time. */
  | { readonly times: number }
  /** At most this many times the other value. */
  | { readonly growth: number }
  | { readonly below: number }
  | { readonly atLeast: number };

const SLOW_ROUNDS_MAX = 2;

const sqlite: Section = {
  name: 'sqlite',
  title: 'SQLite queues: 20,000 tasks (liteque 2,000, sidequest 20 to 400)',
  rounds: 3,
  quickRounds: 1,
  entrants: [
    { key: 'jotty', measure: 'queue', side: 'jotty' },
    { key: 'plainjob', measure: 'queue', side: 'plainjob' },
    { key: 'manager', measure: 'manager', side: 'jotty' },
    { key: 'liteque', measure: 'queue', side: 'liteque', roundsMax: SLOW_ROUNDS_MAX, isSlow: true },
    { key: 'sidequest', measure: 'queue', side: 'sidequest', roundsMax: SLOW_ROUNDS_MAX, isSlow: true },
  ],
  rows: [
    {
      label: 'enqueue one by one, p50',
      unit: 'ms',
      subject: 'jotty.enqueueMs',
      against: 'plainjob.enqueueMs',
    },
    ...versus('plainjob', { enqueueInFlight: 2, bulk: 0.6, process1: 1, process10: 2, process100: 2.5 }),
    ...[1, 10, 100].map(
      (c): Row => ({
        label: `through TaskQueueManager, c=${c}`,
        unit: '/s',
        subject: `manager.process${c}`,
        against: `jotty.process${c}`,
        goal: { times: 0.6 },
      }),
    ),
    ...slowPeer('liteque'),
    ...slowPeer('sidequest'),
  ],
};

/** One by one, both sides wait for the disk or do not: it is shown, the goal is for the rates. */
function slowPeer(peer: string): Row[] {
  return [
    {
      label: 'enqueue one by one, p50',
      unit: 'ms',
      subject: 'jotty.enqueueMs',
      against: `${peer}.enqueueMs`,
    },
    ...versus(peer, { enqueueInFlight: 10, process1: 10, process10: 10, process100: 10 }),
  ];
}

function versus(peer: string, goals: Readonly<Record<string, number>>): Row[] {
  return Object.entries(goals).map(([figure, times]) => ({
    label: LABELS[figure] ?? figure,
    unit: '/s',
    subject: `jotty.${figure}`,
    against: `${peer}.${figure}`,
    goal: { times },
  }));
}

const start: Section = {
  name: 'start',
  title: 'From enqueue to the start of an idle consumer (SQLite)',
  rounds: 2,
  quickRounds: 1,
  entrants: [
    { key: 'jotty', measure: 'latency', side: 'jotty' },
    { key: 'manager', measure: 'latency', side: 'jotty-manager' },
    { key: 'plainjob', measure: 'latency', side: 'plainjob' },
    { key: 'liteque', measure: 'latency', side: 'liteque', isSlow: true },
    { key: 'sidequest', measure: 'latency', side: 'sidequest', isSlow: true },
  ],
  rows: [
    ...['plainjob', 'liteque', 'sidequest'].map(
      (peer): Row => ({
        label: 'same process, p50',
        unit: 'ms',
        subject: 'jotty.startMs',
        against: `${peer}.startMs`,
        goal: { below: 2 },
      }),
    ),
    { label: 'same process, p99', unit: 'ms', subject: 'jotty.startP99Ms' },
    { label: 'same process, manager, p50', unit: 'ms', subject: 'manager.startMs', goal: { below: 2 } },
    { label: 'other process, p50', unit: 'ms', subject: 'jotty.otherStartMs', goal: { below: 60 } },
    {
      label: 'other process, manager, p50',
      unit: 'ms',
      subject: 'manager.otherStartMs',
      goal: { below: 60 },
    },
    { label: 'other process, manager, p99', unit: 'ms', subject: 'manager.otherStartP99Ms' },
  ],
};

const memory: Section = {
  name: 'memory',
  title: 'In memory: 20,000 tasks from enqueue to settled',
  rounds: 5,
  quickRounds: 2,
  entrants: [
    { key: 'jotty', measure: 'queue', side: 'jotty-memory' },
    { key: 'p-queue', measure: 'queue', side: 'p-queue' },
  ],
  rows: [
    ...[1, 10, 100].flatMap((c): Row[] => [
      {
        label: `enqueue, dequeue, settle, c=${c}`,
        unit: '/s',
        subject: `jotty.through${c}`,
        goal: { atLeast: 100_000 },
      },
      {
        label: `the same, of p-queue's rate, c=${c}`,
        unit: '/s',
        subject: `jotty.through${c}`,
        against: `p-queue.through${c}`,
        goal: { times: 1 / 3 },
      },
    ]),
    { label: 'process alone, c=100', unit: '/s', subject: 'jotty.process100', against: 'p-queue.process100' },
  ],
};

const depth: Section = {
  name: 'depth',
  title: 'Depth: 1,000 and 1,000,000 waiting (--quick: 100,000)',
  rounds: 2,
  quickRounds: 1,
  entrants: [
    { key: 'sqlite', measure: 'depth', side: 'jotty' },
    { key: 'plainjob', measure: 'depth', side: 'plainjob', roundsMax: 2 },
    { key: 'memory', measure: 'depth', side: 'jotty-memory' },
    { key: 'resident', measure: 'resident', side: 'jotty' },
  ],
  rows: [
    ...['sqlite', 'memory'].flatMap((key): Row[] => [
      {
        label: 'claim p50, deep against shallow',
        unit: 'ms',
        subject: `${key}.deep-claimMs`,
        against: `${key}.shallow-claimMs`,
        goal: { growth: 1.5 },
      },
      { label: 'insertion of all', unit: 's', subject: `${key}.deep-insertS`, goal: { below: 60 } },
      {
        label: 'longest block of the loop',
        unit: 'ms',
        subject: `${key}.deep-blockMs`,
        goal: { below: 100 },
      },
    ]),
    {
      label: 'claim p50, deep',
      unit: 'ms',
      subject: 'sqlite.deep-claimMs',
      against: 'plainjob.deep-claimMs',
    },
    {
      label: 'insertion of all',
      unit: 's',
      subject: 'sqlite.deep-insertS',
      against: 'plainjob.deep-insertS',
    },
    { label: 'resident, 100,000 waiting', unit: 'MB', subject: 'resident.waitingMB', goal: { below: 150 } },
    { label: 'resident, idle', unit: 'MB', subject: 'resident.idleMB', goal: { below: 100 } },
  ],
};

const graphs: Section = {
  name: 'graphs',
  title: 'A graph of three trivial nodes, ten at a time, synchronous durability',
  rounds: 3,
  quickRounds: 1,
  entrants: ['jotty-queue', 'official-saver', 'jotty-saver', 'memory-saver', 'no-saver'].map((side) => ({
    key: side,
    measure: 'graphs',
    side,
  })),
  rows: [
    graphRow('processQueue on SQLite', 'jotty-queue', 'official-saver', { times: 1.5 }),
    graphRow('processQueue on SQLite', 'jotty-queue', 'jotty-saver', { times: 0.8 }),
    graphRow('processQueue on SQLite', 'jotty-queue', 'memory-saver'),
    graphRow('processQueue on SQLite', 'jotty-queue', 'no-saver'),
    graphRow('bare graph, SQLiteSaver', 'jotty-saver', 'official-saver'),
  ],
};

function graphRow(label: string, subject: string, against: string, goal?: Goal): Row {
  return { label, unit: '/s', subject: `${subject}.runs`, against: `${against}.runs`, ...(goal && { goal }) };
}

const overhead: Section = {
  name: 'overhead',
  title: 'CPU of one run of that graph, turn by turn in one process, with the same saver',
  rounds: 3,
  quickRounds: 1,
  entrants: ['sqlite', 'memory'].map((side) => ({ key: side, measure: 'overhead', side })),
  rows: ['sqlite', 'memory'].flatMap((key): Row[] => [
    cpuRow(key, 'conductor.run, of the bare graph', 'run', 'bare', { growth: 1.1 }),
    cpuRow(key, 'with its events read (stream), of run', 'stream', 'run', { growth: 1.1 }),
    cpuRow(key, 'through a queue, of the bare graph', 'queue', 'bare', { growth: 1.1 }),
    cpuRow(key, 'with a reader of each, of the queue', 'read', 'queue'),
  ]),
};

function cpuRow(key: string, label: string, subject: string, against: string, goal?: Goal): Row {
  const figures = { subject: `${key}.${subject}Ms`, against: `${key}.${against}Ms` };
  return { label, unit: 'ms', ...figures, ...(goal && { goal }) };
}

const assignment: Section = {
  name: 'assignment',
  title: 'From the claim to the start of the agent, 1,000 tasks/s offered (SQLite, whole ms)',
  rounds: 2,
  quickRounds: 1,
  entrants: [{ key: 'jotty', measure: 'assignment', side: 'jotty' }],
  rows: [
    { label: 'claim to start, p50', unit: 'ms', subject: 'jotty.assignP50Ms' },
    { label: 'claim to start, p99', unit: 'ms', subject: 'jotty.assignP99Ms', goal: { below: 10 } },
  ],
};

export const SECTIONS: readonly Section[] = [
  sqlite,
  start,
  memory,
  depth,
  graphs,
  overhead,
  assignment,
  ...REDIS_SECTIONS,
  ...FLOW_SECTIONS,
];
