import type { CallbackManager } from '@langchain/core/callbacks/manager';

type Manager = InstanceType<typeof CallbackManager>;
type ChainStart = Parameters<Manager['handleChainStart']>;
type ChainRun = Awaited<ReturnType<Manager['handleChainStart']>>;

/** A handler that says before a call starts whether it may. */
export interface ModelHandler {
  admit(
    llm: unknown,
    questions: readonly unknown[],
    parentRunId: string | undefined,
    extra: unknown,
    metadata: unknown,
  ): Promise<void>;
}

let load: Promise<(handler: ModelHandler) => Manager> | undefined;

/**
 * Makes a handler to LangGraph's `callbacks`, for one that hears of models alone. Given as a list it would cost a fifth of a
 * run: each node, and each part of one, would start and end a trace that nobody reads. As long as nobody else listens,
 * what is no call of a model is passed over here; with a tracer, or another handler, all is as LangChain has it.
 */
export async function lightCallbacks(): Promise<(handler: ModelHandler) => Manager> {
  load ??= loadManager();
  return load;
}

async function loadManager(): Promise<(handler: ModelHandler) => Manager> {
  const { CallbackManager } = await import('@langchain/core/callbacks/manager');

  class LightManager extends CallbackManager {
    /** Of a chain that nobody listens to; it passes on what it was given. */
    #run: ChainRun | undefined;

    /** What was said of the runs below, which only a model's is asked for. */
    #said: Parameters<Manager['addMetadata']>[] = [];

    override addMetadata(...args: Parameters<Manager['addMetadata']>): void {
      if (this.#isAlone) this.#said.push(args);
      else super.addMetadata(...args);
    }

    override addHandler(...args: Parameters<Manager['addHandler']>): void {
      this.#tell();
      super.addHandler(...args);
    }

    #tell(): void {
      for (const args of this.#said.splice(0)) super.addMetadata(...args);
    }

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

    override async handleChatModelStart(...args: Parameters<Manager['handleChatModelStart']>) {
      await this.#admit(args[0], args[1], args[4]);
      return super.handleChatModelStart(...args);
    }

    override async handleLLMStart(...args: Parameters<Manager['handleLLMStart']>) {
      await this.#admit(args[0], args[1], args[4]);
      return super.handleLLMStart(...args);
    }

    async #admit(llm: unknown, questions: readonly unknown[], extra: unknown): Promise<void> {
      this.#tell();
      if (!this.#isAlone) return;
      const handler = this.handlers[0] as unknown as ModelHandler;
      await handler.admit(llm, questions, this._parentRunId, extra, this.metadata);
    }

    override copy(...args: Parameters<Manager['copy']>): Manager {
      const isAlone = this.#isAlone && (args[0] ?? []).length === 0;
      if (!isAlone) this.#tell();
      return isAlone ? of(this.handlers[0]!, this._parentRunId) : super.copy(...args);
    }
  }

  function of(handler: object, parentRunId?: string): LightManager {
    const handlers = [handler] as Manager['handlers'];
    return new LightManager(parentRunId, { handlers, inheritableHandlers: [...handlers] } as never);
  }
  return (handler: ModelHandler): Manager => of(handler);
}

async function nothing(): Promise<void> {}
