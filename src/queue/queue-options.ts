import { randomBytes } from 'node:crypto';
import { hostname } from 'node:os';
import { type Clock, systemClock } from '../clock.ts';
import { InvalidOptionError } from '../errors.ts';
import { requireOptions } from '../options.ts';
import { CRASHES_MAX, ID_PATTERN, INTERVAL_MS_MAX, PAYLOAD_BYTES_MAX, RETRIES_MAX } from './bounds.ts';
import { checkLimitOptions, type Limit } from './limits.ts';
import { checkRetryPolicy } from './submission-fields.ts';
import { createIdSource } from './task-id.ts';
import type { ConditionFunction, TaskQueueOptions } from './task-queue.ts';
import type { TaskDefaults } from './task-view.ts';

export interface ResolvedOptions {
  readonly leaseMs: number;
  readonly heartbeatMs: number;
  readonly sweepMs: number;
  readonly agingMs: number;
  readonly timeoutMs: number | undefined;
  readonly retentionMs: number;
  readonly payloadBytesMax: number;
  readonly conditions: Readonly<Record<string, ConditionFunction>>;
  readonly clock: Clock;
  readonly random: () => number;
  readonly newId: () => string;
  readonly owner: string;
  readonly defaults: TaskDefaults;
  readonly limits: readonly Limit[];
}

/** The options with their defaults, in one place. Throws InvalidOptionError. */
export function resolveOptions(options: TaskQueueOptions): ResolvedOptions {
  requireOptions(options, 'an object');
  const leaseMs = positive('leaseMs', options.leaseMs ?? 30_000);
  const heartbeatMs = positive('heartbeatMs', options.heartbeatMs ?? Math.max(1, Math.floor(leaseMs / 3)));
  if (heartbeatMs > leaseMs / 2) {
    throw new InvalidOptionError('heartbeatMs', `at most half of leaseMs (${leaseMs / 2})`, heartbeatMs);
  }
  const clock = options.clock ?? systemClock;
  checkRetryPolicy(options.retry ?? {}, 'retry');
  return {
    leaseMs,
    heartbeatMs,
    sweepMs: positive('sweepMs', options.sweepMs ?? 5_000),
    agingMs: inRange('agingMs', options.agingMs ?? 60_000, 0, Number.POSITIVE_INFINITY),
    timeoutMs: options.timeoutMs === undefined ? undefined : positive('timeoutMs', options.timeoutMs),
    retentionMs: inRange(
      'retentionMs',
      options.retentionMs ?? Number.POSITIVE_INFINITY,
      0,
      Number.POSITIVE_INFINITY,
    ),
    payloadBytesMax: inRange(
      'payloadBytesMax',
      options.payloadBytesMax ?? PAYLOAD_BYTES_MAX,
      2,
      PAYLOAD_BYTES_MAX,
    ),
    conditions: options.conditions ?? {},
    clock,
    random: options.random ?? Math.random,
    newId: options.newId ?? createIdSource(() => clock.now()),
    owner: ownerName(options.owner),
    limits: checkLimitOptions(options.limits ?? []),
    defaults: {
      maxRetries: wholeIn('maxRetries', options.maxRetries ?? 3, 0, RETRIES_MAX),
      maxCrashes: wholeIn('maxCrashes', options.maxCrashes ?? 5, 1, CRASHES_MAX),
      retry: withoutUndefined(options.retry ?? {}),
      agentTypes: checkAgentTypes(options.agentTypes ?? {}),
    },
  };
}

/** A field given as undefined is one not given; spread over the defaults it would erase one. */
function withoutUndefined<T extends object>(fields: T): T {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as T;
}

function ownerName(owner: string | undefined): string {
  if (owner === undefined) {
    const host = hostname()
      .replace(/[^A-Za-z0-9_.-]/g, '-')
      .slice(0, 64);
    return `${host}:${process.pid}:${randomBytes(4).toString('hex')}`;
  }
  if (!ID_PATTERN.test(owner))
    throw new InvalidOptionError('owner', '1–128 characters of A–Z a–z 0–9 _ . : -', owner);
  return owner;
}

function checkAgentTypes(agentTypes: TaskDefaults['agentTypes']): TaskDefaults['agentTypes'] {
  for (const [name, { timeoutMs }] of Object.entries(agentTypes)) {
    if (timeoutMs !== undefined) positive(`agentTypes.${name}.timeoutMs`, timeoutMs);
  }
  return agentTypes;
}

function positive(option: string, value: number): number {
  return inRange(option, value, 1, INTERVAL_MS_MAX);
}

function inRange(option: string, value: number, min: number, max: number): number {
  if (typeof value !== 'number' || !(value >= min && value <= max)) {
    throw new InvalidOptionError(option, `a number from ${min} to ${max}`, value);
  }
  return value;
}

function wholeIn(option: string, value: number, min: number, max: number): number {
  if (!Number.isInteger(value))
    throw new InvalidOptionError(option, `a whole number from ${min} to ${max}`, value);
  return inRange(option, value, min, max);
}
