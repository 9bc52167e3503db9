import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { ExampleProcess } from '../example-process.ts';
import { tree } from './tree.ts';

export const FOLDERS = 40;
const SOURCES = Object.fromEntries(
  Array.from({ length: FOLDERS }, (_, at) => [
    `part${at}/main.ts`,
    `export function part${at}() {\n  return ${at};\n}\n`.repeat(30),
  ]),
);

/** A directory to report on, a place for everything that a report leaves behind, and the processes that make it. */
export class ReportBench {
  readonly root: string;
  readonly db: string;
  readonly out: string;
  readonly #trace: string;
  readonly #running: ExampleProcess[] = [];

  constructor(files: Readonly<Record<string, string>> = SOURCES) {
    const place = tree({});
    this.root = tree(files);
    this.db = join(place, 'tasks.db');
    this.out = join(place, 'report.md');
    this.#trace = join(place, 'trace');
  }

  start(...args: string[]): ExampleProcess {
    const given = [this.root, '--db', this.db, '--out', this.out, ...args];
    const process = new ExampleProcess('codebase-report/main.ts', given, {
      CODEBASE_REPORT_TRACE: this.#trace,
    });
    this.#running.push(process);
    return process;
  }

  /** The folders whose inspection was begun, in order. */
  traced(): string[] {
    return existsSync(this.#trace) ? readFileSync(this.#trace, 'utf8').trim().split('\n') : [];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#running.map((process) => process.kill()));
  }
}
