/** Shows nothing of itself in the info. A weak map of infos would cost as much collecting as a short run. */
const MAKE = Symbol('jotty.callbacks');

/** A manager of LangChain's callbacks, as far as it is used. */
export interface Manager {
  readonly handlers: readonly object[];
  copy(): Manager;
  addHandler(handler: object, inherit: boolean): void;
}

interface NodeConfig {
  callbacks?: Manager | readonly object[] | undefined;
  configurable?: { readonly jotty?: { readonly [MAKE]?: () => Manager } } | undefined;
}

/** Nodes are known to belong to a run by the info that they find in their config. `make` is called once. */
export function setCallbacks(info: object, make: () => Manager): void {
  let made: Manager | undefined;
  const value = () => {
    made ??= make();
    return made;
  };
  Object.defineProperty(info, MAKE, { value, configurable: true });
}

/**
 * Puts the callbacks of its run into the config of a node that is about to begin. What the node calls finds them there,
 * also where it hands on no config, since the ambient one is the same object; so do tasks of the functional API,
 * which run within it. Given to the graph instead, they would cost each run a tenth of its time: LangGraph configures
 * them again for every part of every node.
 */
export function giveCallbacks(config: unknown): void {
  const { configurable } = (config ?? {}) as NodeConfig;
  const own = configurable?.jotty?.[MAKE];
  if (own === undefined) return;
  const node = config as NodeConfig;
  if (node.callbacks === undefined) give(node, own);
  else node.callbacks = merged(node.callbacks, own());
}

/** They are made when somebody reads them: most nodes call no model. */
function give(node: NodeConfig, own: () => Manager): void {
  Object.defineProperty(node, 'callbacks', {
    get: own,
    set: (value: unknown) => Object.defineProperty(node, 'callbacks', { value, writable: true }),
    enumerable: true,
    configurable: true,
  });
}

function merged(given: NonNullable<NodeConfig['callbacks']>, own: Manager): NodeConfig['callbacks'] {
  const missing = own.handlers.filter((handler) => !handlersOf(given).includes(handler));
  if (missing.length === 0) return given;
  if (!('copy' in given)) return [...given, ...missing];
  const manager = given.copy();
  for (const handler of missing) manager.addHandler(handler, true);
  return manager;
}

function handlersOf(given: Manager | readonly object[]): readonly object[] {
  return 'copy' in given ? given.handlers : given;
}
