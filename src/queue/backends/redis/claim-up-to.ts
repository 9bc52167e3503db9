import type { TaskRecord } from '../../task-store.ts';

interface Told {
  readonly records: readonly TaskRecord[];
  /** 0 when nothing is left that a further call would find. */
  readonly told: unknown;
}

/** Asks again for what is missing, as long as the script tells that there may be more. */
export async function claimUpTo(
  limit: number,
  claim: (rest: number) => Promise<Told>,
): Promise<TaskRecord[]> {
  const all: TaskRecord[] = [];
  for (;;) {
    const { records, told } = await claim(limit - all.length).catch((error: unknown) => {
      // What was claimed already is not lost with what comes after it.
      if (all.length === 0) throw error;
      return { records: [], told: 0 };
    });
    all.push(...records);
    if (told === 0 || all.length >= limit) return all;
  }
}
