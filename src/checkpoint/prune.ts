import type { Checkpoint, CheckpointMetadata, SerializerProtocol } from '@langchain/langgraph-checkpoint';
import type { CheckpointRow, CheckpointRows } from './checkpoint-rows.ts';

export type PruneOptions = ({ readonly threadId: string } | { readonly threadIds: readonly string[] }) & {
  /** How many checkpoints stay, the newest of each namespace. @default 1 */
  readonly keep?: number;
};

/** What pruning needs of a saver. */
export interface Prunable {
  readonly serde: SerializerProtocol;
  read<T>(look: (rows: CheckpointRows) => T): Promise<T>;
  write<T>(change: (rows: CheckpointRows) => T): Promise<T>;
}

interface Entry {
  readonly row: CheckpointRow;
  readonly versions: Readonly<Record<string, string | number>>;
  /** Channels whose value may have to be rebuilt from ancestors. */
  readonly deltaChannels: readonly string[];
}

const READ_PAGE = 200;

/** Tries again when a run writes to the thread meanwhile; a thread so busy is pruned another time. */
const ATTEMPTS_MAX = 5;

/** Decides on what it read, and deletes only if the thread has no newer checkpoint by then, which could share the values. */
export async function pruneThread(saver: Prunable, threadId: string, keep: number): Promise<void> {
  for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
    const entries = await readEntries(saver, threadId);
    const kept = await saver.read((rows) => entriesToKeep(rows, entries, keep));
    const doomed = entries.filter((entry) => !kept.has(entry));
    if (doomed.length === 0) return;
    const done = await saver.write((rows) => {
      const [newest] = rows.list({ threadId }, undefined, 1);
      if (newest?.checkpointId !== entries[0]?.row.checkpointId) return false;
      deleteEntries(rows, doomed, [...kept]);
      return true;
    });
    if (done) return;
  }
}

async function readEntries(saver: Prunable, threadId: string): Promise<Entry[]> {
  const entries: Entry[] = [];
  let after: CheckpointRow | undefined;
  do {
    const page = await saver.read((rows) => rows.list({ threadId }, after, READ_PAGE));
    for (const row of page) entries.push(await entryOf(saver.serde, row));
    after = page[READ_PAGE - 1];
  } while (after !== undefined);
  return entries;
}

async function entryOf(serde: SerializerProtocol, row: CheckpointRow): Promise<Entry> {
  const checkpoint = (await serde.loadsTyped(row.checkpoint.type, row.checkpoint.data)) as Checkpoint;
  const metadata = (await serde.loadsTyped(row.metadata.type, row.metadata.data)) as CheckpointMetadata & {
    counters_since_delta_snapshot?: Record<string, unknown>;
  };
  const versions = checkpoint.channel_versions;
  // The metadata counts for every delta channel that has no snapshot here. To be safe, any channel without a
  // value may be one, except those in which the engine keeps the triggers of a step.
  const candidates = new Set(Object.keys(metadata?.counters_since_delta_snapshot ?? {}));
  for (const channel of Object.keys(versions)) if (!isEngineChannel(channel)) candidates.add(channel);
  return { row, versions, deltaChannels: [...candidates] };
}

function isEngineChannel(channel: string): boolean {
  return channel.startsWith('__') || channel.startsWith('branch:');
}

function entriesToKeep(rows: CheckpointRows, entries: readonly Entry[], keep: number): Set<Entry> {
  const kept = new Set<Entry>();
  for (const ofNamespace of byNamespace(entries).values()) {
    const byId = new Map(ofNamespace.map((entry) => [entry.row.checkpointId, entry]));
    for (const entry of ofNamespace.slice(0, keep)) {
      kept.add(entry);
      keepAncestors(rows, entry, byId, kept);
    }
  }
  return kept;
}

/** A delta channel is rebuilt from the nearest ancestor that holds its value, and the writes from there on: all these stay. */
function keepAncestors(
  rows: CheckpointRows,
  entry: Entry,
  byId: ReadonlyMap<string, Entry>,
  kept: Set<Entry>,
): void {
  let current = entry;
  let missing = withoutValue(rows, entry.deltaChannels, entry);
  while (missing.length > 0 && current.row.parentId !== null) {
    const parent = byId.get(current.row.parentId);
    if (parent === undefined) return;
    kept.add(parent);
    missing = withoutValue(rows, missing, parent);
    current = parent;
  }
}

function withoutValue(rows: CheckpointRows, channels: readonly string[], entry: Entry): string[] {
  return channels.filter((channel) => {
    const version = entry.versions[channel];
    return version === undefined || rows.blob(entry.row, channel, String(version)) === undefined;
  });
}

function byNamespace(entries: readonly Entry[]): Map<string, Entry[]> {
  const groups = new Map<string, Entry[]>();
  for (const entry of entries) {
    const group = groups.get(entry.row.namespace);
    if (group === undefined) groups.set(entry.row.namespace, [entry]);
    else group.push(entry);
  }
  return groups;
}

function deleteEntries(rows: CheckpointRows, doomed: readonly Entry[], kept: readonly Entry[]): void {
  const live = new Set(kept.flatMap((entry) => valuesOf(entry).map(([, , id]) => id)));
  for (const entry of doomed) {
    rows.deleteCheckpoint(entry.row);
    for (const [channel, version, id] of valuesOf(entry)) {
      if (!live.has(id)) rows.deleteBlob(entry.row, channel, version);
    }
  }
}

function valuesOf(entry: Entry): [channel: string, version: string, id: string][] {
  return Object.entries(entry.versions).map(([channel, version]) => [
    channel,
    String(version),
    JSON.stringify([entry.row.namespace, channel, String(version)]),
  ]);
}
