import { describe, expect, test } from 'vitest';
import {
  APPROVAL_TYPE,
  asked,
  decideApproval,
  questionNow,
  timeOutApproval,
} from '../../src/queue/approval.ts';
import { toRecord } from '../../src/queue/submission.ts';
import type { NewTask } from '../../src/queue/task.ts';
import type { TaskRecord } from '../../src/queue/task-store.ts';

const NOW = 1_790_000_000_000;
const approval = { question: 'Deploy?', timeoutMs: 1_000 };
const submission: NewTask = { payload: { b: 1, a: [2, { d: 3, c: 4 }] }, approval };
const rules = {
  payloadBytesMax: 1_000,
  agingMs: 60_000,
  newId: () => 'a',
  hasCondition: () => false,
  isInProcess: false,
  limits: [],
};

function aRecord(changes: Partial<TaskRecord> = {}): TaskRecord {
  const { dependsOn: _, join: __, ...identity } = toRecord(submission, () => 'task', NOW, rules);
  const started = { owner: null, leaseExpiresAt: null, startedAt: null, completedAt: null };
  const counted = { seq: 1, version: 3, events: 3, fence: 1, retryCount: 0, crashes: 0 };
  const rest = { ...started, ...counted, result: null, details: null, blockedBy: [] };
  return { ...identity, ...rest, status: 'pending', ...changes };
}

function asking(): TaskRecord {
  const value = asked(questionNow(aRecord(), submission, {}), approval, NOW);
  const details = JSON.stringify({ interrupts: [{ id: 'approval:1', value }], askedAt: NOW });
  return aRecord({ status: 'waiting', details });
}

const hashNow = questionNow(aRecord(), submission, {}).hash;
const yes = { approved: true, by: 'ann' };

describe('the hash of a question', () => {
  const hashOf = (payload: object, results = {}) =>
    questionNow(aRecord(), { ...submission, payload }, results).hash;

  test('does not depend on the order of keys', () => {
    expect(hashOf({ a: [2, { c: 4, d: 3 }], b: 1 })).toBe(hashNow);
    expect(hashOf({}, { x: 1, y: 2 })).toBe(hashOf({}, { y: 2, x: 1 }));
  });

  test('is another one for other input, results, metadata or question', () => {
    const metadata = JSON.stringify({ metadata: { target: 'production' } });
    const hashes = [
      hashNow,
      hashOf({ a: [2, { d: 3, c: 5 }], b: 1 }),
      hashOf(submission.payload, { tests: 1 }),
      questionNow(aRecord({ details: metadata }), submission, {}).hash,
      questionNow(aRecord(), { ...submission, approval: { question: 'Sure?' } }, {}).hash,
    ];
    expect(new Set(hashes).size).toBe(hashes.length);
  });

  test('binds what is too large to be shown', () => {
    const large = (last: string) => questionNow(aRecord(), submission, { x: 'y'.repeat(300_000) + last });
    expect(large('a').shown.results.x).toMatchObject({ omitted: { bytes: 300_003 } });
    expect(large('a').hash).not.toBe(large('b').hash);
  });
});

test('only an approval that waits is decided', () => {
  const codeOf = (record: TaskRecord) => {
    try {
      return decideApproval(record, yes, hashNow, NOW)?.next.status ?? 'unchanged';
    } catch (error) {
      return (error as { code: string }).code;
    }
  };
  expect(aRecord().agentType).toBe(APPROVAL_TYPE);
  expect(codeOf(asking())).toBe('completed');
  expect(codeOf({ ...asking(), agentType: 'work' })).toBe('INVALID_TRANSITION');
  for (const status of ['pending', 'assigned', 'in_progress', 'retrying', 'cancelled', 'skipped'] as const)
    expect(codeOf(aRecord({ status }))).toBe('INVALID_TRANSITION');
  expect(codeOf(aRecord({ status: 'failed', result: JSON.stringify({ approved: false }) }))).toBe(
    'ALREADY_DECIDED',
  );
  expect(codeOf(aRecord({ status: 'completed', result: JSON.stringify({ approved: true }) }))).toBe(
    'unchanged',
  );
});

test('a decision on other content leaves the question open', () => {
  expect(() => decideApproval(asking(), { ...yes, hash: 'other' }, hashNow, NOW)).toThrow('has changed');
  const again = decideApproval(asking(), yes, 'other', NOW);
  expect(again?.next).toMatchObject({ status: 'pending', result: null, details: null });
  expect(timeOutApproval(asking(), approval, 'other', NOW).next.status).toBe('pending');
});

test('time decides by the default', () => {
  expect(timeOutApproval(asking(), approval, hashNow, NOW).next.status).toBe('failed');
  const approving = { ...approval, onTimeout: 'approve' } as const;
  const change = timeOutApproval(asking(), approving, hashNow, NOW);
  expect(change.event?.reason).toBe('approved by timeout: nobody decided within 1000 ms');
  expect(JSON.parse(change.next.result ?? '')).toMatchObject({ approved: true, by: 'timeout', at: NOW });
});
