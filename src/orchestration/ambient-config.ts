/** What runs here, as LangChain's singleton and its storage tell it. */
interface Ambient {
  getRunnableConfig(): AmbientConfig | undefined;
  getInstance(): { getStore(): object | undefined; run<T>(store: unknown, callback: () => T): T };
  runWithConfig<T>(config: object, callback: () => T): T;
}
interface AmbientConfig {
  readonly configurable?: Readonly<Record<string, unknown>>;
}
/** What LangChain keeps in its storage: a trace that nobody reads, with the config in it. */
interface Store {
  extra?: object;
  child_runs?: object[];
  [CONTEXT_KEY]?: unknown;
}

const CONFIG_KEY: unique symbol = Symbol.for('lc:child_config') as never;
const CONTEXT_KEY: unique symbol = Symbol.for('lc:context_variables') as never;

let ambient: Ambient | undefined;
let quietTrace: object | undefined;

/** To be awaited before the others here are asked; LangChain is loaded with the first graph that runs. */
export async function loadAmbientConfig(): Promise<void> {
  if (ambient !== undefined) return;
  const { AsyncLocalStorageProviderSingleton } = await import('@langchain/core/singletons');
  ambient = AsyncLocalStorageProviderSingleton as unknown as Ambient;
}

/** The config of the node that runs here. */
export function ambientConfig(): AmbientConfig | undefined {
  return ambient?.getRunnableConfig();
}

/** Whether `withAmbientConfig` is understood by the LangChain that is here. */
export function canSetAmbientConfig(): boolean {
  const probe = {};
  try {
    return withAmbientConfig(probe, () => ambient?.getRunnableConfig() === probe);
  } catch {
    return false;
  }
}

/**
 * Calls with this config as the ambient one. LangChain's own way makes a new trace for it each time, with an id of its
 * own, which costs as much as a trivial node; here all share one. For configs without a tracer among their callbacks.
 */
export function withAmbientConfig<T>(config: object, callback: () => T): T {
  const storage = ambient!.getInstance();
  quietTrace ??= ambient!.runWithConfig({}, () => storage.getStore());
  const store = Object.create(quietTrace ?? null) as Store;
  store.extra = { ...store.extra, [CONFIG_KEY]: config };
  store.child_runs = [];
  const context = (storage.getStore() as Store | undefined)?.[CONTEXT_KEY];
  if (context !== undefined) store[CONTEXT_KEY] = context;
  return storage.run(store, callback);
}

/** Calls without an ambient config, as LangGraph runs the loop of a graph. */
export function withoutAmbientConfig<T>(callback: () => T): T {
  const storage = ambient!.getInstance();
  const context = (storage.getStore() as Store | undefined)?.[CONTEXT_KEY];
  return storage.run(context === undefined ? undefined : { [CONTEXT_KEY]: context }, callback);
}
