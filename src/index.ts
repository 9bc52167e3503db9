// The conductor: runs goals on agents, at once or through a durable queue.

export type { Clock } from './clock.ts';
export { systemClock } from './clock.ts';
// Errors: every refusal has a stable `code`.
export {
  AgentCrashedError,
  AlreadyAnsweredError,
  AlreadyDecidedError,
  ClosedError,
  CommandFailedError,
  CommandRefusedError,
  DeadlineExceededError,
  DependencyCycleError,
  DuplicateTaskError,
  HealthCheckError,
  IdleTimeoutError,
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
  StateNotSerializableError,
  StoreCorruptError,
  StoreUnavailableError,
  TaskFailedError,
  TaskNotFoundError,
  TimeoutError,
  TooLargeError,
  UnknownConditionError,
  UnknownDependencyError,
  UnknownInterruptError,
} from './errors.ts';
export type { JsonObject, JsonValue } from './json.ts';
// Agents: what may be given to a conductor, and what nodes get from it.
export type {
  AgentCallOptions,
  AgentDefinition,
  AgentInput,
  AgentSettings,
  AgentSource,
  AgentTask,
  AttemptInfo,
  ComposedAgent,
  FinalState,
  InvokableAgent,
  InvokableDefinition,
  ResultFunction,
  WrappedGraph,
} from './orchestration/agent.ts';
// The coordinator: picks the agent for a task, explains the choice, learns from the outcome.
export {
  AgentCoordinator,
  type AgentCoordinatorOptions,
  type Strategy,
  type StrategyFunction,
} from './orchestration/agent-coordinator.ts';
// Budgets: what tasks, workflows and keys may spend, and who decides when it is spent.
export type { BudgetQuestion } from './orchestration/budget-question.ts';
export type { BudgetHandle, BudgetOwner, BudgetStatus } from './orchestration/budgets.ts';
// Cancelling: what stopped, and how far it had come.
export type {
  CancelOptions,
  CancelReceipt,
  RunStop,
  TokensSpent,
  ToolCallSeen,
} from './orchestration/cancel-receipt.ts';
export { type ChildEnd, enqueueChildren, type RunConfig, waitForChildren } from './orchestration/children.ts';
// Commands: an agent that runs programs, refused unless switched on.
export {
  type CommandAgent,
  type CommandAgentOptions,
  type CommandCallOptions,
  type CommandProgress,
  type CommandResult,
  commandAgent,
} from './orchestration/command-agent.ts';
export type { CommandRule } from './orchestration/command-allow-list.ts';
export {
  HEALTH_CHECK_EVERY_MS_MIN,
  HEALTH_CHECK_MS_MAX,
  type HealthCheck,
  type HealthReport,
} from './orchestration/command-health.ts';
export { COMMAND_BYTES_MAX, type CommandInput } from './orchestration/command-input.ts';
export { COMMAND_LINE_CHARS_MAX, COMMAND_LINES_MAX } from './orchestration/command-output.ts';
export { COMMAND_OUTPUT_BYTES_MAX } from './orchestration/command-runner.ts';
export { Conductor } from './orchestration/conductor.ts';
export type {
  ConductorOptions,
  ProcessQueueOptions,
  ResultOptions,
  Verdict,
} from './orchestration/conductor-options.ts';
export type { RunOptions, RunResult } from './orchestration/direct-run.ts';
export type { AnyRouter, Route, Router, RouterConfig } from './orchestration/dynamic-plan.ts';
// Failures: their classes, and what follows each.
export type { Classify, OnFailure } from './orchestration/failure-policy.ts';
export type { Goal, GoalOptions } from './orchestration/goal.ts';
export type { Checkpointer, CompiledGraph } from './orchestration/graph.ts';
// Deploys: what becomes of threads that another version of their graph began.
export type { Migrate, Migration, OldThread } from './orchestration/graph-verdict.ts';
// The inbox: all that waits for people.
export {
  INBOX_ENTRIES_MAX,
  type InboxEntry,
  type InboxOptions,
  type InboxPage,
} from './orchestration/inbox.ts';
// Isolation: agents that run in a thread or process of their own.
export type { IsolationOptions, ModuleAgent } from './orchestration/isolation.ts';
// The manager: the background loop with its knobs, for those who want more than processQueue().
export type {
  ManagerEvents,
  ManagerStatus,
  ProcessedCounts,
  StopOptions,
  TaskQueueManagerOptions,
} from './orchestration/manager-options.ts';
export { DRAIN_MS, STOP_SETTLE_MS } from './orchestration/manager-options.ts';
export { type ChatModelLike, type ModelRouterOptions, modelRouter } from './orchestration/model-router.ts';
export type { ModeOptions } from './orchestration/modes.ts';
// Side effects: calls that are made at most once for their task, however often a node runs.
export {
  type Doubt,
  type OnceOptions,
  type OnceQuestion,
  once,
  type Reconciled,
} from './orchestration/once.ts';
export { type OnceToolOptions, onceTool } from './orchestration/once-tool.ts';
export { type ScoreRouterOptions, scoreRouter } from './orchestration/routers.ts';
// What a run shows: a task's life as one numbered stream.
export { EVENTS_BUFFER_MAX, type RunEvent, type TaskLifeEvent } from './orchestration/run-events.ts';
export { EVENT_CHARS_MAX, RUN_LOG_EVENTS_MAX } from './orchestration/run-log.ts';
export { EVENTS_FLUSH_MS, type RecordOptions } from './orchestration/run-logs.ts';
export type { CatchUp, Overlap, ScheduleRule } from './orchestration/schedule.ts';
export type { Schedule, ScheduleOptions, Schedules } from './orchestration/schedules.ts';
export type { AssignableTask, ScorableTask } from './orchestration/scoring.ts';
// Simulations: what another strategy, other limits or other agents would have come to.
export type { SimulatedAgent, SimulateOptions, SimulationReport } from './orchestration/simulation.ts';
export type { Plan, PlanEdge } from './orchestration/static-plan.ts';
export {
  completed,
  DEQUE_TASKS_MAX,
  type DequeTask,
  type DequeUpdate,
  type NewDequeTask,
  pending,
  type TaskDeque,
  taken,
  taskDeque,
} from './orchestration/task-deque.ts';
export type { EventsOptions } from './orchestration/task-events.ts';
export { TaskQueueManager } from './orchestration/task-queue-manager.ts';
// Several agents on one goal: in a given order, or as a router decides.
export {
  type DynamicAgentOptions,
  dynamicAgent,
  type StaticAgentOptions,
  staticAgent,
} from './orchestration/team.ts';
export type { TeamMember, TeamView } from './orchestration/team-view.ts';
// Time travel: back to a checkpoint of a task, in a task of its own.
export {
  CHECKPOINTS_LISTED_MAX,
  type CheckpointsOptions,
  type RerunOptions,
  type TaskCheckpoint,
} from './orchestration/time-travel.ts';
// Usage: tokens and cost of models.
export type { Price, Prices, TaskUsage, Usage, UsageByModel } from './orchestration/usage.ts';
export type { CallUsage } from './orchestration/usage-meter.ts';
export type { UsageFor, UsageOwner } from './orchestration/usage-of.ts';
// Workflows: tasks that depend on one another, submitted and followed as one.
export {
  type PlannedTask,
  Workflow,
  type WorkflowDependency,
  type WorkflowStep,
  type WorkflowTask,
} from './orchestration/workflow.ts';
export type { WorkflowGraph, WorkflowState } from './orchestration/workflow-graph.ts';
export {
  DEPENDENCY_RESULTS_BYTES_MAX,
  type WorkflowMembership,
} from './orchestration/workflow-membership.ts';
export { WorkflowRun, type WorkflowStatus, type WorkflowTaskStatus } from './orchestration/workflow-run.ts';
export type { SubmitOptions } from './orchestration/workflows.ts';
export { Batch, type BatchProgress, type BatchWaitOptions, type EnqueuedTasks } from './queue/batch.ts';
export { type Amounts, BUDGETS_MAX, type Budget } from './queue/budget.ts';
export type { Effect } from './queue/effects.ts';
export type { Failure, FailureClass, NextStep } from './queue/failures.ts';
// Tasks, as results and events show them.
export type {
  AgentScore,
  Approval,
  ApprovalQuestion,
  ApprovalResult,
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
} from './queue/task.ts';
export type { ApprovalDecision, TaskQueue } from './queue/task-queue.ts';
export type { Worker, WorkerAgent } from './queue/workers.ts';
