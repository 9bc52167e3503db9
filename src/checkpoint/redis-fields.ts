import type { BlobRow, CheckpointKey, CheckpointRow, Serialized, WriteRow } from './checkpoint-rows.ts';

/**
 * How rows are written in Redis; see lua/write.lua, which cuts these texts and joins them, and never decodes one.
 * Names and values are JSON texts. They hold no control characters, so these can stand between them.
 */
const LINE = '\n';
const TAB = '\t';

/** Whatever it holds, another text can follow it and the two cannot be mistaken for others. */
export function fieldOf(text: string): string {
  return JSON.stringify(text);
}

/** What a thread's index holds of a checkpoint, in order within the namespace. */
export function memberOf({ namespace, checkpointId }: CheckpointKey): string {
  return fieldOf(namespace) + fieldOf(checkpointId);
}

/** A JSON string and what follows it. */
const QUOTED = /^("(?:[^"\\]|\\.)*")(.*)$/s;

export function keyOfMember(threadId: string, member: string): CheckpointKey {
  const [, namespace = '', checkpointId = ''] = QUOTED.exec(member) ?? [];
  return { threadId, namespace: textOf(namespace), checkpointId: textOf(checkpointId) };
}

export function textOf(field: string): string {
  return JSON.parse(field) as string;
}

/** Versions are mostly numbers, which stay as they are, up to where JavaScript writes a sign into them. */
const PLAIN = /^[\w.]*$/;
const SIGNED_FROM = 1e21;

/** The name of a value: the names of all values of a channel begin with its field. */
export function blobName(channel: string, version: string | number): string {
  if (typeof version === 'number' && version >= 1 && version < SIGNED_FROM) return fieldOf(channel) + version;
  const text = String(version);
  return fieldOf(channel) + (PLAIN.test(text) ? text : fieldOf(text));
}

/** Names of values, as a record has them. */
export function namesOf(names: string): string[] {
  return names.split(TAB);
}

export function recordOf({ parentId, versions = {}, checkpoint, metadata }: CheckpointRow): string {
  const parent = parentId === null ? '' : fieldOf(parentId);
  const names = Object.entries(versions).map(([channel, version]) => blobName(channel, version));
  const values = [checkpoint.type, dataOf(checkpoint), metadata.type, dataOf(metadata)];
  return [parent, names.join(TAB), ...values].join(LINE);
}

export function rowOf(key: CheckpointKey, record: string): CheckpointRow {
  const [parent = '', , type = '', data = '', metadataType = '', metadata = ''] = record.split(LINE);
  return {
    ...key,
    parentId: parent === '' ? null : textOf(parent),
    checkpoint: { type, data },
    metadata: { type: metadataType, data: metadata },
  };
}

export function blobValueOf(value: Serialized): string {
  return `${value.type}${TAB}${dataOf(value)}`;
}

export function blobOf(name: string, value: string): BlobRow {
  const [, channel = '', version = ''] = QUOTED.exec(name) ?? [];
  const [type = '', data = ''] = value.split(TAB);
  return {
    channel: textOf(channel),
    version: version.startsWith('"') ? textOf(version) : version,
    type,
    data,
  };
}

/** The rows of one task. Of two with one index, a special one (below 0) replaces the one before it, else the first counts. */
export function linesOf(rows: readonly WriteRow[]): string {
  const lines = new Map<number, string>();
  for (const row of rows) {
    if (row.index >= 0 && lines.has(row.index)) continue;
    const names = [row.index, fieldOf(row.taskPath), fieldOf(row.channel)].join(TAB);
    lines.set(row.index, `${names}${TAB}${blobValueOf(row)}`);
  }
  return [...lines.values()].join(LINE);
}

/** What a task wrote: its name, and a line for each write. */
export function writesOf(text: string): WriteRow[] {
  const [task = '', ...lines] = text.split(LINE);
  const taskId = textOf(task);
  return lines.map((line) => {
    const [index, path = '', channel = '', type = '', data = ''] = line.split(TAB);
    return { taskId, taskPath: textOf(path), index: Number(index), channel: textOf(channel), type, data };
  });
}

function dataOf({ data }: Serialized): string {
  return typeof data === 'string'
    ? data
    : Buffer.from(data.buffer, data.byteOffset, data.byteLength).toString();
}
