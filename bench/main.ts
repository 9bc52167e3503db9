import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { parseArgs } from 'node:util';
import { setup as installRedis } from '../test/redis/installed.ts';
import { compiledBench } from './compiled.ts';
import { type Contest, hold } from './contest.ts';
import { installPostgres } from './private-postgres.ts';
import { EVERYSEC } from './private-redis.ts';
import { SECTIONS } from './sections.ts';
import { closing, table } from './table.ts';
import { isShort, judge } from './verdict.ts';
import { type Surroundings, surroundings } from './versions.ts';

const HERE = import.meta.dirname;
const HELP = `npm run bench -- [options]

  --quick         less work and fewer rounds: under two minutes
  --only <name>   one section, may be repeated: ${SECTIONS.map(({ name }) => name).join(', ')}
  --everysec      Redis with an append-only file, flushed once a second (without it, it keeps nothing)
  --out <folder>  where the JSON file goes (bench/results)
`;

/** Ends with 1 when a goal was missed or could not be measured, so that a script can tell. */
async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      quick: { type: 'boolean', default: false },
      only: { type: 'string', multiple: true, default: [] },
      everysec: { type: 'boolean', default: false },
      out: { type: 'string', default: join(HERE, 'results') },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) return void process.stdout.write(HELP);
  const sections = chosen(values.only);
  installPeers();
  if (sections.some(({ name }) => /^(redis|flows|limits)/.test(name))) installRedis();
  if (sections.some(({ name }) => name === 'flows')) installPostgres();
  if (values.everysec) process.env[EVERYSEC] = 'yes';
  if (!existsSync(join(HERE, '..', 'dist')))
    process.stderr.write('dist/ is missing (npm run build): only peers run\n');
  const around = surroundings();
  process.stdout.write(`${described(around)}\n\n`);
  const contests: Contest[] = [];
  const options = { quick: values.quick, script: join(compiledBench(), 'round.js'), progress };
  for (const section of sections) contests.push(await hold(section, options));
  progress('');
  process.stdout.write(`${table(contests)}\n`);
  const file = save(contests, around, values);
  const seconds = contests.reduce((sum, contest) => sum + contest.seconds, 0);
  process.stdout.write(
    `\nMeasured in ${Math.floor(seconds / 60)} min ${seconds % 60} s; all rounds: ${relative(process.cwd(), file)}\n`,
  );
  process.stdout.write(`${closing(contests)}\n`);
  const isEveryGoalReached = contests.every((contest) =>
    contest.section.rows.every((row) => !isShort(judge(contest, row))),
  );
  process.exitCode = isEveryGoalReached ? 0 : 1;
}

function chosen(names: readonly string[]) {
  const unknown = names.find((name) => !SECTIONS.some((section) => section.name === name));
  if (unknown !== undefined) throw new Error(`expected --only to name a section, got ${unknown}\n\n${HELP}`);
  return names.length === 0 ? SECTIONS : SECTIONS.filter(({ name }) => names.includes(name));
}

/** One that came with each generation of this benchmark: an older folder is installed anew. */
const PEERS = ['plainjob', 'bullmq', 'pg-boss'];

/** The peers are no dependencies of Jotty: they are installed when the benchmark first runs. */
function installPeers(): void {
  if (PEERS.every((peer) => existsSync(join(HERE, 'node_modules', peer)))) return;
  const { status } = spawnSync('npm', ['ci'], { cwd: HERE, stdio: 'inherit' });
  if (status !== 0) throw new Error('npm ci in bench/ failed; the peers are needed to compare with');
}

function described({
  node,
  sqlite,
  redis,
  postgres,
  cpu,
  cores,
  memoryGB,
  kernel,
  packages,
}: Surroundings): string {
  const versions = Object.entries(packages).map(([name, version]) => `${name} ${version}`);
  const kept = process.env[EVERYSEC] === 'yes' ? 'appendfsync everysec' : 'appendonly no';
  return [
    `Node ${node}, SQLite ${sqlite}, Redis ${redis} (${kept}), PostgreSQL ${postgres}, ${cpu}, ${cores} cores, ${memoryGB} GB, kernel ${kernel}`,
    versions.join(', '),
  ].join('\n');
}

/** One line that is written over on a terminal, a line each elsewhere; on stderr, so that the table can be kept. */
function progress(text: string): void {
  if (process.stderr.isTTY) process.stderr.write(`\r\x1b[2K${text}`);
  else if (text !== '') process.stderr.write(`${text}\n`);
}

function save(
  contests: readonly Contest[],
  around: Surroundings,
  values: { quick: boolean; everysec: boolean; out: string },
): string {
  const measuredAt = new Date().toISOString();
  mkdirSync(values.out, { recursive: true });
  const file = join(
    values.out,
    `${measuredAt.slice(0, 19).replaceAll(':', '')}${values.quick ? '-quick' : ''}.json`,
  );
  const sections = contests.map((contest) => ({
    name: contest.section.name,
    title: contest.section.title,
    seconds: contest.seconds,
    verdicts: contest.section.rows.map((row) => judge(contest, row)),
    rounds: contest.rounds,
    failures: contest.failures,
  }));
  writeFileSync(
    file,
    `${JSON.stringify({ measuredAt, quick: values.quick, everysec: values.everysec, ...around, sections }, null, 2)}\n`,
  );
  return file;
}

// Not once: a second signal, as npm and loaders pass on, would end the clearing up in the middle.
process.on('SIGINT', () => process.exit(130));
process.on('SIGTERM', () => process.exit(143));
await main();
