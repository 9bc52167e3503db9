/**
 * A report on a codebase, made by three agents out of a durable queue. Kill it at any moment and start it
 * again: it goes on where it was.
 */
import { appendFileSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { dirname } from 'node:path';
import { Conductor } from 'jotty';
import { SQLiteTaskQueue } from 'jotty/queue';
import { inspector } from './inspection.ts';
import { narratorNamed } from './narration.ts';
import { count, percent } from './observations.ts';
import { InputError, type Options, optionsFrom, shown, USAGE } from './options.ts';
import { Progress } from './progress.ts';
import {
  archiveIn,
  beginOrContinue,
  enqueueInspections,
  type Run,
  surveyId,
  writeId,
  writtenBy,
} from './run.ts';
import { type Survey, surveyor } from './survey.ts';
import { shownTime, Terminal } from './terminal.ts';
import { type Written, writer } from './writer.ts';

/** A killed process is noticed after this long, much sooner than by default: these agents never think for long. */
const LEASE_MS = 3_000;
const SWEEP_MS = 500;
/** Runs are forgotten after a week, or the file would grow for ever. */
const RETENTION_MS = 7 * 24 * 60 * 60 * 1_000;

const cwd = process.cwd();
const terminal = new Terminal(process.stdout, process.env);

async function main(): Promise<number> {
  // npm moves to the package's folder; paths are meant from where the user stands.
  const from = process.env.npm_lifecycle_event === 'start' ? (process.env.INIT_CWD ?? cwd) : cwd;
  const options = await optionsFrom(process.argv.slice(2), from, process.env);
  if (options === 'help') {
    terminal.line(USAGE);
    return 0;
  }
  await mkdir(dirname(options.db), { recursive: true });
  const queue = new SQLiteTaskQueue({
    path: options.db,
    leaseMs: LEASE_MS,
    sweepMs: SWEEP_MS,
    retentionMs: RETENTION_MS,
    retry: { initialInterval: 200, maxInterval: 2_000 },
  });
  const conductor = new Conductor({ queue, agents: agentsOver(queue, options) });
  try {
    return await report(conductor, options);
  } finally {
    await conductor.close();
    await queue.close();
  }
}

function agentsOver(queue: SQLiteTaskQueue, { model }: Options) {
  const trace = process.env.CODEBASE_REPORT_TRACE;
  // Synchronous, so that a test that kills this process sees every inspection that began.
  const onInspection =
    trace === undefined ? undefined : (folder: string) => appendFileSync(trace, `${folder}\n`);
  return {
    surveyor: { graph: surveyor(), toResult: ({ survey }: { survey: Survey }) => survey },
    inspector: {
      graph: inspector(onInspection),
      toResult: ({ inspection }: { inspection: unknown }) => inspection,
    },
    writer: {
      graph: writer(archiveIn(queue), model === null ? null : narratorNamed(model)),
      toResult: ({ written }: { written: Written }) => written,
    },
  };
}

async function report(conductor: Conductor, options: Options): Promise<number> {
  const { queue } = conductor;
  const begunAt = queue.clock.now();
  const stop = new AbortController();
  const interrupted = (): void => stop.abort(new Error('interrupted'));
  process.once('SIGINT', interrupted).once('SIGTERM', interrupted);

  const { run, continued } = await beginOrContinue(conductor, options);
  terminal.line(`Codebase report on ${run.root}`);
  if (!continued)
    terminal.line(
      `new run ${run.id} in ${shown(options.db, cwd)}; kill it whenever you like, the next start goes on`,
    );
  const progress = new Progress(queue, terminal, run.id);
  progress.start();
  const work = conductor.processQueue({ signal: stop.signal, maxConcurrent: options.concurrency });
  try {
    const written = await Promise.race([carryOut(conductor, run, continued, progress), ended(work)]);
    progress.stop();
    if (written === 'interrupted') {
      terminal.line('stopped; the next start goes on from here');
      return 130;
    }
    conclude(written, shownTime(queue.clock.now() - begunAt));
    return 0;
  } finally {
    progress.stop();
    stop.abort();
    await work;
    process.off('SIGINT', interrupted).off('SIGTERM', interrupted);
  }
}

/** The run itself. Each step may have been taken before; then it is over at once. */
async function carryOut(
  conductor: Conductor,
  run: Run,
  continued: boolean,
  progress: Progress,
): Promise<Written> {
  await announceHeld(conductor, surveyId(run.id), 'the survey is');
  const survey = (await conductor.result(surveyId(run.id))) as unknown as Survey;
  await enqueueInspections(conductor, run, survey);
  const { total, ended: done, held } = await progress.follow();
  if (continued) terminal.line(`continuing run ${run.id}: ${done} of ${total} folders already inspected`);
  else terminal.line(`surveyed: ${count(survey.files)} files in ${total} folders`);
  if (held > 0) terminal.line(heldElsewhere(held === 1 ? 'one folder is' : `${held} folders are`));
  await announceHeld(conductor, writeId(run.id), 'the writing is');
  return writtenBy(conductor, run);
}

async function announceHeld({ queue }: Conductor, id: string, what: string): Promise<void> {
  const lease = (await queue.getTask(id))?.lease;
  if (lease !== undefined && lease.owner !== queue.owner) terminal.line(heldElsewhere(what));
}

/** Nobody can see from here whether the other process lives; the end of its lease is what decides. */
function heldElsewhere(what: string): string {
  return `${what} in the hands of another process; if it was killed, its lease ends in at most ${shownTime(LEASE_MS + SWEEP_MS)}`;
}

/** Rejects when the loop fails, resolves when it was told to stop. */
async function ended(work: Promise<unknown>): Promise<'interrupted'> {
  await work;
  return 'interrupted';
}

function conclude(
  { out, totals, languages, observations, missing, model, reason }: Written,
  time: string,
): void {
  const shares = languages
    .filter(({ share }) => share >= 0.01)
    .map(({ name, share }) => `${name} ${percent(share)}`);
  terminal.line();
  terminal.line(
    `${count(totals.files)} files, ${count(totals.code)} lines of code${shares.length > 0 ? `: ${shares.join(', ')}` : ''}`,
  );
  for (const observation of observations) terminal.line(`- ${observation.replaceAll('`', '')}`);
  terminal.line();
  if (missing > 0) terminal.line(`${missing} folders could not be inspected; the report names them`);
  const used =
    model === null
      ? `no model was used${reason === null ? '' : `: ${reason}`}; the report is made from counts alone`
      : `summary by ${model}`;
  terminal.line(used);
  terminal.line(`report: ${shown(out, cwd)} (${time})`);
}

/** A refusal with a code says what is wrong; only what nobody expected needs its stack. */
function explained(error: unknown): string {
  if (error instanceof InputError) return `${error.message}\n\n${USAGE}`;
  if (!(error instanceof Error)) return String(error);
  return 'code' in error ? error.message : (error.stack ?? error.message);
}

main().then(
  (code) => {
    process.exitCode = code;
  },
  (error: unknown) => {
    process.stderr.write(`${explained(error)}\n`);
    process.exitCode = error instanceof InputError ? 2 : 1;
  },
);
