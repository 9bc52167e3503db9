import { fork } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Figures, quantile } from '../figures.ts';
import { sideByName } from '../peers/by-name.ts';
import type { Measure, Round } from '../round.ts';
import type { OpenQueue } from '../side.ts';
import { workItem } from '../work.ts';

/** Peers that poll once a second get few samples, so that a round stays short. */
const SAMPLES = { jotty: 200, 'jotty-manager': 200, others: 6 };
const QUICK_SAMPLES = { jotty: 60, 'jotty-manager': 60, others: 3 };
const OTHER_PROCESS_SAMPLES_MAX = 100;

/**
 * The idle gap between two samples. Most of it is random, as long as the side's poll where it polls, so that
 * tasks come at any phase of the poll and not always just after it.
 */
const IDLE_MS = 10;
const IDLE_RANDOM_MS = { wakes: 20, polls: 1_000 };

const START_MS_MAX = 10_000;

/** From the call of enqueue to the start of the handler of an idle consumer, by the shared monotonic clock. */
export const latency: Measure = async (round) => {
  const path = join(round.folder, 'latency.db');
  const open = await openSide(round.side, path);
  const waits = new Waits();
  const consumer = await open.consume(() => waits.started(process.hrtime.bigint()));
  const figures = { ...(await sameProcess(open, waits, round)), ...(await otherProcess(path, waits, round)) };
  await consumer.stop();
  await open.close();
  return figures;
};

/** The manager can be told apart from the bare queue only here: it is another consumer of the same queue. */
async function openSide(side: string, path: string): Promise<OpenQueue> {
  if (side === 'jotty-manager') return (await import('../peers/jotty-manager.ts')).openWithManager(path);
  return (await sideByName(side)).open(path);
}

async function sameProcess(open: OpenQueue, waits: Waits, round: Round): Promise<Figures> {
  const taken = await samples(round, sampleCount(round), waits, async (number) => {
    const from = process.hrtime.bigint();
    await open.enqueue(workItem(number));
    return from;
  });
  return { startMs: quantile(taken, 0.5), startP99Ms: quantile(taken, 0.99) };
}

/** Only Jotty promises a wake-up between processes. */
async function otherProcess(path: string, waits: Waits, round: Round): Promise<Figures> {
  if (!round.side.startsWith('jotty')) return {};
  const producer = fork(join(import.meta.dirname, '..', 'producer.ts'), [path]);
  await once(producer, 'message');
  const taken = await samples(
    round,
    Math.min(OTHER_PROCESS_SAMPLES_MAX, sampleCount(round)),
    waits,
    async (number) => {
      producer.send(number);
      const [stamp] = (await once(producer, 'message')) as [string];
      return BigInt(stamp);
    },
  );
  producer.disconnect();
  return { otherStartMs: quantile(taken, 0.5), otherStartP99Ms: quantile(taken, 0.99) };
}

async function samples(
  { side }: Round,
  count: number,
  waits: Waits,
  enqueue: (number: number) => Promise<bigint>,
): Promise<number[]> {
  const taken: number[] = [];
  const randomMs = side.startsWith('jotty') ? IDLE_RANDOM_MS.wakes : IDLE_RANDOM_MS.polls;
  for (let number = 0; number < count; number += 1) {
    await sleep(IDLE_MS + Math.random() * randomMs);
    const started = waits.next();
    const from = await enqueue(number);
    taken.push(Number((await started) - from) / 1e6);
  }
  return taken;
}

function sampleCount({ quick, side }: Round): number {
  const counts = quick ? QUICK_SAMPLES : SAMPLES;
  return side === 'jotty' || side === 'jotty-manager' ? counts[side] : counts.others;
}

/** Hands each start to the one sample that waits for it. */
class Waits {
  #resolve: (at: bigint) => void = () => {};

  /** When the next handler starts; refused when none does, so that a missed wake-up shows. */
  next(): Promise<bigint> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`no start within ${START_MS_MAX} ms`)), START_MS_MAX);
      this.#resolve = (at) => {
        clearTimeout(timer);
        resolve(at);
      };
    });
  }

  started(at: bigint): void {
    this.#resolve(at);
  }
}
