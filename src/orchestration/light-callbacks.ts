import type { CallbackManager } from '@langchain/core/callbacks/manager';

type Manager = InstanceType<typeof CallbackManager>;
type ChainStart = Parameters<Manager['handleChainStart']>;
type ChainRun = Awaited<ReturnType<Manager['handleChainStart']>>;

let load: Promise<(handler: object) => object> | undefined;

/**
 * The handler as LangGraph's `callbacks`, for one that hears of models alone. Given as a list it would cost a fifth of a
 * run: each node, and each part of one, would start and end a trace that nobody reads. As long as nobody else listens,
 * what is no call of a model is passed over here; with a tracer, or another handler, all is as LangChain has it.
 */
export async function lightCallbacks(handler: object): Promise<object> {
  load ??= loadManager();
  return (await load)(handler);
}

async function loadManager() {
  const { CallbackManager } = await import('@langchain/core/callbacks/manager');

  class LightManager extends CallbackManager {
    /** Of a chain that nobody listens to; it passes on what it was given. */
    #run: ChainRun | undefined;

    get #isAlone(): boolean {
      return this.handlers.length === 1;
    }

    override handleChainStart(...args: ChainStart): Promise<ChainRun> {
      if (!this.#isAlone) return super.handleChainStart(...args);
      this.#run ??= {
        runId: args[2] ?? '',
        handlers: this.handlers,
        inheritableHandlers: this.inheritableHandlers,
        tags: [],
        inheritableTags: [],
        metadata: {},
        inheritableMetadata: {},
        parentRunId: this._parentRunId,
        getChild: () => this,
        handleChainEnd: nothing,
        handleChainError: nothing,
        handleText: nothing,
        handleCustomEvent: nothing,
        handleAgentAction: nothing,
        handleAgentEnd: nothing,
      } as unknown as ChainRun;
      return Promise.resolve(this.#run);
    }

    override copy(...args: Parameters<Manager['copy']>): Manager {
      const isAlone = this.#isAlone && (args[0] ?? []).length === 0;
      return isAlone ? of(this.handlers[0]!, this._parentRunId) : super.copy(...args);
    }
  }

  function of(handler: object, parentRunId?: string): LightManager {
    const handlers = [handler] as Manager['handlers'];
    return new LightManager(parentRunId, { handlers, inheritableHandlers: [...handlers] } as never);
  }
  return (handler: object): object => of(handler);
}

async function nothing(): Promise<void> {}
