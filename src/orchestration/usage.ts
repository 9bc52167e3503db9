import { InvalidOptionError } from '../errors.ts';

/** What calls of models came to. */
export interface Usage {
  /** Calls that were made, also those that failed. */
  readonly modelCalls: number;
  readonly inputTokens: number;
  readonly outputTokens: number;
  /** Both together, or what the model told where it told no more. */
  readonly tokens: number;
  /** By the conductor's `prices`, in their currency; calls without a price are not in it. */
  readonly cost: number;
  readonly failedCalls: number;
  /** Calls that told no tokens, or whose end nobody saw since their process died. */
  readonly unknownCalls: number;
  /** Calls that told tokens for which no price was given. */
  readonly unpricedCalls: number;
}

/** What calls came to, and by the name of the model. */
export interface UsageByModel extends Usage {
  readonly models: Readonly<Record<string, Usage>>;
}

/** A task's calls over all its attempts, with those of its children in all generations. */
export interface TaskUsage extends UsageByModel {
  readonly taskId: string;
  /** Without its children. */
  readonly own: UsageByModel;
  readonly children: readonly TaskUsage[];
}

/** In any currency. */
export interface Price {
  readonly inputPerMillion: number;
  readonly outputPerMillion: number;
  /** Of input that the provider had in its cache. @default inputPerMillion */
  readonly cachedInputPerMillion?: number | undefined;
}

/** By the name of the model, as it is asked for or as its answers tell it. `*` is for all others. */
export type Prices = Readonly<Record<string, Price>>;

/** What one call told. */
export interface CallTokens {
  readonly input: number;
  readonly cachedInput: number;
  readonly output: number;
  readonly total: number;
}

export const NO_USAGE: Usage = {
  modelCalls: 0,
  inputTokens: 0,
  outputTokens: 0,
  tokens: 0,
  cost: 0,
  failedCalls: 0,
  unknownCalls: 0,
  unpricedCalls: 0,
};

const MILLION = 1_000_000;
/** Money is kept to a ten-billionth, so that sums of prices stay what they look like. */
const COST_DIGITS = 1e10;

export function addUsage(a: Usage, b: Usage): Usage {
  return {
    modelCalls: a.modelCalls + b.modelCalls,
    inputTokens: a.inputTokens + b.inputTokens,
    outputTokens: a.outputTokens + b.outputTokens,
    tokens: a.tokens + b.tokens,
    cost: roundCost(a.cost + b.cost),
    failedCalls: a.failedCalls + b.failedCalls,
    unknownCalls: a.unknownCalls + b.unknownCalls,
    unpricedCalls: a.unpricedCalls + b.unpricedCalls,
  };
}

/** The usage of one call that has ended; `cost` undefined where it has no price. */
export function usageOf(tokens: CallTokens | null, cost: number | undefined): Usage {
  if (tokens === null) return { ...NO_USAGE, modelCalls: 1, unknownCalls: 1 };
  return {
    ...NO_USAGE,
    modelCalls: 1,
    inputTokens: tokens.input,
    outputTokens: tokens.output,
    tokens: tokens.total,
    cost: roundCost(cost ?? 0),
    unpricedCalls: cost === undefined ? 1 : 0,
  };
}

export function roundCost(cost: number): number {
  return Math.round(cost * COST_DIGITS) / COST_DIGITS;
}

/** The price of the first of these names that has one. */
export function priceOf(prices: Prices, names: readonly (string | undefined)[]): Price | undefined {
  const name = names.find((known) => known !== undefined && Object.hasOwn(prices, known));
  return prices[name ?? '*'];
}

export function costOf(tokens: CallTokens, price: Price | undefined): number | undefined {
  if (price === undefined) return undefined;
  const { inputPerMillion, outputPerMillion, cachedInputPerMillion = inputPerMillion } = price;
  const fresh = Math.max(0, tokens.input - tokens.cachedInput);
  // A total that is more than its parts, e.g. with thinking, or all that was told, costs as output.
  const output = Math.max(tokens.output, tokens.total - tokens.input);
  return (
    (fresh * inputPerMillion + tokens.cachedInput * cachedInputPerMillion + output * outputPerMillion) /
    MILLION
  );
}

/** @throws InvalidOptionError */
export function checkPrices(prices: Prices): Prices {
  for (const [model, price] of Object.entries(prices)) {
    const { inputPerMillion, outputPerMillion, cachedInputPerMillion = 0 } = (price ?? {}) as Partial<Price>;
    for (const [field, value] of Object.entries({
      inputPerMillion,
      outputPerMillion,
      cachedInputPerMillion,
    })) {
      if (typeof value !== 'number' || !(value >= 0) || value === Infinity)
        throw new InvalidOptionError(`prices.${model}.${field}`, 'a number from 0', value);
    }
  }
  return prices;
}
