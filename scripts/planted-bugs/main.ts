import { spawn } from 'node:child_process';
import { cp, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { PLANTED_BUGS, type PlantedBug } from './bugs.ts';

/**
 * Measures the conformance suites: plants one bug after another into a copy of src and demands that some
 * test turns red. Fails when a bug survives, or when its text is not found exactly once.
 */
const ROOT = join(dirname(fileURLToPath(import.meta.url)), '..', '..');
const COPIES = 2;
const TEST_TIMEOUT_MS = 5_000;
const RUN_TIMEOUT_MS = 120_000;
const SUITES = [
  'store.conformance.memory',
  'store.conformance.sqlite',
  'queue.conformance.memory',
  'queue.conformance.sqlite',
];

type Verdict = 'found' | 'SURVIVED' | 'NO MATCH';

async function makeCopy(): Promise<string> {
  const copy = await mkdtemp(join(tmpdir(), 'jotty-planted-'));
  await mkdir(join(copy, 'test/queue'), { recursive: true });
  await cp(join(ROOT, 'src'), join(copy, 'src'), { recursive: true });
  await symlink(join(ROOT, 'node_modules'), join(copy, 'node_modules'));
  for (const file of [
    'package.json',
    'tsconfig.json',
    ...SUITES.map((suite) => `test/queue/task-${suite}.test.ts`),
  ]) {
    await cp(join(ROOT, file), join(copy, file));
  }
  return copy;
}

/** Whether all suites are green in the copy; stops at the first red test. */
function isGreen(copy: string): Promise<boolean> {
  const vitest = join(ROOT, 'node_modules/vitest/vitest.mjs');
  const options = ['--bail=1', '--no-file-parallelism', `--testTimeout=${TEST_TIMEOUT_MS}`, '--reporter=dot'];
  return new Promise((resolve) => {
    const child = spawn(process.execPath, [vitest, 'run', '--root', copy, ...options], {
      stdio: 'ignore',
      timeout: RUN_TIMEOUT_MS,
      killSignal: 'SIGKILL',
    });
    child.on('exit', (code) => resolve(code === 0));
  });
}

async function plant(copy: string, bug: PlantedBug): Promise<Verdict> {
  const path = join(copy, 'src', bug.file);
  const text = await readFile(path, 'utf8');
  if (text.split(bug.find).length !== 2) return 'NO MATCH';
  await writeFile(
    path,
    text.replace(bug.find, () => bug.replace),
  );
  const verdict = (await isGreen(copy)) ? 'SURVIVED' : 'found';
  await writeFile(path, text);
  return verdict;
}

const copies = await Promise.all(Array.from({ length: COPIES }, makeCopy));
try {
  if (!(await isGreen(copies[0]!)))
    throw new Error('the suites are red without any bug; nothing can be measured');
  const queue = [...PLANTED_BUGS];
  const verdicts = new Map<PlantedBug, Verdict>();
  await Promise.all(
    copies.map(async (copy) => {
      for (let bug = queue.shift(); bug; bug = queue.shift()) {
        const verdict = await plant(copy, bug);
        verdicts.set(bug, verdict);
        console.log(`${verdict.padEnd(9)} ${bug.file.padEnd(48)} ${bug.why}`);
      }
    }),
  );
  const found = PLANTED_BUGS.filter((bug) => verdicts.get(bug) === 'found').length;
  console.log(`${found} of ${PLANTED_BUGS.length} planted bugs were found`);
  if (found < PLANTED_BUGS.length) process.exitCode = 1;
} finally {
  await Promise.all(copies.map((copy) => rm(copy, { recursive: true })));
}
