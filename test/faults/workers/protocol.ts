import { appendFileSync, readFileSync, writeSync } from 'node:fs';
import { createInterface } from 'node:readline';
import type { Backend } from './open-queue.ts';

/** One line of JSON, on stdout from a worker and on stdin to it. */
export interface Message {
  readonly type: string;
  readonly [key: string]: unknown;
}

export function parseLine(line: string): Message | null {
  try {
    const value: unknown = JSON.parse(line);
    return typeof value === 'object' && value !== null && 'type' in value ? (value as Message) : null;
  } catch {
    return null;
  }
}

/** Written synchronously: what a worker has said is out before the next statement, also when it is killed there. */
export function say(type: string, fields: Readonly<Record<string, unknown>> = {}): void {
  writeSync(1, `${JSON.stringify({ type, ...fields })}\n`);
}

export function sayError(where: string, error: unknown): void {
  const { name, message, code } = error as { name?: string; message?: string; code?: string };
  say('error', { where, name, message, code });
}

/**
 * Calls back for each command. The open pipe keeps the process alive until the result is called; that it is
 * closed means that the test is gone, and the worker with it.
 */
export function onCommand(listener: (command: Message) => void): () => void {
  const lines = createInterface({ input: process.stdin });
  lines.on('line', (line) => {
    const command = parseLine(line);
    if (command !== null) listener(command);
  });
  lines.on('close', () => process.exit(3));
  return () => (process.stdin as unknown as { unref(): void }).unref();
}

/** A line of the log that all processes of a test append to: proof of what ran, outside of the store. */
export interface LogLine {
  readonly id: string;
  readonly node: string;
  readonly phase: 'start' | 'end';
  readonly pid: number;
  /** ms since the epoch */
  readonly at: number;
  readonly fence?: number;
}

/** One O_APPEND write: whole also when many processes write and one is killed. */
export function appendLog(log: string, line: Omit<LogLine, 'pid' | 'at'>): void {
  appendFileSync(log, `${JSON.stringify({ ...line, pid: process.pid, at: Date.now() })}\n`);
}

export function readLog(log: string): LogLine[] {
  let text: string;
  try {
    text = readFileSync(log, 'utf8');
  } catch {
    return [];
  }
  return text
    .split('\n')
    .filter((line) => line.endsWith('}'))
    .map((line) => JSON.parse(line) as LogLine);
}

/** What a test hands to a worker as its only argument. */
export interface Settings {
  readonly backend: Backend;
  /** As `openQueue` takes it. */
  readonly path: string;
  readonly log: string;
  /** Options of the queue beside the path. */
  readonly queue: Readonly<Record<string, number | object>>;
  readonly seed: number;
  readonly concurrency: number;
  /** What only some workers look at. */
  readonly more: Readonly<Record<string, unknown>>;
}

export function readSettings(): Settings {
  return JSON.parse(process.argv[2] ?? '{}') as Settings;
}

/** Says it and ends: a test reads the message, the exit code says that it was not expected. */
export function dieLoudly(where: string): (error: unknown) => never {
  return (error) => {
    sayError(where, error);
    process.stderr.write(`${where}: ${error instanceof Error ? error.stack : String(error)}\n`);
    process.exit(1);
  };
}
