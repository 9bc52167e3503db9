import { untilAborted } from './abort-race.ts';
import { withAmbientConfig } from './ambient-config.ts';
import type { CompiledGraph } from './graph.ts';

/** The parts of a compiled graph's nodes that are used. Not all are public, so each may be missing. */
interface Nodes {
  readonly [name: string]: Node;
}
interface Node {
  getNode?(): Step | undefined;
  getWriters?(): readonly Step[];
}
interface Builder {
  readonly branches?: Readonly<Record<string, object>>;
}
/** A runnable of LangGraph's own, or several in a row. */
interface Step {
  readonly steps?: readonly Step[];
  readonly name?: string;
  readonly func?: (input: unknown, config: NodeConfig) => unknown;
  readonly trace?: unknown;
  readonly recurse?: unknown;
  readonly config?: object | undefined;
  readonly writes?: readonly Entry[];
  _write?(input: unknown, config: NodeConfig): Promise<unknown>;
  invoke(input: unknown, config: NodeConfig): Promise<unknown>;
}
interface Entry {
  readonly mapper?: Step;
}
interface NodeConfig {
  readonly runId?: unknown;
  readonly callbacks?: unknown;
  readonly signal?: AbortSignal | undefined;
  readonly tags?: readonly string[];
  readonly metadata?: Readonly<Record<string, unknown>>;
  readonly configurable?: Readonly<Record<string, unknown>>;
}
type QuietStep = (input: unknown, config: NodeConfig) => unknown;

/** What LangGraph copies from a node's `configurable` to its metadata, where it is not there. */
const METADATA_KEYS = [
  'thread_id',
  'checkpoint_id',
  'checkpoint_ns',
  'task_id',
  'run_id',
  'assistant_id',
  'graph_id',
] as const;
const BRANCH = '<branch_run>';

const made = new WeakMap<object, Nodes>();

/**
 * The nodes of a graph for runs that nobody traces: they do what they did, without the trace that LangChain makes for
 * each part of a node, its copies of the config and its looks at the environment, which together are a third of a
 * short run. The graph's own nodes stay as they are. A node that is no function of the graph's builder, as a model, a
 * chain or another graph, is taken as it is, and so is every node as soon as somebody gives it callbacks.
 */
export function quietNodes(graph: CompiledGraph): Nodes {
  const { nodes = {}, builder } = graph as { readonly nodes?: Nodes; readonly builder?: Builder };
  // Clones of the graph share them.
  const known = made.get(nodes);
  if (known !== undefined) return known;
  const quiet = Object.fromEntries(
    Object.entries(nodes).map(([name, node]) => {
      const branches = builder?.branches && Object.keys(builder.branches[name] ?? {}).length;
      return [name, quietNode(node, branches)];
    }),
  );
  made.set(nodes, quiet);
  return quiet;
}

/** `branches`: how many conditional edges lead from it, where that is known. */
function quietNode(node: Node, branches: number | undefined): Node {
  const whole = node.getNode?.();
  if (whole === undefined || node.getWriters === undefined) return node;
  const steps = whole.steps ?? [whole];
  // A class of its own may have its own `invoke`, which is then not passed over.
  const invoke = steps.find(isWrite)?.invoke;
  if (!steps.every((step) => step.invoke === invoke && (isWrite(step) || isOwn(step)))) return node;
  const routes = steps.filter(({ name }) => name === BRANCH);
  // The first is LangGraph's own, which hears the commands that a node returns.
  const control = routes.length === (branches ?? Number.NaN) + 1 ? routes[0] : undefined;
  const quiet = steps.map((step) => quietStep(step, step === control));
  const writers = node.getWriters();
  const proc = Object.create(whole, {
    invoke: {
      value: (input: unknown, config: NodeConfig) =>
        config.callbacks === undefined ? runQuietly(quiet, input, config) : whole.invoke(input, config),
    },
  }) as Step;
  return Object.create(node, {
    getNode: { value: () => proc },
    getWriters: { value: () => writers },
  }) as Node;
}

/** LangGraph's runnable of a function that it does not trace. */
function isOwn({ func, trace, recurse, config }: Step): boolean {
  const isPlain = typeof func === 'function' && config === undefined;
  return isPlain && trace === false && typeof recurse === 'boolean';
}

function isWrite({ writes, _write }: Step): boolean {
  return Array.isArray(writes) && typeof _write === 'function';
}

function quietStep(step: Step, isControl: boolean): QuietStep {
  if (isWrite(step)) return quietWrite(step);
  return async (input, config) => {
    if (isControl && !isCommand(input)) return input;
    const value = await step.func!(input, config);
    const { lc_runnable: isRunnable, invoke } = (value ?? {}) as Partial<Step> & { lc_runnable?: boolean };
    return isRunnable === true && step.recurse === true ? invoke!.call(value, input, config) : value;
  };
}

/** What is written is found by functions of LangGraph's, which need nothing around them. */
function quietWrite(step: Step): QuietStep {
  const writes = step.writes!.map((entry) => {
    const { mapper } = entry;
    const isSimple = mapper?.invoke === step.invoke && isOwn(mapper) && mapper.recurse === false;
    if (mapper === undefined || !isSimple) return entry;
    const invoke = async (value: unknown, config: NodeConfig) => mapper.func!(value, config);
    return { ...entry, mapper: Object.create(mapper, { invoke: { value: invoke } }) as Step };
  });
  const quiet = Object.create(step, { writes: { value: writes } }) as Step;
  return (input, config) => quiet._write!(input, config);
}

/** A command, or a list in which there may be some. */
function isCommand(value: unknown): boolean {
  return typeof value === 'object' && value !== null && (Array.isArray(value) || 'lg_name' in value);
}

function runQuietly(steps: readonly QuietStep[], input: unknown, given: NodeConfig): Promise<unknown> {
  const config = configOf(given);
  const run = withAmbientConfig(config, () => runSteps(steps, input, config));
  return raceAbort(run, config.signal);
}

async function runSteps(steps: readonly QuietStep[], input: unknown, config: NodeConfig): Promise<unknown> {
  const { signal } = config;
  // The function of the node gets the ambient config itself, in which its callbacks are put; the others do not.
  const later = { ...config };
  let value = input;
  for (const [i, step] of steps.entries()) {
    if (signal?.aborted) throw abortError(signal);
    value = await step(value, i === 0 ? config : { ...later });
  }
  return value;
}

function configOf(given: NodeConfig): NodeConfig {
  const { tags = [], configurable = {} } = given;
  const metadata: Record<string, unknown> = { ...given.metadata };
  for (const key of METADATA_KEYS) {
    if (!(key in metadata) && configurable[key] !== undefined) metadata[key] = configurable[key];
  }
  const { runId: _, ...config } = given;
  return { ...config, tags: [...tags], metadata, configurable: { ...configurable } };
}

/** The end of the work, or the abort as soon as it is asked for; the work then goes on unheard. */
export function raceAbort<T>(work: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  return signal === undefined ? work : untilAborted(work, signal, abortError);
}

/** As LangChain tells it. */
function abortError({ reason }: AbortSignal): Error {
  if (reason instanceof Error) return reason;
  return new Error(typeof reason === 'string' ? reason : 'Aborted');
}
