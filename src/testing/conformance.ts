/** One promise of a port, as a program that throws where the promise is broken. The name is the promise. */
export interface ConformanceCase<Harness> {
  readonly name: string;
  /** The case is registered only for backends that have this; the others never promised it. */
  readonly needs?: BackendFeature;
  run(harness: Harness): Promise<void>;
}

/**
 * `durable`: what was acknowledged is there after the store was closed and opened again.
 * `shared`: several store objects, also of several processes, work on the same storage.
 */
export type BackendFeature = 'durable' | 'shared';

export type BackendFeatures = Readonly<Record<BackendFeature, boolean>>;

/** The two functions a suite needs of a test runner; those of vitest and of node:test both fit. */
export interface TestRunner {
  describe(name: string, body: () => void): unknown;
  test(name: string, body: () => Promise<void>): unknown;
}

/** Registers each case as one test with a harness of its own, disposed of whatever happens. */
export function registerCases<Harness extends { dispose(): Promise<void> }>(
  runner: TestRunner,
  title: string,
  cases: readonly ConformanceCase<Harness>[],
  features: BackendFeatures,
  open: () => Promise<Harness>,
): void {
  runner.describe(title, () => {
    for (const one of cases) {
      if (one.needs !== undefined && !features[one.needs]) continue;
      runner.test(one.name, async () => {
        const harness = await open();
        try {
          await one.run(harness);
        } finally {
          await harness.dispose();
        }
      });
    }
  });
}
