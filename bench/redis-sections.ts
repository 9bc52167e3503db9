import { LABELS } from './labels.ts';
import type { Entrant, Goal, Row, Section } from './sections.ts';

/** The sections on Redis; every side has the same private one, emptied before each part. */

const CONCURRENCIES = [1, 10, 100];

const queues: Section = {
  name: 'redis',
  title: 'Redis queues: 20,000 tasks',
  rounds: 3,
  quickRounds: 1,
  entrants: [
    ...['redis', 'bullmq', 'hybrid'].map((side) => entrant(side, 'queue')),
    entrant('manager', 'manager', 'redis'),
    { ...entrant('bee-queue', 'queue'), roundsMax: 2 },
  ],
  rows: [
    ...againstBullMQ('redis', { enqueueInFlight: 2, bulk: 3, process1: 1.2, process10: 2, process100: 3 }),
    ...againstBullMQ('hybrid', { enqueueInFlight: 2, bulk: 2, process1: 6, process10: 5, process100: 4 }),
    ...['redis', 'hybrid'].map(
      (key): Row => ({
        label: 'enqueue one by one, p50',
        unit: 'ms',
        subject: `${key}.enqueueMs`,
        against: 'bullmq.enqueueMs',
      }),
    ),
    ...CONCURRENCIES.map(
      (c): Row => ({
        label: `through TaskQueueManager, c=${c}`,
        unit: '/s',
        subject: `manager.process${c}`,
        against: `redis.process${c}`,
        goal: { times: 0.6 },
      }),
    ),
    commandsRow(1),
    commandsRow(10, { below: 2 }),
    commandsRow(100, { below: 0.3 }),
    {
      label: 'memory of a waiting task',
      unit: 'B',
      subject: 'redis.bytes10',
      against: 'bullmq.bytes10',
      goal: { below: 750 },
    },
    { label: 'memory of a waiting task', unit: 'B', subject: 'hybrid.bytes10', against: 'bullmq.bytes10' },
    ...Object.keys(LABELS).map((figure) => rateRow('redis', figure, 'bee-queue')),
    { label: 'memory of a waiting task', unit: 'B', subject: 'redis.bytes10', against: 'bee-queue.bytes10' },
  ],
};

function againstBullMQ(subject: string, goals: Readonly<Record<string, number>>): Row[] {
  return Object.entries(goals).map(([figure, times]) => rateRow(subject, figure, 'bullmq', { times }));
}

function rateRow(subject: string, figure: string, against: string, goal?: Goal): Row {
  return {
    label: LABELS[figure] ?? figure,
    unit: '/s',
    subject: `${subject}.${figure}`,
    against: `${against}.${figure}`,
    ...(goal && { goal }),
  };
}

function commandsRow(concurrency: number, goal?: Goal): Row {
  return {
    label: `commands for a task, those of scripts too, c=${concurrency}`,
    unit: 'commands',
    subject: `redis.commands${concurrency}`,
    against: `bullmq.commands${concurrency}`,
    ...(goal && { goal }),
  };
}

/** At most 0.7 times as long. */
const SOONER: Goal = { times: 1 / 0.7 };

const start: Section = {
  name: 'redis-start',
  title: 'From enqueue to the start of an idle consumer (Redis)',
  rounds: 2,
  quickRounds: 1,
  entrants: [
    ...['redis', 'bullmq', 'hybrid'].map((side) => entrant(side, 'latency')),
    entrant('manager', 'latency', 'redis-manager'),
    { ...entrant('bee-queue', 'latency'), roundsMax: 1 },
  ],
  rows: [
    startRow('redis', 'bullmq', SOONER),
    startRow('hybrid', 'bullmq'),
    startRow('manager', 'bullmq'),
    startRow('redis', 'bee-queue'),
    otherStartRow('redis', SOONER),
    otherStartRow('hybrid'),
    otherStartRow('manager'),
  ],
};

function startRow(subject: string, against: string, goal?: Goal): Row {
  return {
    label: 'same process, p50',
    unit: 'ms',
    subject: `${subject}.startMs`,
    against: `${against}.startMs`,
    ...(goal && { goal }),
  };
}

function otherStartRow(subject: string, goal?: Goal): Row {
  return {
    label: 'other process, p50',
    unit: 'ms',
    subject: `${subject}.otherStartMs`,
    against: 'bullmq.otherStartMs',
    ...(goal && { goal }),
  };
}

const fleet: Section = {
  name: 'redis-fleet',
  title: 'Four worker processes, c=10 each, and ten idle workers (Redis)',
  rounds: 2,
  quickRounds: 1,
  entrants: [
    ...['redis', 'bullmq', 'hybrid'].map((side) => entrant(side, 'fleet')),
    idleEntrant('idle-redis', 'redis-manager'),
    idleEntrant('idle-hybrid', 'hybrid-manager'),
    { ...idleEntrant('idle-bullmq', 'bullmq'), isSlow: true },
  ],
  rows: [
    fleetRow('redis', { times: 1.5 }),
    fleetRow('hybrid'),
    idleRow('idle-redis', { below: 20 }),
    idleRow('idle-hybrid', { below: 20 }),
  ],
};

function fleetRow(subject: string, goal?: Goal): Row {
  return {
    label: 'four processes together',
    unit: '/s',
    subject: `${subject}.process`,
    against: 'bullmq.process',
    ...(goal && { goal }),
  };
}

/** Each has a Redis of its own, which it asks a few commands a second: no other figure feels that. */
function idleEntrant(key: string, side: string): Entrant {
  return { ...entrant(key, 'idle', side), roundsMax: 1, isBeside: true };
}

function idleRow(subject: string, goal: Goal): Row {
  return {
    label: 'ten idle workers together',
    unit: 'commands/s',
    subject: `${subject}.commandsPerS`,
    against: 'idle-bullmq.commandsPerS',
    goal,
  };
}

const depth: Section = {
  name: 'redis-depth',
  title: 'Depth on Redis: 1,000 and 1,000,000 waiting (--quick: 100,000)',
  rounds: 2,
  quickRounds: 1,
  entrants: [entrant('redis', 'depth'), { ...entrant('hybrid', 'depth'), roundsMax: 1 }],
  rows: [
    {
      label: 'claim p50, deep against shallow',
      unit: 'ms',
      subject: 'redis.deep-claimMs',
      against: 'redis.shallow-claimMs',
      goal: { growth: 1.5 },
    },
    { label: 'insertion of all', unit: 's', subject: 'redis.deep-insertS', goal: { below: 60 } },
    { label: 'longest block of the loop', unit: 'ms', subject: 'redis.deep-blockMs', goal: { below: 100 } },
    { label: 'claim p50', unit: 'ms', subject: 'hybrid.shallow-claimMs', goal: { below: 0.02 } },
    { label: 'claim p50', unit: 'ms', subject: 'hybrid.deep-claimMs', goal: { below: 0.02 } },
  ],
};

const graphs: Section = {
  name: 'redis-graphs',
  title: 'A graph of three trivial nodes, ten at a time, checkpoints on Redis',
  rounds: 3,
  quickRounds: 1,
  entrants: [
    ...['redis-saver', 'plain-redis-saver', 'memory-saver'].map((side) => entrant(side, 'graphs')),
    entrant('redis-queue', 'graphs'),
  ],
  rows: [
    graphRow('RedisSaver', 'redis-saver', 'plain-redis-saver', { times: 1.3 }),
    graphRow('RedisSaver', 'redis-saver', 'memory-saver', { times: 0.75 }),
    graphRow('processQueue on Redis', 'redis-queue', 'redis-saver'),
  ],
};

function graphRow(label: string, subject: string, against: string, goal?: Goal): Row {
  return { label, unit: '/s', subject: `${subject}.runs`, against: `${against}.runs`, ...(goal && { goal }) };
}

function entrant(key: string, measure: string, side = key): Entrant {
  return { key, measure, side };
}

export const REDIS_SECTIONS: readonly Section[] = [queues, start, fleet, depth, graphs];
