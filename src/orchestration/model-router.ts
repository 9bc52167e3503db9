import type { AnyRouter, Route, RouterConfig } from './dynamic-plan.ts';
import { scoreRouter } from './routers.ts';
import { END } from './team-graph.ts';
import type { TeamMember, TeamView } from './team-view.ts';

/** The part of a LangChain chat model that is used. */
export interface ChatModelLike {
  invoke(messages: never, config?: never): Promise<unknown>;
  withStructuredOutput?(
    schema: never,
    config?: never,
  ): { invoke(messages: never, config?: never): Promise<unknown> };
}

export interface ModelRouterOptions {
  /** Said to the model beside the agents and what they have done. */
  readonly instructions?: string | undefined;
  /** How often a choice that cannot be is put back to the model, for one step. @default 2 */
  readonly correctionsMax?: number | undefined;
  /** How often one agent may run for a goal; the model is not offered it then. @default 3 */
  readonly runsMax?: number | undefined;
  /** Who decides where the model cannot. @default scoreRouter() */
  readonly fallback?: AnyRouter | undefined;
}

/** The model's word for END. */
const FINISH = 'FINISH';
const CORRECTIONS = 2;
const RUNS = 3;
/** Characters of the goal's state that the model is shown. */
const STATE_CHARS_MAX = 20_000;

/** As LangChain takes messages. */
type Turn = readonly ['system' | 'human' | 'ai', string];

/**
 * Asks a chat model who goes on, by structured output over the agents' descriptions. A choice that cannot be is
 * put back to it with the reason, `correctionsMax` times; then `fallback` decides. What the model throws fails the
 * run, which is tried again from here.
 */
export function modelRouter(model: ChatModelLike, options: ModelRouterOptions = {}): AnyRouter {
  const { correctionsMax = CORRECTIONS, runsMax = RUNS, fallback = scoreRouter() } = options;
  return async (state, agents, config) => {
    const offered = agents.filter(({ runs }) => runs < runsMax);
    if (offered.length === 0) return { next: END, reason: `each agent has run ${runsMax} times` };
    const turns: Turn[] = promptOf(state, offered, options.instructions);
    for (let corrections = 0; corrections <= correctionsMax; corrections++) {
      const answer = await ask(model, turns, offered, config);
      const route = routeOf(answer, offered);
      if (route !== undefined) return route;
      turns.push(['ai', JSON.stringify(answer ?? null)], ['human', correction(answer, agents, offered)]);
    }
    const route = await fallback(state, offered, config);
    const next = typeof route === 'object' ? route.next : route;
    return { next, reason: 'the model chose nothing that can be' };
  };
}

function promptOf(state: TeamView, agents: readonly TeamMember[], instructions: string | undefined): Turn[] {
  const { goal, path, results, ...values } = state;
  const team = agents.map(({ name, description, capabilities }) => {
    const skills = capabilities.filter((capability) => capability !== name);
    return `- ${name}${description && `: ${description}`}${skills.length > 0 ? ` (${skills.join(', ')})` : ''}`;
  });
  const done = path.length === 0 ? 'nobody yet' : path.join(' → ');
  const shown = JSON.stringify({ results, state: values }).slice(0, STATE_CHARS_MAX);
  return [
    [
      'system',
      `You decide which agent goes on with a goal, or ${FINISH} when it is met.\nAgents:\n${team.join('\n')}` +
        (instructions === undefined ? '' : `\n${instructions}`),
    ],
    ['human', `Goal: ${goal ?? '(in the state)'}\nSo far: ${done}\nState: ${shown}\nWho is next?`],
  ];
}

async function ask(
  model: ChatModelLike,
  turns: readonly Turn[],
  agents: readonly TeamMember[],
  config: RouterConfig,
): Promise<unknown> {
  const structured = structuredOf(model, agents);
  const answer = await structured?.invoke([...turns] as never, config as never).catch(unreadable);
  if (answer !== undefined && answer !== null) return answer;
  return contentOf(await model.invoke([...turns] as never, config as never));
}

/** What cannot be read is a wrong choice; any other error is the run's. */
function unreadable(error: unknown): unknown {
  const {
    name,
    lc_error_code: code,
    message,
    llmOutput,
  } = error as {
    readonly name?: unknown;
    readonly lc_error_code?: unknown;
    readonly message?: unknown;
    readonly llmOutput?: unknown;
  };
  const isUnreadable = UNREADABLE.has(name) || code === 'OUTPUT_PARSING_FAILURE';
  if (!isUnreadable) throw error;
  if (typeof llmOutput === 'string') return contentOf({ content: llmOutput });
  return { next: `an answer that cannot be read (${String(message)})` };
}

const UNREADABLE: ReadonlySet<unknown> = new Set(['SyntaxError', 'ZodError', 'OutputParserException']);

/** undefined where the model has no structured output: then its text is read. */
function structuredOf(model: ChatModelLike, agents: readonly TeamMember[]) {
  try {
    return model.withStructuredOutput?.(schemaOf(agents) as never, { name: 'route' } as never);
  } catch {
    return undefined;
  }
}

function schemaOf(agents: readonly TeamMember[]): object {
  return {
    title: 'route',
    description: 'Who goes on with the goal.',
    type: 'object',
    properties: {
      next: {
        type: 'string',
        enum: [...agents.map(({ name }) => name), FINISH],
        description: 'The agent that goes on.',
      },
      reason: { type: 'string', description: 'Why, in one sentence.' },
    },
    required: ['next'],
  };
}

/** A tool call's arguments, JSON, or the bare text of a message. */
function contentOf(message: unknown): unknown {
  const { content, tool_calls: calls } = (message ?? {}) as {
    readonly content?: unknown;
    readonly tool_calls?: readonly { readonly args?: unknown }[];
  };
  if (calls?.[0] !== undefined) return calls[0].args;
  if (typeof content !== 'string') return content;
  const text = FENCED.exec(content)?.[1] ?? content.trim();
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return text;
  }
}

/** JSON as models without structured output like to write it. */
const FENCED = /^\s*```(?:json)?\s*([\s\S]*?)\s*```\s*$/i;

function routeOf<Name extends string>(
  answer: unknown,
  agents: readonly TeamMember<Name>[],
): Route<Name> | undefined {
  const { next, reason } =
    typeof answer === 'object' && answer !== null
      ? (answer as { readonly next?: unknown; readonly reason?: unknown })
      : { next: answer, reason: undefined };
  const why = typeof reason === 'string' ? { reason } : {};
  if (next === FINISH || next === END) return { next: END, ...why };
  return agents.some(({ name }) => name === next) ? { next: next as Name, ...why } : undefined;
}

function correction(answer: unknown, agents: readonly TeamMember[], offered: readonly TeamMember[]): string {
  const next: unknown =
    typeof answer === 'object' && answer !== null ? (answer as { next?: unknown }).next : answer;
  const isSpent = agents.some(({ name }) => name === next);
  const why = isSpent ? 'has run often enough for this goal' : 'is not there';
  return `${String(next)} ${why}. Choose one of: ${[...offered.map(({ name }) => name), FINISH].join(', ')}.`;
}
