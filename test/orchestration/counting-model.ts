import type { CallbackManagerForLLMRun } from '@langchain/core/callbacks/manager';
import { BaseChatModel, type BaseChatModelCallOptions } from '@langchain/core/language_models/chat_models';
import { AIMessage, AIMessageChunk, type BaseMessage } from '@langchain/core/messages';
import { ChatGenerationChunk, type ChatResult } from '@langchain/core/outputs';

export interface CountingOptions {
  readonly name?: string;
  /** What each answer weighs. */
  readonly tokens?: (call: number) => number;
  /** Told to callbacks as the most an answer can have. */
  readonly maxTokens?: number;
  readonly streams?: boolean;
  /** Called while a call is under way. */
  readonly during?: (call: number) => void | Promise<void>;
}

/** A model that takes some turns of the event loop, and remembers how many calls were under way at a time. */
export class CountingModel extends BaseChatModel<BaseChatModelCallOptions> {
  calls = 0;
  running = 0;
  runningMost = 0;
  /** All tokens that were really spent. */
  spent = 0;
  largest = 0;
  readonly #options: CountingOptions;

  constructor(options: CountingOptions = {}) {
    super({});
    this.#options = options;
  }

  _llmType(): string {
    return 'counting';
  }

  override invocationParams(): object {
    const { name, maxTokens } = this.#options;
    return {
      ...(name !== undefined && { model: name }),
      ...(maxTokens !== undefined && { max_tokens: maxTokens }),
    };
  }

  override async *_streamResponseChunks(
    messages: BaseMessage[],
    _options: this['ParsedCallOptions'],
    runManager?: CallbackManagerForLLMRun,
  ): AsyncGenerator<ChatGenerationChunk> {
    if (!this.#options.streams) throw new Error('it does not stream');
    const { generations } = await this._generate(messages);
    const { usage_metadata } = generations[0]!.message as AIMessage;
    for (const text of ['o', 'k']) {
      const usage = text === 'k' ? { usage_metadata } : {};
      yield new ChatGenerationChunk({
        text,
        message: new AIMessageChunk({ content: text, ...usage } as never),
      });
      await runManager?.handleLLMNewToken(text);
    }
  }

  async _generate(_messages: BaseMessage[]): Promise<ChatResult> {
    const call = this.calls++;
    this.running += 1;
    this.runningMost = Math.max(this.runningMost, this.running);
    const tokens = this.#options.tokens?.(call) ?? 10;
    this.spent += tokens;
    this.largest = Math.max(this.largest, tokens);
    try {
      for (let turn = 0; turn < 5; turn++) await new Promise<void>((resolve) => setImmediate(resolve));
      await this.#options.during?.(call);
    } finally {
      this.running -= 1;
    }
    const usage_metadata = { input_tokens: tokens - 1, output_tokens: 1, total_tokens: tokens };
    return {
      generations: [{ text: 'ok', message: new AIMessage({ content: 'ok', usage_metadata } as never) }],
    };
  }
}
