import { createHash } from 'node:crypto';
import type { RunConfig } from './children.ts';
import { type OnceOptions, onceOrHeld } from './once.ts';

export interface OnceToolOptions extends OnceOptions<unknown> {
  /** Names the call within the task. @default the tool's name and the id of the model's call; without one, a hash of the input */
  readonly key?: ((input: unknown, toolCallId: string | undefined) => string) | undefined;
}

/** A tool of LangChain, as far as it is looked at. */
interface ToolLike {
  readonly name: string;
  invoke(input: never, config?: never): Promise<unknown>;
}

interface CallableTool extends ToolLike {
  _call(input: unknown, runManager: unknown, config: ToolConfig): unknown;
}

type ToolConfig = RunConfig & { readonly toolCall?: { readonly id?: string } };

const HASH_CHARS = 32;

/**
 * The same tool, whose calls are made at most once each, as by `once`: a re-run of the node gets the recorded
 * result, and a call in doubt is held, also one that has just thrown: told of the error, a model would call again.
 * Errors of which `nothingHappened` says so reach the model. Its input is checked before anything counts as started.
 * The tool itself stays as it is.
 */
export function onceTool<T extends ToolLike>(tool: T, options: OnceToolOptions = {}): T {
  const { key, ...rest } = options;
  const inner = tool as unknown as CallableTool;
  const _call = (input: unknown, runManager: unknown, config: ToolConfig): Promise<unknown> => {
    const id = config?.toolCall?.id;
    const named = key?.(input, id) ?? `tool:${tool.name}:${id ?? hashOf(input)}`;
    const call = async () => packed(await ended(await inner._call(input, runManager, config)));
    return onceOrHeld<unknown>(config ?? {}, named, call, rest).then(unpacked);
  };
  return Object.assign(Object.create(Object.getPrototypeOf(tool)), tool, { _call });
}

function hashOf(input: unknown): string {
  return createHash('sha256')
    .update(JSON.stringify(input) ?? '')
    .digest('hex')
    .slice(0, HASH_CHARS);
}

/** Of a tool that tells of its progress: what it returned in the end. */
async function ended(result: unknown): Promise<unknown> {
  if (typeof result !== 'object' || result === null || !(Symbol.asyncIterator in result)) return result;
  const steps = (result as AsyncGenerator<unknown, unknown>)[Symbol.asyncIterator]();
  for (;;) {
    const step = await steps.next();
    if (step.done) return step.value;
  }
}

const COMMAND = 'jotty:command';

/** A command of a tool to its graph is no state, and is made anew from its parts. */
function packed(result: unknown): unknown {
  if (!isCommand(result)) return result;
  const { update, goto, resume, graph } = result;
  return { [COMMAND]: { update, goto, resume, graph } };
}

async function unpacked(result: unknown): Promise<unknown> {
  if (typeof result !== 'object' || result === null || !Object.hasOwn(result, COMMAND)) return result;
  const { Command } = await import('@langchain/langgraph');
  const given = (result as Record<string, object>)[COMMAND] ?? {};
  return new Command(Object.fromEntries(Object.entries(given).filter(([, part]) => part !== undefined)));
}

function isCommand(
  value: unknown,
): value is { update?: unknown; goto?: unknown; resume?: unknown; graph?: unknown } {
  return (
    typeof value === 'object' && value !== null && (value as { lg_name?: unknown }).lg_name === 'Command'
  );
}
