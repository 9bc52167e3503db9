interface Ambient {
  getRunnableConfig(): { readonly configurable?: Readonly<Record<string, unknown>> } | undefined;
}

let ambient: Ambient | undefined;

/** To be awaited before `ambientConfig` is asked; LangChain is loaded with the first graph that runs. */
export async function loadAmbientConfig(): Promise<void> {
  if (ambient !== undefined) return;
  const { AsyncLocalStorageProviderSingleton } = await import('@langchain/core/singletons');
  ambient = AsyncLocalStorageProviderSingleton as Ambient;
}

/** The config of the node that runs here. */
export function ambientConfig(): ReturnType<Ambient['getRunnableConfig']> {
  return ambient?.getRunnableConfig();
}
