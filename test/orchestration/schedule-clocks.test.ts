import { expect, test } from 'vitest';
import { nextTick } from '../../src/orchestration/schedule.ts';
import { seededRandom } from '../../src/testing/seeded-random.ts';

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const SEED = Number(process.env.SCHEDULE_SEED ?? 1);
const PATTERNS = 24;

/** Noon of UTC before the clocks change: by an hour, by half of one, at midnight, the other way round. */
const CHANGES = [
  ['Europe/Berlin', '2025-03-29'],
  ['Europe/Berlin', '2025-10-25'],
  ['Europe/Dublin', '2025-10-25'],
  ['America/New_York', '2025-03-08'],
  ['America/New_York', '2025-11-01'],
  ['America/Havana', '2025-03-08'],
  ['America/Havana', '2025-11-01'],
  ['America/Santiago', '2025-09-06'],
  ['America/Santiago', '2025-04-05'],
  ['Africa/Cairo', '2025-04-24'],
  ['Africa/Cairo', '2025-10-30'],
  ['Australia/Lord_Howe', '2025-10-04'],
  ['Australia/Lord_Howe', '2025-04-05'],
  ['Asia/Kolkata', '2025-03-29'],
] as const;

interface Moment {
  readonly at: number;
  /** What the clock shows, as if it were UTC. */
  readonly wall: number;
}

interface Pattern {
  readonly cron: string;
  readonly hours: readonly number[] | null;
  readonly minutes: readonly number[];
  readonly isFixed: boolean;
}

/** Each minute of three days as the clocks of the zone show it: the platform's own, read one by one. */
function momentsOf(tz: string, from: number): Moment[] {
  const format = new Intl.DateTimeFormat('sv', { timeZone: tz, dateStyle: 'short', timeStyle: 'short' });
  return Array.from({ length: (72 * HOUR) / MINUTE }, (_, i) => {
    const at = from + i * MINUTE;
    return { at, wall: Date.parse(`${format.format(at).replace(' ', 'T')}:00Z`) };
  });
}

/** A fixed time ticks when it is first shown, or when the clocks jump over it; what repeats, whenever it is shown. */
function expectedTicks(moments: readonly Moment[], { hours, minutes, isFixed }: Pattern): number[] {
  const matches = (wall: number) => {
    const time = new Date(wall);
    return (hours === null || hours.includes(time.getUTCHours())) && minutes.includes(time.getUTCMinutes());
  };
  const ticks: number[] = [];
  let latest = moments[0]!.wall - MINUTE;
  for (const { at, wall } of moments) {
    let isDue = !isFixed && matches(wall);
    for (let shown = latest + MINUTE; isFixed && shown <= wall && !isDue; shown += MINUTE)
      isDue = matches(shown);
    latest = Math.max(latest, wall);
    if (isDue) ticks.push(at);
  }
  return ticks;
}

function aPattern(random: () => number): Pattern {
  const upTo = (n: number) => Math.floor(random() * n);
  const some = (n: number, below: number) =>
    [...new Set(Array.from({ length: 1 + upTo(n) }, () => upTo(below)))].sort((a, b) => a - b);
  const early = () => [...new Set([...some(3, 4), ...some(1, 24)])].sort((a, b) => a - b);
  const minutes = some(3, 60);
  const kind = upTo(5);
  if (kind === 0) return { cron: `${minutes} * * * *`, hours: null, minutes, isFixed: false };
  const hours = early();
  if (kind === 1) {
    const step = [5, 15, 20, 30][upTo(4)]!;
    const all = Array.from({ length: 60 / step }, (_, i) => i * step);
    return { cron: `*/${step} ${hours} * * *`, hours, minutes: all, isFixed: false };
  }
  if (kind === 2) {
    const range = Array.from({ length: 4 }, (_, i) => i);
    return { cron: `${minutes} 0-3 * * *`, hours: range, minutes, isFixed: true };
  }
  return { cron: `${minutes} ${hours} * * *`, hours, minutes, isFixed: true };
}

test.each(CHANGES)('every pattern ticks as the clocks show it: %s, %s', (tz, day) => {
  const from = Date.parse(`${day}T00:00:00Z`);
  const moments = momentsOf(tz, from);
  const random = seededRandom(SEED);
  for (let i = 0; i < PATTERNS; i++) {
    const pattern = aPattern(random);
    // The first moments may repeat or make up for what came before them.
    const expected = expectedTicks(moments, pattern).filter((at) => at > from + 6 * HOUR);
    const ticks: number[] = [];
    let at = from + 6 * HOUR;
    for (;;) {
      const next = nextTick({ cron: pattern.cron, tz }, at, 0);
      if (next === null || next > moments.at(-1)!.at) break;
      expect(next).toBeGreaterThan(at);
      ticks.push(next);
      at = next;
    }
    const told = (all: readonly number[]) => all.map((tick) => new Date(tick).toISOString());
    expect(told(ticks), `${pattern.cron} (SCHEDULE_SEED=${SEED})`).toEqual(told(expected));
    // Processes begin to count where they like.
    for (let n = 0; n < 20; n++) {
      const start = from + 6 * HOUR + Math.floor(random() * 60 * HOUR);
      const next = nextTick({ cron: pattern.cron, tz }, start, 0);
      const first = expected.find((tick) => tick > start);
      if (first !== undefined) expect(next, `${pattern.cron} from ${start}`).toBe(first);
    }
  }
});
