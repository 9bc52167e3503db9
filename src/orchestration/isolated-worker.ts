/**
 * The other side of an isolated agent: a thread or process that loads the agent's module and runs it as a conductor
 * would, with savers, children and effects that are calls back to the conductor. It is started, not imported.
 */
import { parentPort } from 'node:worker_threads';
import { decodeState } from '../checkpoint/state-decoder.ts';
import { encodeState } from '../checkpoint/state-encoder.ts';
import { systemClock } from '../clock.ts';
import { InvalidOptionError } from '../errors.ts';
import { type Agent, type AgentInput, type AttemptInfo, loadAgent } from './agent.ts';
import { type AttemptEnd, runAttempt } from './attempt.ts';
import { EffectLedger } from './effect-ledger.ts';
import { type Checkpointer, isGraph, RunControl } from './graph.ts';
import { noGraph, type Travel, travelIn } from './graph-travel.ts';
import {
  CHUNKS_MAX,
  type FromWorker,
  type PartCall,
  type RunData,
  type RunMessage,
  type ToWorker,
} from './isolated-message.ts';
import { checkTeamBudget } from './isolation.ts';
import { lightCallbacks } from './light-callbacks.ts';
import { type PartStream, partConfigurable } from './part-graph.ts';
import { partTokens, TOKENS_MODE } from './part-tokens.ts';
import { RemoteMeter } from './remote-meter.ts';
import { RemoteFencedSaver, RemoteSaver } from './remote-saver.ts';
import { RunBody, setBody } from './run-body.ts';
import { inputOf } from './team-input.ts';
import { endOf, type MemberEnd, runPart } from './team-node.ts';
import { fromWire, toWire, type WireError } from './wire-error.ts';

interface Call {
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: unknown) => void;
}

const agents = new Map<string, Promise<Agent>>();
/** Which errors are the conductor's, by the number it has them under. */
const refs = new WeakMap<object, number>();
/** Of all runs: none takes the answer to a call of another for its own. */
const calls = new Map<number, Call>();
let lastCall = 0;
let current: WorkerRun | undefined;

function say(message: FromWorker): void {
  if (parentPort !== null) parentPort.postMessage(message);
  // Nobody is left: the channel has closed, and the end comes with that.
  else if (process.connected) process.send?.(message, () => {});
}

async function revived(wire: WireError): Promise<Error> {
  const fields = wire.fields === undefined ? {} : await decodeState(wire.fields);
  const cause = wire.cause === undefined ? undefined : await revived(wire.cause);
  const error = fromWire(wire, fields as object, () => cause);
  if (wire.ref !== undefined) refs.set(error, wire.ref);
  return error;
}

/** One run of the agent on this side. */
class WorkerRun {
  #data!: RunData;
  readonly #controller = new AbortController();
  readonly #control = new RunControl();
  readonly #body = new RunBody();
  #chunksLeft = CHUNKS_MAX;

  async run(message: RunMessage): Promise<void> {
    const end = this.#body.during(this.#run(message));
    const told = await end.then(
      (value) => ({ end: encodeState(value) }),
      (error: unknown) => ({ error: toWire(error, (known) => refs.get(known)) }),
    );
    say({ type: 'end', ...told });
    await this.#body.idle();
    say({ type: 'idle' });
  }

  async hear(message: ToWorker): Promise<void> {
    switch (message.type) {
      case 'reply': {
        const call = calls.get(message.call);
        calls.delete(message.call);
        if (message.error !== undefined) call?.reject(await revived(message.error));
        else call?.resolve(message.value === undefined ? undefined : await decodeState(message.value));
        return;
      }
      case 'abort':
        this.#controller.abort(await revived(message.error));
        return;
      case 'drain':
        this.#control.requestDrain(message.reason);
        return;
      case 'taken':
        this.#chunksLeft += message.chunks;
    }
  }

  async #run({ url, export: name, data: text }: RunMessage): Promise<AttemptEnd | unknown> {
    this.#data = (await decodeState(text)) as RunData;
    const data = this.#data;
    const agent = await agentAt(url, name, String(data.info.agent));
    if (data.call !== undefined) {
      checkTeamBudget(agent.name, agent.budget !== undefined, false);
      return this.#callAgent(agent, data.call);
    }
    if (data.travel !== undefined) return this.#travel(agent, data.travel);
    checkTeamBudget(agent.name, agent.budget !== undefined, data.boundsTeam);
    return runAttempt(
      {
        agent,
        task: data.task as never,
        answers: data.answers as never,
        info: this.#info(),
        control: this.#control,
        fenced: data.fenced,
        startsAgain: data.startsAgain,
        goal: data.goal,
        replaces: data.replaces,
        shared: data.sharedBy === undefined ? undefined : this.#shared(data.sharedBy),
        onChunk: data.streams ? (namespace, mode, chunk) => this.#tell(mode, namespace, chunk) : undefined,
        streamsTokens: data.streamsTokens,
        streamsUpdates: data.streamsUpdates,
        callbacks: data.isMetered ? () => [this.#meter()] : undefined,
        onStep: data.countsSteps ? async () => void (await this.#call('step', [])) : undefined,
        onCustom: data.tellsCustom ? (chunk) => this.#tell('custom!', [], chunk) : undefined,
      },
      async () => this.#saver(),
    );
  }

  async #travel({ name, graph, compose }: Agent, travel: Travel): Promise<unknown> {
    const whole = compose === undefined ? graph : await compose();
    if (whole === undefined) throw noGraph(name);
    return travelIn(whole, this.#saver(), travel);
  }

  async #callAgent(agent: Agent, call: PartCall): Promise<MemberEnd> {
    const info = this.#info();
    const { metadata } = this.#data;
    const graph = agent.compose === undefined ? agent.graph : await agent.compose();
    const worker: unknown = graph ?? agent.invokable;
    const callbacks = await this.#callbacks(isGraph(worker), call);
    const { input } = await inputOf(agent, call.offer);
    const options = {
      signal: this.#controller.signal,
      writer: (chunk: unknown) => this.#tell('custom!', [], chunk),
      ...(callbacks && { callbacks: callbacks as object[] }),
      ...(metadata && { metadata: { ...metadata } }),
      configurable: { thread_id: info.threadId, jotty: info },
    };
    if (!isGraph(worker)) return endOf(agent, await agent.invokable.invoke(input as AgentInput, options));
    const configurable = { ...this.#partConfigurable(call), ...options.configurable };
    const config = { ...options, configurable, control: this.#control, durability: 'sync' };
    return endOf(agent, await runPart(agent, worker, input, config));
  }

  #partConfigurable({ place, hasSaver, modes }: PartCall): Record<string, unknown> {
    const push: PartStream['push'] = ([namespace, mode, chunk]) => {
      if (modes.includes(mode)) this.#tell(mode, namespace, chunk);
    };
    const stream = modes.length === 0 ? undefined : { modes: new Set(modes), push };
    return partConfigurable(place, hasSaver ? this.#saver() : undefined, stream);
  }

  async #callbacks(isOfGraph: boolean, { modes, place }: PartCall): Promise<object | undefined> {
    const { isMetered } = this.#data;
    if (modes.includes(TOKENS_MODE)) {
      const push: PartStream['push'] = ([namespace, mode, chunk]) => this.#tell(mode, namespace, chunk);
      const tokens = await partTokens(push, place.checkpoint_ns);
      return isMetered ? [this.#meter(), tokens] : [tokens];
    }
    if (!isMetered) return undefined;
    return isOfGraph ? (await lightCallbacks())(this.#meter()) : [this.#meter()];
  }

  #meter(): RemoteMeter {
    const ask = (method: string, ...args: unknown[]) => this.#call(`meter.${method}`, args);
    return new RemoteMeter(ask, (runId) => say({ type: 'token', runId }));
  }

  #saver(): Checkpointer {
    const ask = (method: string, ...args: unknown[]) => this.#call(`saver.${method}`, args);
    return (this.#data.isSaverFenced
      ? new RemoteFencedSaver(ask)
      : new RemoteSaver(ask)) as unknown as Checkpointer;
  }

  #info(): AttemptInfo {
    const { info, effects, answers, hasChildren, boundsTeam } = this.#data;
    const ledger = new EffectLedger({
      recorded: effects as never,
      answers: answers as never,
      attempt: Number(info.attempt),
      clock: systemClock,
      write: async (written) => void (await this.#call('effects', [written])),
    });
    const whole = {
      ...(info as unknown as AttemptInfo),
      signal: this.#controller.signal,
      effects: ledger,
      spend: (key, weight) => {
        if (!Number.isSafeInteger(weight) || weight < 0)
          throw new InvalidOptionError('weight', 'a whole number from 0', weight);
        say({ type: 'spend', key, weight });
      },
      ...(boundsTeam && { isSpent: () => this.#call('isSpent', []) as Promise<boolean> }),
      ...(hasChildren && { children: (goals) => this.#call('children', [goals]) as Promise<string[]> }),
    } as AttemptInfo;
    setBody(whole, this.#body);
    return whole;
  }

  #shared(taskId: string) {
    return {
      taskId,
      isOpen: (id: string) => this.#call('isOpen', [id]) as Promise<boolean>,
      confirmLease: async () => void (await this.#call('confirmLease', [])),
    };
  }

  #call(method: string, args: readonly unknown[]): Promise<unknown> {
    if (current !== this) return Promise.reject(new Error('the run is over'));
    const call = ++lastCall;
    const text = encodeState(args);
    return new Promise((resolve, reject) => {
      calls.set(call, { resolve, reject });
      say({ type: 'call', call, method, args: text });
    });
  }

  #tell(mode: string, namespace: readonly string[], chunk: unknown): void {
    if (this.#chunksLeft === 0) return;
    this.#chunksLeft -= 1;
    say({ type: 'chunk', mode, namespace, chunk: textOf(chunk) });
  }
}

function textOf(chunk: unknown): string {
  try {
    return encodeState(chunk);
  } catch (error) {
    return encodeState({ unreadable: String(error) });
  }
}

function agentAt(url: string, name: string, agent: string): Promise<Agent> {
  const key = `${agent} ${name} ${url}`;
  const loading = agents.get(key) ?? loadAgent(agent, { url, export: name });
  agents.set(key, loading);
  return loading;
}

async function hear(message: ToWorker): Promise<void> {
  if (message.type !== 'run') return current?.hear(message);
  current = new WorkerRun();
  await current.run(message);
}

if (parentPort !== null) parentPort.on('message', (message: ToWorker) => void hear(message));
else {
  process.on('message', (message: ToWorker) => void hear(message));
  // The conductor is gone, however it went.
  process.on('disconnect', () => process.exit());
}
say({ type: 'ready' });
