import type { TaskStore } from '../queue/task-store.ts';
import { type ConformanceCase, registerCases, type TestRunner } from './conformance.ts';
import { alarmCases } from './task-store-cases/alarms.ts';
import { applyCases } from './task-store-cases/apply.ts';
import { claimCases } from './task-store-cases/claim.ts';
import { countCases } from './task-store-cases/counts.ts';
import { dependencyCases } from './task-store-cases/dependencies.ts';
import { durabilityCases } from './task-store-cases/durability.ts';
import { filterCases } from './task-store-cases/filters.ts';
import { gateCases } from './task-store-cases/gates.ts';
import { historyCases } from './task-store-cases/history.ts';
import { insertCases } from './task-store-cases/insert.ts';
import { joinCases } from './task-store-cases/joins.ts';
import { judgeCases } from './task-store-cases/judge.ts';
import { leaseCases } from './task-store-cases/leases.ts';
import { listCases } from './task-store-cases/list.ts';
import { logCases } from './task-store-cases/logs.ts';
import { purgeCases } from './task-store-cases/purge.ts';
import { randomWalkCases } from './task-store-cases/random-walk.ts';
import { rateCases } from './task-store-cases/rates.ts';
import { registryCases } from './task-store-cases/registry.ts';
import { turnCases } from './task-store-cases/turns.ts';

/** A fresh, empty storage for one case. */
export interface StoreHarness {
  readonly store: TaskStore;
  /** Another store object on the same storage, as another process would have one. Only of shared backends. */
  second?(): Promise<TaskStore>;
  /** Closes every store of this storage and opens it anew. Only of durable backends. */
  reopen?(): Promise<TaskStore>;
  /** Closes everything and removes the storage. */
  dispose(): Promise<void>;
}

export interface StoreBackend {
  /** Shown in the names of the tests. */
  readonly name: string;
  readonly durable: boolean;
  readonly shared: boolean;
  open(): Promise<StoreHarness>;
}

/** Every promise of `TaskStore`, for any runner: run each case with a harness of its own. */
export const taskStoreCases: readonly ConformanceCase<StoreHarness>[] = [
  ...insertCases,
  ...dependencyCases,
  ...judgeCases,
  ...claimCases,
  ...filterCases,
  ...applyCases,
  ...leaseCases,
  ...historyCases,
  ...listCases,
  ...countCases,
  ...purgeCases,
  ...durabilityCases,
  ...randomWalkCases,
  ...registryCases,
  ...joinCases,
  ...alarmCases,
  ...gateCases,
  ...rateCases,
  ...turnCases,
  ...logCases,
];

/** Registers the suite with a runner, e.g. `describeTaskStore({ describe, test }, backend)` in vitest. */
export function describeTaskStore(runner: TestRunner, backend: StoreBackend): void {
  registerCases(runner, `${backend.name} keeps the promises of a TaskStore`, taskStoreCases, backend, () =>
    backend.open(),
  );
}
