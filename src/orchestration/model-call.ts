import type { CallTokens } from './usage.ts';

/** What a call can come to, as its start tells it. */
export interface CallBound {
  /** The most tokens of it; undefined where nothing bounds its answer. */
  readonly most: { readonly input: number; readonly output: number } | undefined;
  /** About what its question weighs, in tokens. */
  readonly inputTokens: number;
}

const NAMES = ['model', 'model_name', 'modelName', 'ls_model_name', 'modelId', 'deployment'];
const OUTPUT_BOUNDS = [
  'max_tokens',
  'max_completion_tokens',
  'max_output_tokens',
  'maxTokens',
  'maxOutputTokens',
  'maxCompletionTokens',
  'num_predict',
  'numPredict',
  'ls_max_tokens',
];
/** What a provider puts around a question, and around each message of it. */
const ENVELOPE_TOKENS = 20;
const BYTES_PER_TOKEN = 4;

type Fields = Readonly<Record<string, unknown>>;

/** The name by which a model is called; undefined where it tells none before its answer. */
export function modelAsked(llm: unknown, extra: unknown, metadata: unknown): string | undefined {
  const name = firstOf(
    placesOf(llm, extra, metadata),
    NAMES,
    (value) => typeof value === 'string' && value !== '',
  );
  return name as string | undefined;
}

/** In place of a question that stays where it is asked: what it comes to. */
export class ToldBound {
  readonly bound: CallBound;

  constructor(bound: CallBound) {
    this.bound = bound;
  }
}

/** `question`: the messages or the prompt. */
export function boundOf(llm: unknown, question: unknown, extra: unknown, metadata: unknown): CallBound {
  const [told] = [question].flat();
  if (told instanceof ToldBound) return told.bound;
  const places = placesOf(llm, extra, metadata);
  const { tools, functions, response_format, n } = places[0]!;
  const messages = [question].flat(Infinity).map(saidIn);
  const { bytes, isText } = weigh([messages, tools, functions, response_format].filter(isSomething));
  const output = firstOf(places, OUTPUT_BOUNDS, (value) => typeof value === 'number' && value > 0);
  const answers = typeof n === 'number' && n > 1 ? n : 1;
  // No tokenizer makes more tokens of a text than it has bytes. What is no text has no such bound.
  const isBound = typeof output === 'number' && isText;
  return {
    most: isBound
      ? { input: bytes + ENVELOPE_TOKENS * (1 + messages.length), output: output * answers }
      : undefined,
    inputTokens: Math.ceil(bytes / BYTES_PER_TOKEN),
  };
}

function placesOf(llm: unknown, extra: unknown, metadata: unknown): Fields[] {
  return [fieldsOf(fieldsOf(extra).invocation_params), fieldsOf(metadata), fieldsOf(fieldsOf(llm).kwargs)];
}

function firstOf(
  places: readonly Fields[],
  names: readonly string[],
  fits: (value: unknown) => boolean,
): unknown {
  for (const place of places) {
    const name = names.find((known) => fits(place[known]));
    if (name !== undefined) return place[name];
  }
  return undefined;
}

/** What of a message a model reads. */
function saidIn(message: unknown): unknown {
  const { content, tool_calls, additional_kwargs, name } = fieldsOf(message);
  return content === undefined ? message : [content, tool_calls, additional_kwargs, name].filter(isSomething);
}

function isSomething(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return value !== undefined && value !== null;
  return Object.keys(value).length > 0;
}

/** How many bytes of text it has, and whether it is nothing but text. */
function weigh(values: readonly unknown[]): { readonly bytes: number; readonly isText: boolean } {
  let isText = true;
  const text = JSON.stringify(values, (key, value: unknown) => {
    const type = fieldsOf(value).type;
    if (key !== '' && typeof type === 'string' && /image|audio|video|file|document|media/i.test(type))
      isText = false;
    return typeof value === 'bigint' ? String(value) : value;
  });
  return { bytes: Buffer.byteLength(text), isText };
}

/** The tokens that an answer tells: of its messages, or of the whole; null where it tells none. */
export function tokensOf(result: unknown): CallTokens | null {
  const { generations, llmOutput } = fieldsOf(result);
  const messages = (Array.isArray(generations) ? generations : [])
    .flat()
    .map((generation) => fieldsOf(fieldsOf(generation).message));
  const found = messages.flatMap(({ usage_metadata }) => toldBy(usage_metadata) ?? []);
  if (found.length > 0) return found.reduce(sum);
  const output = fieldsOf(llmOutput);
  return toldBy(output.tokenUsage) ?? toldBy(output.estimatedTokenUsage) ?? toldBy(output.usage);
}

/** The name that the answer gives its model. */
export function modelOf(result: unknown): string | undefined {
  const { generations, llmOutput } = fieldsOf(result);
  const metadata = (Array.isArray(generations) ? generations : [])
    .flat()
    .map((generation) => fieldsOf(fieldsOf(fieldsOf(generation).message).response_metadata));
  const named = firstOf([...metadata, fieldsOf(llmOutput)], NAMES, (value) => typeof value === 'string');
  return named as string | undefined;
}

/** An answer without its words, of which the two above tell this. */
export function outputTelling(tokens: CallTokens | null, model: string | undefined): object {
  const usage_metadata = tokens && {
    input_tokens: tokens.input,
    output_tokens: tokens.output,
    total_tokens: tokens.total,
    input_token_details: { cache_read: tokens.cachedInput },
  };
  return { generations: [{ message: { usage_metadata, response_metadata: { model } } }] };
}

function sum(a: CallTokens, b: CallTokens): CallTokens {
  return {
    input: a.input + b.input,
    cachedInput: a.cachedInput + b.cachedInput,
    output: a.output + b.output,
    total: a.total + b.total,
  };
}

/** LangChain's words, and those of providers. */
function toldBy(told: unknown): CallTokens | null {
  const usage = fieldsOf(told);
  const input = countIn(usage, ['input_tokens', 'promptTokens', 'prompt_tokens', 'inputTokens']);
  const output = countIn(usage, ['output_tokens', 'completionTokens', 'completion_tokens', 'outputTokens']);
  const total = countIn(usage, ['total_tokens', 'totalTokens']);
  if (input === undefined && output === undefined && total === undefined) return null;
  const both = (input ?? 0) + (output ?? 0);
  const cachedInput = countIn(fieldsOf(usage.input_token_details), ['cache_read']) ?? 0;
  return { input: input ?? 0, cachedInput, output: output ?? 0, total: Math.max(total ?? 0, both) };
}

function countIn(fields: Fields, names: readonly string[]): number | undefined {
  const counts = names.map((name) => fields[name]);
  return counts.find((count): count is number => Number.isFinite(count) && (count as number) >= 0);
}

function fieldsOf(value: unknown): Fields {
  return typeof value === 'object' && value !== null ? (value as Fields) : {};
}
