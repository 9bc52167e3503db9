import type { Clock } from '../clock.ts';
import { InvalidOptionError } from '../errors.ts';
import type { AgentSource } from './agent.ts';
import type { AgentCoordinator } from './agent-coordinator.ts';
import type { DynamicAgentOptions, StaticAgentOptions } from './team.ts';
import { dynamicAgent, staticAgent } from './team.ts';

/** The mode of a conductor, and what belongs to it. */
export type ModeOptions<Name extends string> =
  | { readonly mode?: undefined }
  | ({
      /** Agents run in the order of `plan`. */
      readonly mode: 'static';
    } & Pick<StaticAgentOptions<Name>, 'plan' | 'maxSteps'>)
  | ({
      /** `router` picks the next agent until the goal is met or a bound is hit. */
      readonly mode: 'dynamic';
    } & Pick<DynamicAgentOptions<Name>, 'router' | 'maxSteps' | 'maxMs' | 'budget'>);

interface Given {
  readonly agents: Readonly<Record<string, AgentSource>>;
  readonly coordinator: AgentCoordinator;
  readonly clock: Clock;
}

interface WithTeam {
  readonly agents: Readonly<Record<string, AgentSource>>;
  readonly defaultAgent?: string;
}

/** The agents, and with a mode the one more that goals run on by default. */
export function withTeam<Name extends string>({ mode, ...options }: Given & ModeOptions<Name>): WithTeam {
  const { agents } = options;
  if (mode === undefined) return { agents };
  if (mode !== 'static' && mode !== 'dynamic')
    throw new InvalidOptionError('mode', 'static, dynamic, or none', mode);
  if (Object.hasOwn(agents, mode))
    throw new InvalidOptionError('agents', `no agent ${mode} beside the mode`, mode);
  const team =
    mode === 'static'
      ? staticAgent(options as StaticAgentOptions)
      : dynamicAgent(options as DynamicAgentOptions);
  return { agents: { ...agents, [mode]: team }, defaultAgent: mode };
}
