import { fork } from 'node:child_process';
import { once } from 'node:events';
import { extname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Figures, quantile } from '../figures.ts';
import { sideByName } from '../peers/by-name.ts';
import type { Place } from '../private-redis.ts';
import type { Measure } from '../round.ts';
import type { OpenQueue } from '../side.ts';
import { workItem } from '../work.ts';

/** Peers that poll once a second get few samples, so that a round stays short. */
const SAMPLES = { wakes: 200, polls: 6 };
const QUICK_SAMPLES = { wakes: 20, polls: 2 };
/** Of those that are woken the first starts are those of cold code; a poll takes longer than that. */
const WARM_UP_SAMPLES = { wakes: 5, polls: 0 };
const OTHER_PROCESS_SAMPLES_MAX = 100;

/**
 * The idle gap between two samples. Most of it is random, as long as the side's poll where it polls, so that
 * tasks come at any phase of the poll and not always just after it.
 */
const IDLE_MS = 10;
const IDLE_RANDOM_MS = { wakes: 20, polls: 1_000 };

const START_MS_MAX = 10_000;

/** From the call of enqueue to the start of the handler of an idle consumer, by the shared monotonic clock. */
export const latency: Measure = async ({ side: name, folder, quick }) => {
  const side = await sideByName(name);
  const open = await side.open(join(folder, 'latency.db'));
  const kind = side.wakes ? 'wakes' : 'polls';
  const samples = (quick ? QUICK_SAMPLES : SAMPLES)[kind];
  const sampler = new Sampler(IDLE_RANDOM_MS[kind], WARM_UP_SAMPLES[kind], samples);
  const consumer = await open.consume(() => sampler.started(process.hrtime.bigint()));
  const same = await sameProcess(open, sampler);
  // Only of those that are woken is it interesting whether that works between processes.
  const other = side.wakes && side.join ? await otherProcess(name, open.place, sampler) : {};
  await consumer.stop();
  await open.close();
  return { ...same, ...other };
};

async function sameProcess(open: OpenQueue, sampler: Sampler): Promise<Figures> {
  const taken = await sampler.take(async (number) => {
    const from = process.hrtime.bigint();
    await open.enqueue(workItem(number));
    return from;
  });
  return { startMs: quantile(taken, 0.5), startP99Ms: quantile(taken, 0.99) };
}

async function otherProcess(side: string, place: Place | undefined, sampler: Sampler): Promise<Figures> {
  const script = join(import.meta.dirname, '..', `producer${extname(import.meta.filename)}`);
  const producer = fork(script, [JSON.stringify({ side, place })]);
  await once(producer, 'message');
  const taken = await sampler.take(async (number) => {
    producer.send(number);
    const [stamp] = (await once(producer, 'message')) as [string];
    return BigInt(stamp);
  }, OTHER_PROCESS_SAMPLES_MAX);
  producer.disconnect();
  return { otherStartMs: quantile(taken, 0.5), otherStartP99Ms: quantile(taken, 0.99) };
}

/** Enqueues after idle gaps, and hands each start to the one sample that waits for it. */
class Sampler {
  readonly #randomMs: number;
  readonly #warmUp: number;
  readonly #count: number;
  #resolve: (at: bigint) => void = () => {};

  constructor(randomMs: number, warmUp: number, count: number) {
    this.#randomMs = randomMs;
    this.#warmUp = warmUp;
    this.#count = count;
  }

  /** The milliseconds from each enqueue to its start. */
  async take(
    enqueue: (number: number) => Promise<bigint>,
    countMax = Number.POSITIVE_INFINITY,
  ): Promise<number[]> {
    const taken: number[] = [];
    const count = this.#warmUp + Math.min(this.#count, countMax);
    for (let number = 0; number < count; number += 1) {
      await sleep(IDLE_MS + Math.random() * this.#randomMs);
      const started = this.#next();
      const from = await enqueue(number);
      taken.push(Number((await started) - from) / 1e6);
    }
    return taken.slice(this.#warmUp);
  }

  started(at: bigint): void {
    this.#resolve(at);
  }

  /** When the next handler starts; refused when none does, so that a missed wake-up shows. */
  #next(): Promise<bigint> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`no start within ${START_MS_MAX} ms`)), START_MS_MAX);
      this.#resolve = (at) => {
        clearTimeout(timer);
        resolve(at);
      };
    });
  }
}
