import { mkdir, rename, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { Annotation, END, START, StateGraph } from '@langchain/langgraph';
import { type Analysis, analyse, type Gathered } from './analysis.ts';
import { type Narration, type Narrator, narrate } from './narration.ts';
import { observationsOf } from './observations.ts';
import { compose, type RunRecord } from './report.ts';

/** What the writer hands back: where the report is, and enough for a few lines in a terminal. */
export interface Written {
  readonly out: string;
  readonly totals: Analysis['totals'];
  readonly languages: Analysis['languages'];
  readonly observations: readonly string[];
  readonly missing: number;
  readonly model: string | null;
  /** Why a configured model was not used. */
  readonly reason: string | null;
}

/** Where the writer finds the work of the other agents; the queue keeps it. */
export interface Archive {
  gather(run: string): Promise<Gathered & { readonly record: RunRecord }>;
}

const State = Annotation.Root({
  goal: Annotation<string>,
  run: Annotation<string>,
  out: Annotation<string>,
  analysis: Annotation<Analysis>,
  narration: Annotation<Narration>,
  written: Annotation<Written>,
});

/**
 * The agent that writes the report. Its state holds figures, not the inspections themselves: those lie in the
 * queue as results already, and are read again where they are needed.
 */
export function writer(archive: Archive, narrator: Narrator | null) {
  return new StateGraph(State)
    .addNode('analysing', async ({ run }) => ({ analysis: analyse(await archive.gather(run)) }))
    .addNode('narrating', async ({ run, analysis }, { signal }) => {
      return { narration: await narrate(narrator, await archive.gather(run), analysis, signal) };
    })
    .addNode('publishing', async ({ run, out, analysis, narration }) => {
      const { record, ...gathered } = await archive.gather(run);
      await publish(out, compose(gathered, analysis, narration, record));
      return { written: writtenOf(out, gathered, analysis, narration) };
    })
    .addEdge(START, 'analysing')
    .addEdge('analysing', 'narrating')
    .addEdge('narrating', 'publishing')
    .addEdge('publishing', END)
    .compile({ name: 'writer' });
}

/** Writes beside the place and renames, so that nobody ever reads half a report. */
async function publish(path: string, markdown: string): Promise<void> {
  const draft = `${path}.${process.pid}.draft`;
  await mkdir(dirname(path), { recursive: true });
  await writeFile(draft, markdown);
  await rename(draft, path);
}

function writtenOf(out: string, gathered: Gathered, analysis: Analysis, narration: Narration): Written {
  return {
    out,
    totals: analysis.totals,
    languages: analysis.languages.slice(0, 4),
    observations: observationsOf(analysis),
    missing: gathered.missing.length,
    model: narration.text === null ? null : narration.model,
    reason: narration.reason,
  };
}
