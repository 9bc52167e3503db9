import { AIMessage } from '@langchain/core/messages';
import { fakeModel } from '@langchain/core/testing';
import { tool } from '@langchain/core/tools';
import { createAgent } from 'langchain';
import { expect, test } from 'vitest';
import { Conductor } from '../../src/index.ts';
import { boundOf, modelAsked, modelOf, tokensOf } from '../../src/orchestration/model-call.ts';
import { costOf, priceOf } from '../../src/orchestration/usage.ts';
import { MemoryTaskQueue } from '../../src/queue/index.ts';

test('tokens are read in the words of LangChain, else in those of providers', () => {
  const details = { input_token_details: { cache_read: 4 } };
  const usage_metadata = { input_tokens: 10, output_tokens: 5, total_tokens: 15, ...details };
  const message = { usage_metadata, response_metadata: { model_name: 'm-2' } };
  const result = { generations: [[{ message }]], llmOutput: { tokenUsage: { totalTokens: 99 } } };
  expect(tokensOf(result)).toEqual({ input: 10, cachedInput: 4, output: 5, total: 15 });
  expect(modelOf(result)).toBe('m-2');
  const tokenUsage = { promptTokens: 7, completionTokens: 2, totalTokens: 9 };
  const counted = { input: 7, cachedInput: 0, output: 2, total: 9 };
  expect(tokensOf({ generations: [[{ text: '' }]], llmOutput: { tokenUsage } })).toEqual(counted);
  expect(tokensOf({ generations: [[{ text: '' }]], llmOutput: {} })).toBeNull();
  expect(tokensOf(undefined)).toBeNull();
});

test('the price is that of the first name that has one, and * is for all others', () => {
  const prices = {
    small: { inputPerMillion: 2, outputPerMillion: 8, cachedInputPerMillion: 1 },
    '*': { inputPerMillion: 100, outputPerMillion: 100 },
  };
  const tokens = { input: 1_000_000, cachedInput: 500_000, output: 500_000, total: 1_500_000 };
  expect(costOf(tokens, priceOf(prices, [undefined, 'small']))).toBe(1 + 0.5 + 4);
  expect(costOf(tokens, priceOf(prices, ['other']))).toBe(150);
  expect(costOf(tokens, priceOf({}, ['other']))).toBeUndefined();
  // Thinking that is in the total alone costs as output.
  expect(costOf({ ...tokens, total: 2_000_000 }, prices.small)).toBe(1 + 0.5 + 8);
});

test('a call is bounded by its max_tokens and the bytes of its question, not where that is more than text', () => {
  const extra = { invocation_params: { model: 'm', max_tokens: 50 } };
  expect(modelAsked({}, extra, {})).toBe('m');
  expect(modelAsked({}, {}, { ls_model_name: 'n' })).toBe('n');
  const { most } = boundOf({}, [[{ content: 'ä'.repeat(100) }]], extra, {});
  expect(most!.input).toBeGreaterThanOrEqual(200);
  expect(most!.output).toBe(50);
  expect(boundOf({}, [[{ content: 'a' }]], {}, {}).most).toBeUndefined();
  const image = [[{ content: [{ type: 'image_url', image_url: 'x' }] }]];
  expect(boundOf({}, image, extra, {}).most).toBeUndefined();
});

test('a prebuilt agent stops at its budget between two calls, tools are not called twice for that, and it goes on', async () => {
  const called: string[] = [];
  const look = tool(
    async () => {
      called.push('look');
      return 'seen';
    },
    { name: 'look', description: 'looks', schema: { type: 'object', properties: {} } },
  );
  const model = fakeModel()
    .respondWithTools([{ name: 'look', args: {} }])
    .respond(new AIMessage('done'));
  const queue = new MemoryTaskQueue();
  const agent = createAgent({ model, tools: [look] });
  const conductor = new Conductor({ agents: { agent }, queue });
  const id = await conductor.enqueueGoal('go', { budget: { modelCalls: 1 } });
  expect(await conductor.processQueue({ untilEmpty: true })).toMatchObject({ waiting: 1 });
  expect([model.callCount, called]).toEqual([1, ['look']]);
  await conductor.budget(id).raise();
  expect(await conductor.processQueue({ untilEmpty: true })).toMatchObject({ completed: 1 });
  expect([model.callCount, called]).toEqual([2, ['look']]);
  expect(await conductor.usage({ taskId: id })).toMatchObject({ modelCalls: 2 });
  await conductor.close();
  await queue.close();
});
