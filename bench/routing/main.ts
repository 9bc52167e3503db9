import { performance } from 'node:perf_hooks';
import { parseArgs } from 'node:util';
import { AgentCoordinator } from '../../src/index.ts';
import { ROUTERS } from './rivals.ts';
import { type Figures, type SimulationOptions, simulateFleet } from './simulation.ts';

const HELP = `npx tsx bench/routing/main.ts [--seeds 20] [--tasks 4000] [--first 1]

Simulated fleets on a virtual clock: 12 agents of two slots, four types, speed and reliability of each agent and type
unknown at the start, one agent breaking half-way. The same seeds give the same table, but for the last line.
`;

const SETTINGS: readonly (Omit<SimulationOptions, 'seed' | 'tasks'> & { readonly label: string })[] = [
  { label: 'load 80 %, one attempt', load: 0.8 },
  { label: 'load 40 %, up to 4 attempts', load: 0.4, attemptsMax: 4 },
  { label: 'saturated', load: 4 },
];

const COLUMNS = [26, 14, 13, 9, 9, 7, 10, 9, 9, 8];

main();

function main(): void {
  const { values } = parseArgs({
    options: {
      seeds: { type: 'string', default: '20' },
      tasks: { type: 'string', default: '4000' },
      first: { type: 'string', default: '1' },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) return void process.stdout.write(HELP);
  const seeds = Array.from({ length: Number(values.seeds) }, (_, i) => Number(values.first) + i);
  print([
    '',
    'strategy',
    'completion',
    'to robin',
    'to seed',
    'success',
    'to robin',
    'to seed',
    'idle',
    'used',
  ]);
  for (const { label, ...setting } of SETTINGS) rows(label, setting, seeds, Number(values.tasks));
  print(['assignment, 1,000 agents', 'learned', `${assignmentMs().toFixed(3)} ms (median of 2,000)`]);
}

function rows(
  label: string,
  setting: Omit<SimulationOptions, 'seed' | 'tasks'>,
  seeds: number[],
  tasks: number,
) {
  const figures = Object.entries(ROUTERS).map(([name, make]) => ({
    name,
    mean: meanOf(seeds.map((seed) => simulateFleet(make(), { ...setting, seed, tasks }))),
  }));
  const [robin, seedFormula] = figures;
  for (const { name, mean } of figures) {
    print([
      name === robin!.name ? label : '',
      name,
      `${(mean.completionMs / 1_000).toFixed(2)} s`,
      change(mean.completionMs, robin!.mean.completionMs),
      change(mean.completionMs, seedFormula!.mean.completionMs),
      mean.success.toFixed(3),
      change(mean.success, robin!.mean.success),
      change(mean.success, seedFormula!.mean.success),
      `${(100 * mean.idleWhileWaiting).toFixed(1)} %`,
      `${(100 * mean.utilisation).toFixed(1)} %`,
    ]);
  }
}

function meanOf(all: readonly Figures[]): Figures {
  const mean = (name: keyof Figures) => all.reduce((sum, figures) => sum + figures[name], 0) / all.length;
  return {
    completionMs: mean('completionMs'),
    success: mean('success'),
    idleWhileWaiting: mean('idleWhileWaiting'),
    utilisation: mean('utilisation'),
  };
}

function change(value: number, against: number): string {
  const share = 100 * (value / against - 1);
  return `${share < 0 ? '−' : '+'}${Math.abs(share).toFixed(0)} %`;
}

/** The only figure in real time. */
function assignmentMs(): number {
  const coordinator = new AgentCoordinator({ strategy: 'learned' });
  for (let i = 0; i < 1_000; i++) coordinator.registerAgent(`agent-${i}`, ['write']);
  for (let i = 0; i < 3_000; i++) {
    coordinator.recordOutcome(`agent-${i % 1_000}`, { agentType: 'write' }, i % 3 > 0, 1_000 + (i % 700));
  }
  const times = Array.from({ length: 2_000 }, (_, i) => {
    const from = performance.now();
    const agent = coordinator.assign({ id: `t${i}`, agentType: 'write' });
    const ms = performance.now() - from;
    coordinator.release(agent!);
    return ms;
  });
  return times.sort((a, b) => a - b)[times.length / 2]!;
}

function print(cells: readonly string[]): void {
  process.stdout.write(
    `${cells
      .map((cell, i) => cell.padEnd(COLUMNS[i]!))
      .join(' ')
      .trimEnd()}\n`,
  );
}
