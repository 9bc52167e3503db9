import { describe, expect, test } from 'vitest';
import { TRANSITIONS } from '../../src/queue/moves.ts';
import { DEFAULT_RETRY } from '../../src/queue/retry.ts';
import { toRecord } from '../../src/queue/submission.ts';
import { isLeased, TASK_STATUSES, type TaskStatus } from '../../src/queue/task.ts';
import type { TaskRecord } from '../../src/queue/task-store.ts';
import { type DecisionContext, decide, type TaskAction } from '../../src/queue/transitions.ts';

const NOW = 1_790_000_000_000;
const context: DecisionContext = {
  now: NOW,
  leaseMs: 30_000,
  maxRetries: 2,
  maxCrashes: 2,
  timeoutMs: undefined,
  ownTimeoutMs: undefined,
  retry: { ...DEFAULT_RETRY, jitter: false },
  random: () => 0.5,
  metadata: { kept: true },
  submission: { payload: {} },
};

function aRecord(status: TaskStatus, changes: Partial<TaskRecord> = {}): TaskRecord {
  const rules = {
    payloadBytesMax: 1_000,
    agingMs: 60_000,
    newId: () => 'a',
    hasCondition: () => false,
    isInProcess: false,
    limits: [],
  };
  const leased = isLeased(status);
  const { dependsOn: _, ...identity } = toRecord({ payload: {} }, () => 'task', NOW, rules);
  return {
    ...identity,
    seq: 1,
    status,
    retryCount: 0,
    crashes: 0,
    fence: 3,
    owner: leased ? 'w' : null,
    leaseExpiresAt: leased ? NOW + 1_000 : null,
    startedAt: status === 'in_progress' ? NOW - 500 : null,
    completedAt: null,
    result: null,
    details: null,
    version: 7,
    events: 4,
    blockedBy: [],
    ...changes,
  };
}

const ACTIONS: Record<string, TaskAction> = {
  start: { type: 'start', fence: 3 },
  heartbeat: { type: 'heartbeat', fence: 3 },
  complete: { type: 'settle', fence: 3, ending: { status: 'completed', result: null } },
  fail: {
    type: 'settle',
    fence: 3,
    ending: { status: 'failed', error: { name: 'E', message: 'm' }, retry: 'allowed' },
  },
  release: { type: 'settle', fence: 3, ending: { status: 'released' } },
  wait: { type: 'settle', fence: 3, ending: { status: 'waiting', interrupts: [{ id: 'q', value: 1 }] } },
  cancel: { type: 'cancel' },
  expire: { type: 'expire' },
  redrive: { type: 'redrive' },
};

function outcome(status: TaskStatus, action: TaskAction): string {
  try {
    const change = decide(aRecord(status), action, context);
    return change ? change.next.status : 'unchanged';
  } catch (error) {
    return (error as { code: string }).code;
  }
}

test('every action leads from every status where the table says', () => {
  const table = Object.fromEntries(
    Object.entries(ACTIONS).map(([name, action]) => [
      name,
      Object.fromEntries(TASK_STATUSES.map((status) => [status, outcome(status, action)])),
    ]),
  );
  expect(table).toMatchSnapshot();
});

test('every move that is decided stands in the table', () => {
  for (const action of Object.values(ACTIONS)) {
    for (const status of TASK_STATUSES) {
      const to = outcome(status, action);
      const isMove = (TASK_STATUSES as readonly string[]).includes(to) && to !== status;
      if (isMove) expect(TRANSITIONS[status]).toContain(to);
    }
  }
});

test('an older fence is refused for every action of a worker', () => {
  for (const action of Object.values(ACTIONS)) {
    if (!('fence' in action)) continue;
    expect(() => decide(aRecord('in_progress'), { ...action, fence: 2 }, context)).toThrow(
      expect.objectContaining({ code: 'LEASE_LOST' }),
    );
  }
});

describe('failures', () => {
  const fail = ACTIONS.fail!;

  test('with retries left the task backs off', () => {
    const change = decide(aRecord('in_progress', { retryCount: 1 }), fail, context)!;
    expect(change.next).toMatchObject({
      status: 'retrying',
      retryCount: 2,
      runAt: NOW + 1_000,
      owner: null,
      leaseExpiresAt: null,
    });
  });

  test('without retries left the task is failed, and says why', () => {
    const change = decide(aRecord('in_progress', { retryCount: 2 }), fail, context)!;
    expect(change.next).toMatchObject({ status: 'failed', completedAt: NOW, retryCount: 2 });
    expect(change.event).toMatchObject({
      from: 'in_progress',
      to: 'failed',
      at: NOW,
      worker: 'w',
      reason: 'm',
    });
  });
});

describe('an expired lease', () => {
  const expired = { leaseExpiresAt: NOW };

  test('is charged as a crash after the start', () => {
    const change = decide(aRecord('in_progress', expired), { type: 'expire' }, context)!;
    expect(change.next).toMatchObject({ status: 'retrying', crashes: 1, retryCount: 0, runAt: NOW + 500 });
  });

  test('costs nothing before the start', () => {
    const change = decide(aRecord('assigned', expired), { type: 'expire' }, context)!;
    expect(change.next).toMatchObject({ status: 'pending', crashes: 0, retryCount: 0 });
  });

  test('ends the task after maxCrashes', () => {
    const change = decide(aRecord('in_progress', { ...expired, crashes: 1 }), { type: 'expire' }, context)!;
    expect(change.next).toMatchObject({ status: 'failed', crashes: 2 });
    expect(JSON.parse(change.next.details!)).toMatchObject({ error: { code: 'WORKER_CRASHED' } });
  });

  test('is a time-out where the attempt ran longer than it may', () => {
    const change = decide(
      aRecord('in_progress', expired),
      { type: 'expire' },
      { ...context, timeoutMs: 500 },
    )!;
    expect(change.next).toMatchObject({ status: 'retrying', retryCount: 1, crashes: 0 });
    expect(JSON.parse(change.next.details!)).toMatchObject({ error: { code: 'TIMEOUT' } });
  });
});

test('a settlement sent again changes nothing', () => {
  const completed = aRecord('completed', { result: '{"x":1}' });
  const again = (result: string): TaskAction => ({
    type: 'settle',
    fence: 3,
    ending: { status: 'completed', result },
  });
  expect(decide(completed, again('{"x":1}'), context)).toBeNull();
  expect(() => decide(completed, again('{"x":2}'), context)).toThrow(
    expect.objectContaining({ code: 'LEASE_LOST' }),
  );
});

describe('questions', () => {
  const asked = JSON.stringify({
    interrupts: [
      { id: 'q1', value: 'a?' },
      { id: 'q2', value: 'b?' },
    ],
  });

  test('an answer lets the task go on, and leaves the other question open', () => {
    const change = decide(
      aRecord('waiting', { details: asked }),
      { type: 'answer', interruptId: 'q1', value: 1 },
      context,
    )!;
    expect(change.next.status).toBe('pending');
    expect(JSON.parse(change.next.details!)).toEqual({
      interrupts: [{ id: 'q2', value: 'b?' }],
      answers: [{ id: 'q1', value: 1 }],
    });
  });

  test('an answer while the task runs is kept for it', () => {
    const change = decide(
      aRecord('in_progress', { details: asked }),
      { type: 'answer', interruptId: 'q2', value: 1 },
      context,
    )!;
    expect(change.next.status).toBe('in_progress');
    expect(change.event).toBeUndefined();
  });

  test('a question answered meanwhile does not make the task wait', () => {
    const details = JSON.stringify({ answers: [{ id: 'q', value: 1 }] });
    expect(decide(aRecord('in_progress', { details }), ACTIONS.wait!, context)!.next.status).toBe('pending');
  });

  test('the first answer stands', () => {
    const record = aRecord('completed', {
      details: JSON.stringify({ answers: [{ id: 'q', value: { ok: true } }] }),
    });
    const answer = (value: boolean): TaskAction => ({
      type: 'answer',
      interruptId: 'q',
      value: { ok: value },
    });
    expect(decide(record, answer(true), context)).toBeNull();
    expect(() => decide(record, answer(false), context)).toThrow(
      expect.objectContaining({ code: 'ALREADY_ANSWERED' }),
    );
  });

  test('a question never asked cannot be answered', () => {
    const action: TaskAction = { type: 'answer', interruptId: 'nope', value: 1 };
    expect(() => decide(aRecord('waiting', { details: asked }), action, context)).toThrow(
      expect.objectContaining({ code: 'UNKNOWN_INTERRUPT' }),
    );
  });
});

test('metadata merges one level deep, with any action', () => {
  const change = decide(aRecord('in_progress'), ACTIONS.complete!, context, { metadata: { added: [1] } })!;
  expect(JSON.parse(change.next.details!)).toEqual({ metadata: { kept: true, added: [1] } });
});

test('a damaged task is quarantined from any claim', () => {
  const change = decide(aRecord('assigned'), { type: 'quarantine' }, context)!;
  expect(change.next.status).toBe('failed');
  expect(JSON.parse(change.next.details!)).toMatchObject({ error: { code: 'STORE_CORRUPT' } });
});

describe('an alarm', () => {
  const over = { ...context, submission: { payload: {}, deadline: NOW } };
  const ring = (fence: number | null): TaskAction => ({ type: 'alarm', fence });

  test('ends what waits, and of what is leased only what its own claim met', () => {
    for (const status of TASK_STATUSES) {
      const record = aRecord(status, { alarmAt: NOW });
      const to = (fence: number | null) => decide(record, ring(fence), over)?.next.status;
      const isWaiting = ['pending', 'retrying', 'waiting'].includes(status);
      expect([status, to(null)]).toEqual([status, isWaiting ? 'failed' : undefined]);
      expect([status, to(3)]).toEqual([status, isWaiting || isLeased(status) ? 'failed' : undefined]);
    }
  });

  test('that comes too early is set anew, or left where it is right', () => {
    const early = { ...over, now: NOW - 10 };
    expect(decide(aRecord('pending', { alarmAt: NOW - 20 }), ring(null), early)?.next).toMatchObject({
      status: 'pending',
      alarmAt: NOW,
    });
    expect(decide(aRecord('pending', { alarmAt: NOW }), ring(null), early)).toBeNull();
  });

  test('is set with every way back to waiting, and off while leased', () => {
    const early = { ...over, submission: { payload: {}, deadline: NOW + 60_000 } };
    for (const action of [ACTIONS.fail!, ACTIONS.release!, ACTIONS.wait!])
      expect(decide(aRecord('in_progress'), action, early)?.next.alarmAt).toBe(NOW + 60_000);
    expect(decide(aRecord('assigned'), ACTIONS.start!, early)?.next.alarmAt).toBeNull();
    expect(decide(aRecord('in_progress'), ACTIONS.complete!, early)?.next.alarmAt).toBeNull();
  });

  test('of a blocked task is remembered: a new life waits for its dependencies again', () => {
    const waiting = { ...over, submission: { ...over.submission, dependsOn: ['b'] } };
    const ended = decide(aRecord('pending', { blockedBy: ['b'] }), ring(null), waiting)!;
    const record = aRecord('failed', { details: ended.next.details });
    const later = { ...waiting, submission: { ...waiting.submission, deadline: NOW + 1 } };
    expect(decide(record, { type: 'redrive' }, later)?.dependsOn).toEqual([
      { dependencyId: 'b', on: 'success', condition: null },
    ]);
    expect(() => decide(record, { type: 'redrive' }, waiting)).toThrow('its deadline has passed');
  });
});
