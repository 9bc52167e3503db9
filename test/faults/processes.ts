import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { type Message, parseLine } from './workers/protocol.ts';

/** How long a test waits for a line or an exit when it does not say. Far above what two busy cores need. */
const DEADLINE_MS = 15_000;

export interface Exit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

interface Waiter {
  readonly matches: (message: Message) => boolean;
  readonly resolve: (message: Message) => void;
  readonly reject: (reason: Error) => void;
}

/** A real process that says JSON lines on its stdout and takes JSON lines on its stdin. */
export class Child {
  readonly exited: Promise<Exit>;
  readonly name: string;
  readonly #process: ChildProcessWithoutNullStreams;
  readonly #messages: Message[] = [];
  readonly #waiters = new Set<Waiter>();
  #partial = '';
  #stderr = '';
  #exit: Exit | undefined;

  constructor(name: string, command: readonly string[], cwd: string) {
    this.name = name;
    const [program = '', ...args] = command;
    // A process group of its own, so that the end of the test also reaches what a wrapper started.
    this.#process = spawn(program, args, { cwd, stdio: 'pipe', detached: true });
    this.#process.stdout.setEncoding('utf8').on('data', (text: string) => this.#read(text));
    this.#process.stderr.setEncoding('utf8').on('data', (text: string) => {
      this.#stderr += text;
    });
    // Writing to a process that has just died is part of the game.
    this.#process.stdin.on('error', () => {});
    this.exited = new Promise((resolve, reject) => {
      this.#process.once('error', reject);
      this.#process.once('close', (code, signal) => resolve(this.#end({ code, signal })));
    });
    this.exited.catch(() => {});
  }

  get pid(): number {
    if (this.#process.pid === undefined) throw new Error(`${this.name} did not start`);
    return this.#process.pid;
  }

  get running(): boolean {
    return this.#exit === undefined && this.#process.exitCode === null && this.#process.signalCode === null;
  }

  get stderr(): string {
    return this.#stderr;
  }

  /** What it has said so far, of one type. */
  said(type: string): readonly Message[] {
    return this.#messages.filter((message) => message.type === type);
  }

  send(command: Message): void {
    this.#process.stdin.write(`${JSON.stringify(command)}\n`);
  }

  /** Does nothing when it has ended. */
  kill(signal: NodeJS.Signals): void {
    if (this.running) process.kill(this.pid, signal);
  }

  /** The first message, said already or still to come, of this type and with these fields. */
  async until(
    type: string,
    fields: Readonly<Record<string, unknown>> = {},
    withinMs = DEADLINE_MS,
  ): Promise<Message> {
    const matches = (message: Message): boolean =>
      message.type === type && Object.entries(fields).every(([key, value]) => message[key] === value);
    const said = this.#messages.find(matches);
    if (said !== undefined) return said;
    if (this.#exit !== undefined) throw this.#silence(type, fields);
    const waiting = new Promise<Message>((resolve, reject) =>
      this.#waiters.add({ matches, resolve, reject }),
    );
    return within(
      waiting,
      withinMs,
      () => `${this.name} did not say ${type} ${JSON.stringify(fields)}${this.#sofar()}`,
    );
  }

  async untilExit(withinMs = DEADLINE_MS): Promise<Exit> {
    return within(this.exited, withinMs, () => `${this.name} did not exit${this.#sofar()}`);
  }

  /** Kills the whole group; resolves when it is gone. */
  async destroy(): Promise<void> {
    try {
      process.kill(-this.pid, 'SIGKILL');
    } catch {
      // It has ended already, or never started.
    }
    await this.exited.catch(() => {});
  }

  #read(text: string): void {
    const lines = (this.#partial + text).split('\n');
    this.#partial = lines.pop() ?? '';
    for (const line of lines) {
      const message = parseLine(line);
      if (message !== null) this.#hear(message);
    }
  }

  #hear(message: Message): void {
    this.#messages.push(message);
    for (const waiter of this.#waiters) {
      if (!waiter.matches(message)) continue;
      this.#waiters.delete(waiter);
      waiter.resolve(message);
    }
  }

  #end(exit: Exit): Exit {
    this.#exit = exit;
    for (const waiter of this.#waiters) waiter.reject(this.#silence('what was awaited', {}));
    this.#waiters.clear();
    return exit;
  }

  #silence(type: string, fields: object): Error {
    const { code, signal } = this.#exit ?? {};
    return new Error(
      `${this.name} ended (${code ?? signal}) without saying ${type} ${JSON.stringify(fields)}${this.#sofar()}`,
    );
  }

  #sofar(): string {
    return `\nlast said: ${JSON.stringify(this.#messages.slice(-5))}\nstderr: ${this.#stderr.slice(-2_000)}`;
  }
}

/** Rejects with `problem` when the promise takes longer. */
async function within<T>(promise: Promise<T>, ms: number, problem: () => string): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${problem()}\nwithin ${ms} ms`)), ms);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** Asks again every few milliseconds until the answer is yes. For facts in files and stores that send no event. */
export async function eventually(
  question: () => boolean | Promise<boolean>,
  ms: number,
  problem: () => string,
): Promise<void> {
  const deadline = performance.now() + ms;
  while (!(await question())) {
    if (performance.now() > deadline) throw new Error(`${problem()}\nwithin ${ms} ms`);
    await moment(10);
  }
}

/** The pause between two blows of a storm; never used to wait for something to become true. */
export function moment(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
