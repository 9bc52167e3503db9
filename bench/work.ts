/** The work that every side does: four agent types, priorities 1–10 mixed, 327 bytes of JSON payload. */

/** One submission, before a side puts it into its own words. */
export interface WorkItem {
  readonly agentType: AgentType;
  /** 1–10, 10 first. */
  readonly priority: number;
  readonly payload: WorkPayload;
}

/** The payload of a goal, which every agent understands; its JSON is `PAYLOAD_BYTES` long. */
export interface WorkPayload {
  readonly goal: string;
  readonly input: { readonly number: number; readonly section: string; readonly context: string };
}

export const AGENT_TYPES = ['research', 'write', 'review', 'publish'] as const;
export type AgentType = (typeof AGENT_TYPES)[number];

/** Bytes of the payload's JSON. */
export const PAYLOAD_BYTES = 327;

/** What a no-op handler returns, so that a result is stored as well. */
export const RESULT = { ok: true, words: 120 };

/** The item with this number; the same number gives the same item in every process. */
export function workItem(number: number): WorkItem {
  return {
    agentType: AGENT_TYPES[number % AGENT_TYPES.length] ?? 'research',
    // 7 and 10 have no common factor: all ten priorities occur equally often, mixed with the types.
    priority: 1 + ((number * 7 + Math.floor(number / 4)) % 10),
    payload: payload(number),
  };
}

/** The items `from` to `from + count - 1`. */
export function workItems(count: number, from = 0): WorkItem[] {
  return Array.from({ length: count }, (_, index) => workItem(from + index));
}

/** Cuts items into batches, the last one perhaps smaller. */
export function batches<T>(items: readonly T[], size: number): T[][] {
  return Array.from({ length: Math.ceil(items.length / size) }, (_, index) =>
    items.slice(index * size, (index + 1) * size),
  );
}

const SENTENCE = 'Compare what the sources say, keep the figures, name the gaps and say how sure you are. ';

function payload(number: number): WorkPayload {
  const section = `chapter-${number % 17}`;
  const bare = { goal: `Summarise section ${number}`, input: { number, section, context: '' } };
  const missing = PAYLOAD_BYTES - JSON.stringify(bare).length;
  return { ...bare, input: { ...bare.input, context: SENTENCE.repeat(4).slice(0, missing) } };
}
