import { JottyError } from '../errors.ts';
import { asciiJson } from '../json.ts';
import { GENERATIONS, generationsIn, planSection, planText } from '../queue/sections.ts';
import type { NewTask } from '../queue/task.ts';
import type { TaskQueue } from '../queue/task-queue.ts';
import type { WorkflowDependency } from './workflow.ts';

/** What is kept of a submitted workflow, so that any process finds its tasks, and can submit skipped ones anew. */
export interface WorkflowDefinition {
  readonly name: string;
  readonly tasks: readonly DefinedTask[];
}

/** A task as submitted, without payload and metadata, which the task itself tells. */
export type DefinedTask = Omit<NewTask, 'id' | 'payload' | 'metadata' | 'dependsOn'> & {
  readonly ref: string;
  readonly dependsOn: readonly WorkflowDependency[];
};

/** A definition is stored in parts: an entry of the registry has 64 KiB. */
const PART_BYTES = 60_000;
const PART_DIGITS = 6;

export async function writeDefinition(
  { registry, clock }: TaskQueue,
  id: string,
  definition: WorkflowDefinition,
): Promise<void> {
  const section = planSection(id);
  const now = clock.now();
  const text = asciiJson(definition);
  const stored = await registry.entries(section, now);
  if (planText(stored) === text) return;
  for (const { key } of stored) if (key !== GENERATIONS) await registry.remove(section, key);
  for (let from = 0; from < text.length; from += PART_BYTES) {
    const key = String(from / PART_BYTES).padStart(PART_DIGITS, '0');
    const value = text.slice(from, from + PART_BYTES);
    await registry.put(section, { key, value, expiresAt: null }, now);
  }
}

/** null where no workflow of this id was submitted, or all of it is purged. */
export async function readDefinition(
  { registry, clock }: TaskQueue,
  id: string,
): Promise<WorkflowDefinition | null> {
  const parts = await registry.entries(planSection(id), clock.now());
  if (parts.length === 0) return null;
  try {
    return JSON.parse(planText(parts)) as WorkflowDefinition;
  } catch (cause) {
    throw new JottyError(
      'STORE_CORRUPT',
      `the definition of workflow ${id} cannot be read; submit it again`,
      {
        cause,
      },
    );
  }
}

/** The highest generation that a task of the workflow has had: tasks of earlier ones may be purged by now. */
export async function readGenerations({ registry, clock }: TaskQueue, id: string): Promise<number> {
  return generationsIn(await registry.entries(planSection(id), clock.now()));
}

/** Resolves when it is known that there may be tasks of this generation. It never falls. */
export async function noteGenerations(
  { registry, clock }: TaskQueue,
  id: string,
  generations: number,
): Promise<void> {
  const section = planSection(id);
  for (;;) {
    const entries = await registry.entries(section, clock.now());
    if (generationsIn(entries) >= generations) return;
    const version = entries.find(({ key }) => key === GENERATIONS)?.version ?? 0;
    const entry = { key: GENERATIONS, value: String(generations), expiresAt: null };
    if (await registry.put(section, entry, clock.now(), version)) return;
  }
}
