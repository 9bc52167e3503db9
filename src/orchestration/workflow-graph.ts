import type { TaskStatus } from '../queue/task.ts';
import type { WorkflowDependency } from './workflow.ts';

/** A workflow as a drawing needs it; what is live is absent of one that was not submitted. */
export interface WorkflowGraph {
  readonly name: string;
  readonly id?: string;
  readonly status?: WorkflowState;
  readonly tasks: readonly {
    readonly ref: string;
    readonly agent?: string;
    readonly agentType?: string;
    /** A person decides it. */
    readonly approval?: true;
    readonly dependsOn: readonly WorkflowDependency[];
    readonly join?: 'any';
    readonly id?: string;
    readonly status?: TaskStatus | 'purged';
  }[];
}

/**
 * `waiting`: nothing runs or could run before a person has answered. `failed`: everything has ended, some task as
 * failed. A task that was skipped does not keep a workflow from being completed: that is what branches do.
 */
export type WorkflowState = 'running' | 'waiting' | 'completed' | 'failed' | 'cancelled';

const COLOURS: Readonly<Record<TaskStatus | 'purged', string>> = {
  pending: 'fill:#eceff1,stroke:#90a4ae',
  assigned: 'fill:#e3f2fd,stroke:#42a5f5',
  in_progress: 'fill:#bbdefb,stroke:#1e88e5',
  waiting: 'fill:#fff3c4,stroke:#f9a825',
  retrying: 'fill:#ffe0b2,stroke:#fb8c00',
  completed: 'fill:#c8e6c9,stroke:#43a047',
  failed: 'fill:#ffcdd2,stroke:#e53935',
  cancelled: 'fill:#cfd8dc,stroke:#607d8b',
  skipped: 'fill:#fafafa,stroke:#bdbdbd,stroke-dasharray:4',
  purged: 'fill:#fafafa,stroke:#bdbdbd',
};

/** As a Mermaid flowchart; the status of a task is its class and stands below its ref. */
export function mermaidOf({ tasks }: WorkflowGraph): string {
  const nodes = new Map(tasks.map(({ ref }, i) => [ref, `t${i}`]));
  const lines = ['flowchart TD'];
  for (const { ref, status, approval } of tasks) {
    const node = nodes.get(ref);
    const shape = (text: string) => (approval ? `{{"${text}"}}` : `["${text}"]`);
    lines.push(
      status === undefined
        ? `  ${node}${shape(ref)}`
        : `  ${node}${shape(`${ref}<br/>${status}`)}:::${status}`,
    );
  }
  for (const { ref, dependsOn, join } of tasks) {
    for (const edge of dependsOn)
      lines.push(`  ${nodes.get(edge.ref)} ${arrow(edge, join)} ${nodes.get(ref)}`);
  }
  const shown = new Set(tasks.flatMap(({ status }) => status ?? []));
  for (const status of shown) lines.push(`  classDef ${status} ${COLOURS[status]}`);
  return `${lines.join('\n')}\n`;
}

/** Dotted where one of several is enough. */
function arrow({ on, where }: WorkflowDependency, join: 'any' | undefined): string {
  const line = join === 'any' ? '-.->' : '-->';
  const label =
    where !== undefined
      ? Object.entries(where)
          .map(([place, test]) => `${place} ${Object.entries(test).map(spell).join(' ')}`)
          .join(', ')
      : typeof on === 'object'
        ? on.custom
        : on;
  return label === undefined || label === 'success' ? line : `${line}|"${escaped(label)}"|`;
}

function spell([operator, operand]: readonly [string, unknown]): string {
  return `${operator} ${JSON.stringify(operand)}`;
}

/** Mermaid's own entities: `#` and a code in place of `&`. */
function escaped(label: string): string {
  return label.replace(/[^A-Za-z0-9_ .,:-]/gu, (char) => `#${char.codePointAt(0)};`);
}
