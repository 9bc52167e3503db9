// What tests of Jotty, and of backends for it, need.

// Cases and runners.
export type { BackendFeature, BackendFeatures, ConformanceCase, TestRunner } from './conformance.ts';
// Time and randomness that tests control.
export { FAKE_NOW, FakeClock } from './fake-clock.ts';
export { seededRandom } from './seeded-random.ts';
// The contract of queues.
export {
  describeTaskQueue,
  type QueueBackend,
  type QueueHarness,
  type QueueStorage,
  taskQueueCases,
} from './task-queue-conformance.ts';
// The promises of stores.
export {
  describeTaskStore,
  type StoreBackend,
  type StoreHarness,
  taskStoreCases,
} from './task-store-conformance.ts';
// Waiting for a task without sleeping.
export { waitForStatus } from './wait-for-status.ts';
