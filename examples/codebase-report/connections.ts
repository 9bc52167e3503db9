import type { Analysis } from './analysis.ts';
import type { Edge, Popular } from './import-graph.ts';
import { cell, table } from './markdown.ts';
import { plural } from './observations.ts';

/** The part of the report about imports: between folders, of files, of packages. */
export function connections({ edges, cycles, files, packages, builtins, unimported }: Analysis): string[] {
  const parts = [
    ...(edges.length > 0 ? [diagram(edges)] : []),
    ...circles(cycles),
    ...popular('### Most imported files', 'File', files),
    ...popular('### Most imported packages', 'Package', packages),
    ...(builtins.length > 0
      ? [
          `Of the platform: ${builtins.map(({ name, importers }) => `\`${name}\` (${importers})`).join(', ')}.`,
        ]
      : []),
    ...orphans(unimported),
  ];
  return parts.length === 0 ? [] : ['## How it hangs together', ...parts];
}

const CIRCLE_SHOWN = 12;

function circles(cycles: Analysis['cycles']): string[] {
  if (cycles.length === 0) return [];
  const lines = cycles.map((group) => {
    const rest = group.length > CIRCLE_SHOWN ? ` … ${group.length} in all` : '';
    return `- ${group
      .slice(0, CIRCLE_SHOWN)
      .map((folder) => `\`${folder}\``)
      .join(' ⇄ ')}${rest}`;
  });
  return ['Folders that import each other in a circle:', lines.join('\n')];
}

function popular(title: string, what: string, all: readonly Popular[]): string[] {
  if (all.length === 0) return [];
  const rows = all.map(({ name, importers }) => [`\`${cell(name)}\``, plural(importers, 'file')]);
  return [title, table([what, '>Imported by'], rows)];
}

function orphans(unimported: Analysis['unimported']): string[] {
  if (unimported.length === 0) return [];
  const list = unimported.map((path) => `- \`${path}\``).join('\n');
  return [
    '### Imported by nobody here',
    'Where programs begin, or what is no longer used (largest first):',
    list,
  ];
}

/** A diagram with more arrows than this is a hairball. */
const ARROWS_MAX = 28;

/** The strongest imports between folders as a Mermaid flowchart, drawn from the importer to the imported. */
function diagram(edges: readonly Edge[]): string {
  const shown = edges.slice(0, ARROWS_MAX);
  const folders = [...new Set(shown.flatMap(({ from, to }) => [from, to]))].sort();
  const id = new Map(folders.map((folder, at) => [folder, `f${at}`]));
  const nodes = folders.map((folder) => `  ${id.get(folder)}["${folder.replaceAll('"', "'")}"]`);
  const arrows = shown.map(({ from, to, imports }) => `  ${id.get(from)} -->|${imports}| ${id.get(to)}`);
  const rest = edges.length - shown.length;
  const note =
    rest > 0
      ? `\n\n*The ${ARROWS_MAX} strongest of ${edges.length} connections; the numbers count imports.*`
      : '';
  return `\`\`\`mermaid\nflowchart LR\n${[...nodes, ...arrows].join('\n')}\n\`\`\`${note}`;
}
