// Queues: one class for each backend, all with the same contract.

// Errors: every refusal has a stable `code`.
export {
  AlreadyAnsweredError,
  AlreadyDecidedError,
  ClosedError,
  DependencyCycleError,
  DuplicateTaskError,
  InvalidOptionError,
  InvalidTaskError,
  InvalidTransitionError,
  JottyError,
  LeaseLostError,
  MissingPackageError,
  NotDurableError,
  QueuePausedError,
  RateLimitError,
  SchemaTooNewError,
  StaleApprovalError,
  StoreCorruptError,
  StoreUnavailableError,
  TaskNotFoundError,
  TimeoutError,
  TooLargeError,
  UnknownConditionError,
  UnknownDependencyError,
  UnknownInterruptError,
} from '../errors.ts';
export type { JsonObject, JsonValue } from '../json.ts';
export type { AgentAnalytics, AnalyticsOptions, QueueAnalytics } from './analytics.ts';
export {
  type HybridDurability,
  HybridTaskQueue,
  type HybridTaskQueueOptions,
} from './backends/hybrid/hybrid-task-queue.ts';
export { MemoryTaskQueue } from './backends/memory/memory-task-queue.ts';
export { MemoryTaskStore } from './backends/memory/memory-task-store.ts';
export type { DurabilityDemand, DurabilityLevel, RedisDurability } from './backends/redis/durability.ts';
export { RedisTaskQueue, type RedisTaskQueueOptions } from './backends/redis/redis-task-queue.ts';
export { SQLiteTaskQueue, type SQLiteTaskQueueOptions } from './backends/sqlite/sqlite-task-queue.ts';
// Batches: tasks to wait for together.
export { Batch, type BatchProgress, type BatchWaitOptions, type EnqueuedTasks } from './batch.ts';
// Bounds.
export {
  APPROVAL_QUESTION_MAX,
  APPROVER_NAME_MAX,
  BATCH_BYTES_MAX,
  BATCH_TASKS_MAX,
  DEPENDENCIES_MAX,
  EFFECT_KEY_CHARS_MAX,
  EFFECTS_BYTES_MAX,
  EFFECTS_MAX,
  ERROR_TEXT_BYTES_MAX,
  METADATA_BYTES_MAX,
  PAYLOAD_BYTES_MAX,
  RESULT_BYTES_MAX,
  SHOWN_BYTES_MAX,
  WHERE_BYTES_MAX,
  WHERE_PLACES_MAX,
} from './bounds.ts';
export { type Amounts, BUDGETS_MAX, type Budget } from './budget.ts';
// The port, for backends of your own: a store, and the queue that puts all policy on top of it.
export type { ClaimFilter, Lane, RunnableBy } from './claim-filter.ts';
export type { Effect } from './effects.ts';
export type { Blocker, Explanation } from './explanation.ts';
export type { Failure, FailureClass, NextStep } from './failures.ts';
export type { Gate, GateRule, Rate } from './gate.ts';
export type { Limit, LimitState } from './limits.ts';
export type { MoveReport } from './move.ts';
export { TRANSITIONS } from './moves.ts';
export type { MoveOptions } from './queue-move.ts';
export type { LimitUse, Quota } from './quota.ts';
export type { Registry, RegistryEntry } from './registry.ts';
export type { Spread } from './sketch.ts';
export { StoredTaskQueue } from './stored-task-queue.ts';
// Tasks: what is submitted, what comes back.
export type {
  AgentScore,
  Approval,
  ApprovalQuestion,
  ApprovalResult,
  Dependency,
  DependencyCondition,
  EndStatus,
  Lease,
  NewTask,
  Outcome,
  Priority,
  RetryOptions,
  RetryPolicy,
  Shown,
  Task,
  TaskAnswer,
  TaskError,
  TaskEvent,
  TaskInterrupt,
  TaskStatus,
  Validation,
  Where,
  WhereTest,
} from './task.ts';
export { isEnded, TASK_STATUSES } from './task.ts';
// Logs: what happened in the runs of a task.
export {
  type KeptPage,
  LOG_BYTES_MAX,
  LOG_ENTRIES_MAX,
  type LogPage,
  type LogStart,
  type TaskLog,
} from './task-log.ts';
export type {
  ApprovalDecision,
  Assignment,
  ConditionFunction,
  DequeueOptions,
  ListTasksQuery,
  PauseTarget,
  QueueEvents,
  QueueStats,
  StatusChange,
  TaskFilter,
  TaskPage,
  TaskQueue,
  TaskQueueOptions,
} from './task-queue.ts';
export type {
  Applied,
  Change,
  Claim,
  Edge,
  Effects,
  GateChange,
  InsertOutcome,
  ListPage,
  ListQuery,
  Logging,
  NewRecord,
  StoreCounts,
  TaskIdentity,
  TaskRecord,
  TaskState,
  TaskStore,
  UnjudgedEdge,
  Verdict,
} from './task-store.ts';
export { HISTORY_EVENTS_MAX } from './task-store.ts';
