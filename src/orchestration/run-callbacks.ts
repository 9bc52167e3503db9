const handlers = new WeakMap<object, () => Manager>();

/** A manager of LangChain's callbacks, as far as it is used. */
export interface Manager {
  readonly handlers: readonly object[];
  copy(): Manager;
  addHandler(handler: object, inherit: boolean): void;
}

interface NodeConfig {
  callbacks?: Manager | readonly object[] | undefined;
  configurable?: Readonly<Record<string, unknown>> | undefined;
}
type Call = (func: (...args: unknown[]) => unknown, ...rest: unknown[]) => unknown;

/** Where a node finds what runs a `task` of the functional API. */
const CALL_KEY = '__pregel_call';

/** Nodes are known to belong to a run by the info that they find in their config. `make` is called once. */
export function setCallbacks(info: object, make: () => Manager): void {
  let made: Manager | undefined;
  handlers.set(info, () => {
    made ??= make();
    return made;
  });
}

/**
 * Puts the callbacks of its run into the config of a node that is about to begin. What the node calls finds them there,
 * also where it hands on no config, since the ambient one is the same object. Given to the graph instead, they
 * would cost each run a tenth of its time: LangGraph configures them again for every part of every node.
 */
export function giveCallbacks(config: unknown, ambient: () => unknown): void {
  const { configurable } = (config ?? {}) as NodeConfig;
  const info: unknown = configurable?.jotty;
  const own = typeof info === 'object' && info !== null ? handlers.get(info) : undefined;
  if (own === undefined) return;
  const node = config as NodeConfig;
  if (node.callbacks === undefined) give(node, own);
  else node.callbacks = merged(node.callbacks, own());
  const call = configurable?.[CALL_KEY];
  if (typeof call === 'function')
    node.configurable = { ...configurable, [CALL_KEY]: metered(call as Call, ambient) };
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

/** A task has a config of its own, which is not made from that of the node that calls it. */
function metered(call: Call, ambient: () => unknown): Call {
  return (func, ...rest) =>
    call(
      (...args) => {
        giveCallbacks(ambient(), ambient);
        return func(...args);
      },
      ...rest,
    );
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
