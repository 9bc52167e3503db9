import { isFenced } from '../checkpoint/fence.ts';
import { systemClock } from '../clock.ts';
import { TimeoutError } from '../errors.ts';
import type { JsonValue } from '../json.ts';
import type { AgentCallOptions, AttemptInfo } from './agent.ts';
import type { Attempt, AttemptEnd } from './attempt.ts';
import { type Checkpointer, RunControl } from './graph.ts';
import type { TaskCheckpoint, Travel } from './graph-travel.ts';
import type { FromWorker, RunData } from './isolated-message.ts';
import type { Crossing } from './isolated-run.ts';
import { crashOf, type IsolatedUnit, startUnit } from './isolated-unit.ts';
import type { ModulePlace, ResolvedIsolation } from './isolation.ts';
import { aroundOf, type PartStream } from './part-graph.ts';
import { TOKENS_MODE } from './part-tokens.ts';
import { type MeterHandler, meterAmong } from './remote-meter.ts';
import { bodyOf, DEATH_MS, RunBody, setBody } from './run-body.ts';
import type { StoreErrors } from './store-errors.ts';
import type { TeamOffer } from './team-input.ts';
import type { MemberEnd, NodeConfig } from './team-node.ts';
import { within } from './wakeup.ts';

/** What a part tells as it goes. */
const PART_MODES: readonly string[] = ['tasks', 'updates', TOKENS_MODE];

/**
 * An agent in threads or processes of its own, one for each run at a time: there are as many as runs of it, and
 * those whose run has ended wait a while for the next. One that has been killed, or has died, is not used again.
 */
export class IsolatedAgent {
  readonly graceMs: number;
  readonly #place: ModulePlace;
  readonly #isolation: ResolvedIsolation;
  readonly #idle: IsolatedUnit[] = [];
  /** All that live. */
  readonly #units = new Set<IsolatedUnit>();
  readonly #started = new WeakSet<IsolatedUnit>();
  #isClosed = false;

  constructor(place: ModulePlace, isolation: ResolvedIsolation) {
    this.#place = place;
    this.#isolation = isolation;
    this.graceMs = isolation.graceMs;
  }

  /** As `runAttempt`, elsewhere. */
  async run(
    attempt: Attempt,
    checkpointer: () => Promise<Checkpointer>,
    errors?: StoreErrors,
  ): Promise<AttemptEnd> {
    const opened = checkpointer();
    const saver = await (errors?.from(opened) ?? opened);
    const watched = errors === undefined ? saver : watchedBy(errors, saver);
    const data = dataOf(attempt, isFenced(saver));
    return (await this.#runIn({ data, info: attempt.info, saver: watched, attempt })) as AttemptEnd;
  }

  /** As a part of a team: its checkpoints are in the namespace of the node that `config` is of. */
  async call(offer: TeamOffer, options: AgentCallOptions, config: NodeConfig): Promise<MemberEnd> {
    const { signal, writer, configurable, metadata } = options;
    const { place, saver, stream } = aroundOf(config);
    const meter = meterAmong(options.callbacks);
    const info = { ...configurable.jotty, signal } as AttemptInfo;
    const whose = bodyOf(configurable.jotty);
    if (whose !== undefined) setBody(info, whose);
    const callbacks = meter && ((): [MeterHandler] => [meter]);
    const onChunk = stream && ((...chunk: Parameters<PartStream['push']>[0]) => stream.push(chunk));
    const watched = { onChunk, onCustom: writer, callbacks, onStep: undefined };
    const attempt = { control: config.control ?? new RunControl(), shared: undefined, ...watched };
    const { answers } = info.effects;
    const whole = { ...attempt, info, task: {}, answers, fenced: false, startsAgain: false } as never;
    const modes = [...(stream?.modes ?? [])].filter((mode) => PART_MODES.includes(mode));
    const data = {
      ...dataOf(whole, isFenced(saver)),
      call: { offer, place, hasSaver: saver !== undefined, modes },
      ...(metadata && { metadata: dataIn(metadata) }),
    };
    return (await this.#runIn({ data, info, saver, attempt }, configurable.jotty.signal)) as MemberEnd;
  }

  /** As `travelIn`, where its graph is. */
  async travel(agent: string, saver: Checkpointer, travel: Travel): Promise<TaskCheckpoint[]> {
    const { signal } = new AbortController();
    const info = { threadId: '', agent, attempt: 1, fence: 0, failures: [], signal, effects: {} };
    const attempt = { control: new RunControl(), onChunk: undefined, onCustom: undefined, shared: undefined };
    const rest = { callbacks: undefined, onStep: undefined };
    const whole = { ...attempt, ...rest, info, task: {}, answers: [], fenced: false } as never;
    const data = { ...dataOf(whole, isFenced(saver)), travel };
    const crossing = { data, info: info as never, saver, attempt: { ...attempt, ...rest } };
    return (await this.#runIn(crossing)) as TaskCheckpoint[];
  }

  /** Resolves when nothing of it is left; what is at work gets its grace first. */
  async close(): Promise<void> {
    this.#isClosed = true;
    for (const unit of this.#idle.splice(0)) unit.kill();
    const gone = Promise.all([...this.#units].map(({ exited }) => exited));
    if (await within(systemClock, this.graceMs, gone)) return;
    for (const unit of this.#units) unit.kill();
    await within(systemClock, DEATH_MS, gone);
  }

  /** `whole` is the signal of the run that this is a part of: whoever aborts that sees to its end. */
  async #runIn(crossing: Crossing, whole: AbortSignal = crossing.info.signal): Promise<unknown> {
    const { info } = crossing;
    const given = bodyOf(info);
    const body = given ?? new RunBody();
    const unit = this.#idle.pop() ?? this.#startUnit();
    unit.hold(true);
    const forget = body.onKill(() => unit.kill());
    // Nobody else ends a run without a queue.
    const end = () => void body.end(this.graceMs, systemClock);
    if (given === undefined) info.signal.addEventListener('abort', end, { once: true });
    try {
      // Loaded here, since it loads the codec of checkpoints.
      const { IsolatedRun } = await import('./isolated-run.ts');
      await this.#ready(unit);
      const run = new IsolatedRun(unit, crossing);
      void body.during(run.idle).then((isFit) => {
        forget();
        this.#release(unit, isFit);
      });
      const outlive = () => {
        if (!whole.aborted) void this.#outlive(run.idle, unit);
      };
      // At the time-out of its node, or the failure of one beside it.
      info.signal.addEventListener('abort', outlive, { once: true });
      try {
        return await body.during(run.run(this.#place));
      } finally {
        info.signal.removeEventListener('abort', outlive);
        outlive();
      }
    } catch (error) {
      if (!this.#started.has(unit)) unit.kill();
      throw error;
    } finally {
      info.signal.removeEventListener('abort', end);
    }
  }

  #startUnit(): IsolatedUnit {
    const unit = startUnit(this.#isolation);
    this.#units.add(unit);
    void unit.exited.then(() => this.#units.delete(unit));
    return unit;
  }

  /** Code that goes on after its run has ended gets the grace, and no other run. */
  async #outlive(idle: Promise<boolean>, unit: IsolatedUnit): Promise<void> {
    if (!(await within(systemClock, this.graceMs, idle))) unit.kill();
  }

  async #ready(unit: IsolatedUnit): Promise<void> {
    if (this.#started.has(unit)) return;
    const isReady = new Promise<void>((resolve, reject) => {
      unit.onMessage = (message) => {
        if ((message as FromWorker).type === 'ready') resolve();
      };
      void unit.exited.then((exit) => reject(crashOf(exit)));
    });
    isReady.catch(() => {});
    const { startMs } = this.#isolation;
    if (!(await within(systemClock, startMs, isReady)))
      throw new TimeoutError(`the agent's ${this.#isolation.in} did not start within ${startMs} ms`);
    await isReady;
    this.#started.add(unit);
  }

  #release(unit: IsolatedUnit, isFit: boolean): void {
    unit.hold(false);
    if (!isFit || this.#isClosed || this.#isolation.idleMs === 0) {
      unit.kill();
      return;
    }
    this.#idle.push(unit);
    const timer = systemClock.setTimeout(() => this.#retire(unit), this.#isolation.idleMs);
    void unit.exited.then(() => {
      systemClock.clearTimeout(timer);
      this.#retire(unit);
    });
  }

  #retire(unit: IsolatedUnit): void {
    const at = this.#idle.indexOf(unit);
    if (at < 0) return;
    this.#idle.splice(at, 1);
    unit.kill();
  }
}

/** What the queue knows to be an error of the store. */
function watchedBy(errors: StoreErrors, saver: Checkpointer): Checkpointer {
  return new Proxy(saver, {
    get(_, key) {
      const value: unknown = Reflect.get(saver, key);
      if (typeof value !== 'function') return value;
      return (...args: unknown[]) => {
        const result: unknown = value.apply(saver, args);
        return result instanceof Promise ? errors.from(result) : result;
      };
    },
  });
}

/** What of LangChain's metadata is data. */
function dataIn(metadata: Readonly<Record<string, unknown>>): Record<string, JsonValue> {
  const isText = ([, value]: [string, unknown]) => typeof value === 'string';
  return Object.fromEntries(Object.entries(metadata).filter(isText)) as Record<string, JsonValue>;
}

/** All of a run that is data. */
function dataOf(attempt: Attempt, isSaverFenced: boolean): RunData {
  const { info, task, answers, fenced, startsAgain, goal, replaces, shared } = attempt;
  const { signal: _, spend: __, children, effects, isSpent, ...told } = info;
  return JSON.parse(
    JSON.stringify({
      info: told,
      hasChildren: children !== undefined,
      effects: effects.recorded,
      answers,
      task,
      isSaverFenced,
      sharedBy: shared?.taskId,
      fenced,
      startsAgain,
      goal,
      replaces,
      isMetered: attempt.callbacks !== undefined,
      countsSteps: attempt.onStep !== undefined,
      boundsTeam: isSpent !== undefined,
      streams: attempt.onChunk !== undefined,
      streamsTokens: attempt.streamsTokens === true,
      streamsUpdates: attempt.streamsUpdates === true,
      tellsCustom: attempt.onCustom !== undefined,
    }),
  ) as RunData;
}
