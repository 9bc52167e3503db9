/** One mistake somebody could make: `find` occurs exactly once in `file` (below src) and becomes `replace`. */
export interface PlantedBug {
  readonly file: string;
  readonly find: string;
  readonly replace: string;
  readonly why: string;
}

const MEMORY = 'queue/backends/memory/memory-task-store.ts';
const CLAIMING = 'queue/backends/sqlite/claiming.ts';
const INSERTION = 'queue/backends/sqlite/insertion.ts';
const DEPENDENTS = 'queue/backends/sqlite/dependents.ts';
const COUNTING = 'queue/backends/sqlite/counting.ts';
const LISTING = 'queue/backends/sqlite/listing.ts';
const TRANSITIONS = 'queue/transitions.ts';

export const PLANTED_BUGS: readonly PlantedBug[] = [
  // The memory store.
  {
    file: MEMORY,
    find: 'if (!entry || entry.record.version !== change.version) return null;',
    replace: 'if (!entry) return null;',
    why: 'a stale change is taken',
  },
  {
    file: MEMORY,
    find: 'if (this.#paused) return [];',
    replace: '',
    why: 'claims go on while paused',
  },
  {
    file: 'queue/backends/memory/leased-entries.ts',
    find: 'leaseEnd(entry) <= now',
    replace: 'leaseEnd(entry) < now',
    why: 'a lease lives a millisecond too long',
  },
  {
    file: 'queue/backends/memory/ended-entries.ts',
    find: 'endedAt >= time',
    replace: 'endedAt > time',
    why: 'purge takes what ended at the very time',
  },
  {
    file: 'queue/backends/memory/waiting-entries.ts',
    find: '} else if (runAt > now) {',
    replace: '} else if (runAt > now + 1) {',
    why: 'a delayed task is claimed a millisecond early',
  },
  {
    file: 'queue/backends/memory/task-table.ts',
    find: '(createdAfter === null || record.createdAt >= createdAfter)',
    replace: '(createdAfter === null || record.createdAt > createdAfter)',
    why: 'createdAfter leaves out its own millisecond',
  },
  {
    file: 'queue/backends/memory/task-table.ts',
    find: 'return { records, next: records[limit - 1]!.seq };',
    replace: 'return { records, next: record.seq };',
    why: 'paging loses a task at each border',
  },
  {
    file: MEMORY,
    find: 'if (conflicts.length > 0 || unknown.length > 0) return',
    replace: 'if (conflicts.length === records.length && conflicts.length > 0) return',
    why: 'a batch with a conflict is stored in part',
  },
  {
    file: 'queue/backends/memory/dependency-edges.ts',
    find: "if (record.status !== 'pending') return;",
    replace: '',
    why: 'a cancelled task is released by its dependency',
  },
  {
    file: MEMORY,
    find: 'return entry ? copyOf(entry) : null;',
    replace: 'return entry ? entry.record : null;',
    why: 'records leave the store without being copied',
  },
  {
    file: 'queue/backends/memory/lane-queue.ts',
    find: 'return rank > lastRank || (rank === lastRank && seq > this.#seqs[last]!);',
    replace: 'return true;',
    why: 'what comes out of order is taken in the order it came',
  },
  {
    file: 'queue/backends/memory/ready-lanes.ts',
    find: "if (entry.stage !== 'ready') return false;",
    replace: '',
    why: 'a cancelled task is claimed all the same',
  },
  {
    file: 'queue/backends/sqlite/queue-transaction.ts',
    find: 'if (to.stage === STAGE.ready) this.becomeReady(laneKey(to.record), quotaPlace(to), now);',
    replace: '',
    why: 'a task that is ready again is not found by claims',
  },
  {
    file: 'queue/backends/sqlite/claiming.ts',
    find: 'tx.becomeReady(lane, { rank, seq, weights }, now);',
    replace: '',
    why: 'a task that fell due is not found by claims',
  },
  {
    file: 'queue/claim-filter.ts',
    find: 'if (lane.agent !== null) return by.agents.includes(lane.agent);',
    replace: '',
    why: 'pinned tasks go to any agent',
  },
  {
    file: 'queue/claim-filter.ts',
    find: 'lane.priority < filter.priorityMin',
    replace: 'lane.priority <= filter.priorityMin',
    why: 'priorityMin leaves out its own level',
  },
  // The SQLite store.
  {
    file: CLAIMING,
    find: 'fence: record.fence + 1',
    replace: 'fence: record.fence',
    why: 'the fence does not rise',
  },
  {
    file: 'queue/backends/sqlite/queue-transaction.ts',
    find: 'startedAt, fence: 1 };',
    replace: 'startedAt, fence: 0 };',
    why: 'the first claim gives no fence',
  },
  {
    file: CLAIMING,
    find: 'if (tx.isPaused || claim.limit <= 0)',
    replace: 'if (claim.limit <= 0)',
    why: 'claims go on while paused',
  },
  {
    file: CLAIMING,
    find: "const startedAt = to === 'in_progress' ? now : null;",
    replace: 'const startedAt = null;',
    why: 'a start is not stored',
  },
  {
    file: CLAIMING,
    find: 'tx.connection.prepare(PROMOTE).run(rank, due, seq);',
    replace: 'tx.connection.prepare(PROMOTE).run(due, due, seq);',
    why: 'tasks that fell due forget their rank',
  },
  {
    file: 'queue/backends/sqlite/ready-lanes.ts',
    find: 'return a.due < b.due || (a.due === b.due && a.seq < b.seq);',
    replace: 'return a.due < b.due || (a.due === b.due && a.seq > b.seq);',
    why: 'lanes are merged last in, first out',
  },
  {
    file: CLAIMING,
    find: '.filter(({ stage, record }) => stage === STAGE.ready && laneMatches(record, filter))',
    replace: '.filter(({ stage }) => stage === STAGE.ready)',
    why: 'a filter by ids forgets its other parts',
  },
  {
    file: CLAIMING,
    find: "tx.totals.count('delayed', -heads.length);",
    replace: '',
    why: 'delayed tasks are counted for ever',
  },
  {
    file: INSERTION,
    find: 'takeBack(tx, before);\n        return',
    replace: 'return',
    why: 'a batch with a conflict is stored in part',
  },
  {
    file: INSERTION,
    find: 'if (open.some((edge) => edge.isUnjudged)) dependents.effects.unjudged = true;',
    replace: '',
    why: 'nobody is told of a custom edge to judge',
  },
  {
    file: DEPENDENTS,
    find: "if (blocked === 0 && row.record.status === 'pending') this.effects.released.push(row.record.id);",
    replace: 'this.effects.released.push(row.record.id);',
    why: 'a task counts as released by its first edge',
  },
  {
    file: DEPENDENTS,
    find: "this.#endings.push({ id: record.id, status: 'skipped' });",
    replace: '',
    why: 'skips do not go on downwards',
  },
  {
    file: DEPENDENTS,
    find: ' AND condition = ? AND unjudged = 1',
    replace: ' AND condition = ?',
    why: 'a verdict counts before the dependency has completed',
  },
  {
    file: COUNTING,
    find: 'Math.max(0, count(totals.delayed) - due)',
    replace: 'count(totals.delayed)',
    why: 'due tasks are counted as delayed',
  },
  {
    file: LISTING,
    find: 'rows: selectRows(connection, SELECT_PAGE, after, limit), end: null',
    replace: 'rows: selectRows(connection, SELECT_PAGE, after, limit - 1), end: null',
    why: 'the list ends after one page',
  },
  // Policy and transitions.
  {
    file: 'queue/dependencies.ts',
    find: "return ended === 'failed' ? 'holds' : 'fails';",
    replace: "return ended !== 'completed' ? 'holds' : 'fails';",
    why: 'failure holds for cancelled tasks',
  },
  {
    file: TRANSITIONS,
    find: 'const retriesLeft = record.retryCount < context.maxRetries;',
    replace: 'const retriesLeft = record.retryCount <= context.maxRetries;',
    why: 'one run too many fails',
  },
  {
    file: TRANSITIONS,
    find: 'if (crashes >= context.maxCrashes) {',
    replace: 'if (crashes > context.maxCrashes) {',
    why: 'one start too many crashes',
  },
  {
    file: TRANSITIONS,
    find: "if (record.status === 'assigned')",
    replace: "if (record.status === 'waiting')",
    why: 'a claim that never started is charged as a crash',
  },
  {
    file: TRANSITIONS,
    find: 'retryCount: 0, crashes: 0',
    replace: 'retryCount: 0',
    why: 'a new life begins with the old crashes',
  },
  {
    file: TRANSITIONS,
    find: '} else if (record.fence !== fence) {',
    replace: '} else if (record.fence < fence) {',
    why: 'a worker with an old fence settles',
  },
  {
    file: 'queue/recorded-ending.ts',
    find: "return record.status === 'completed' && isSameResult(record.result, ending.result);",
    replace: "return record.status === 'completed';",
    why: 'another result is accepted as the same settlement',
  },
  {
    file: 'queue/retry.ts',
    find: 'full / 2 + random() * (full / 2)',
    replace: 'random() * full',
    why: 'jitter may retry at once',
  },
  {
    file: 'queue/conditions.ts',
    find: "if (typeof holds === 'boolean') return holds",
    replace: 'return holds',
    why: 'a condition may answer anything truthy',
  },

  // Conditions on results.
  {
    file: 'queue/where.ts',
    find: 'if (typeof a !== typeof b || ',
    replace: 'if (',
    why: "numbers and texts are compared: '7' < 80",
  },
  {
    file: 'queue/where.ts',
    find: 'found !== undefined && found !== operand',
    replace: 'found !== operand',
    why: 'a missing place differs from everything',
  },
  {
    file: 'queue/where.ts',
    find: '!Object.hasOwn(value, key)',
    replace: '!(key in value)',
    why: 'a place may be inherited',
  },
  {
    file: 'queue/where.ts',
    find: 'const got = found === undefined',
    replace: 'if (name !== Object.keys(test).at(-1)) continue;\n      const got = found === undefined',
    why: 'of several tests of a place only the last counts',
  },
  {
    file: 'queue/where.ts',
    find: 'if (!rule.fits(operand))',
    replace: 'if (false)',
    why: 'an operand of the wrong kind is stored',
  },
  {
    file: 'queue/submission.ts',
    find: 'if (validate?.custom !== undefined && !hasCondition(validate.custom))',
    replace: 'if (false)',
    why: 'a task may name a condition for itself that nobody has registered',
  },
  {
    file: 'queue/conditions.ts',
    find: "return { status: 'failed', error, retry: 'allowed' };",
    replace: "return { status: 'failed', error, retry: 'refused' };",
    why: 'a rejected result is not tried again',
  },
  {
    file: 'queue/task-writer.ts',
    find: 'const accepted = submission.validate ? this.#accept(action, record, submission) : action;',
    replace: 'const accepted = action;',
    why: 'every result is accepted',
  },
  {
    file: TRANSITIONS,
    find: 'error: error?.code === RESULT_REJECTED ? error : undefined,',
    replace: 'error: undefined,',
    why: 'a redriven task forgets that its result was rejected',
  },
  // Limits, turns, alarms and joins.
  {
    file: 'queue/backends/memory/memory-gates.ts',
    find: 'const obstacle = known ? obstacleAt(known.gate, weight, now) : null;',
    replace: 'const obstacle = known && weight < 0 ? obstacleAt(known.gate, weight, now) : null;',
    why: 'limits hold nobody back',
  },
  {
    file: 'queue/lease-watch.ts',
    find: 'if (!this.#hasJumped()) return records;',
    replace: 'if (this.#leaseMs > 0) return records;',
    why: 'setting the clock of the machine steals leases',
  },
  {
    file: 'queue/lease-watch.ts',
    find: 'now - this.#seen.get(id)!.since >= this.#leaseMs',
    replace: 'now - this.#seen.get(id)!.since < 0',
    why: 'after a jump of the clock dead workers keep their tasks',
  },
  {
    file: MEMORY,
    find: 'if (isLeased(before) && !isLeased(after)) this.#gates.leave(quota);',
    replace: '',
    why: 'a place under a limit never comes back',
  },
  {
    file: MEMORY,
    find: 'if (record.alarmAt !== null) this.#silence(entry);',
    replace: '',
    why: 'the alarm of a leased task rings',
  },
  {
    file: 'queue/backends/memory/dependency-edges.ts',
    find: "if (edge.verdict === 'holds' && entry.join === 'any') this.#void(entry);",
    replace: '',
    why: 'a task that may go on with any dependency waits for all',
  },
  {
    file: 'queue/backends/memory/dependency-edges.ts',
    find: "(entry.join === 'all' || isLast)",
    replace: '(true)',
    why: 'the first dependency that fails skips a task that may go on with any',
  },
  {
    file: 'queue/gate.ts',
    find: "if (closedUntil > now) return { key, reason: 'closed', until: closedUntil };",
    replace: '',
    why: 'a key that was told to slow down goes on',
  },
  {
    file: 'queue/gate.ts',
    find: "if (isPaused) return { key, reason: 'paused', until: null };",
    replace: '',
    why: 'a paused key goes on',
  },
  {
    file: 'queue/gate.ts',
    find: 'i < inWindow.length && sum > rate.max;',
    replace: 'i < inWindow.length && sum - weight > rate.max;',
    why: 'the last start under a rate may weigh anything',
  },
  {
    file: 'queue/gate.ts',
    find: 'return from + sliceMs(rate) + rate.perMs;',
    replace: 'return from + rate.perMs;',
    why: 'the last starts of a slice are forgotten before their window is over',
  },
  {
    file: 'queue/turns.ts',
    find: 'return Math.max(at, ends.get(fairKey) ?? 0);',
    replace: 'return ends.get(fairKey) ?? 0;',
    why: 'a backlog that was away has saved turns up',
  },
  {
    file: 'queue/turns.ts',
    find: 'Math.round(TURN / weight)',
    replace: 'TURN',
    why: 'turns do not go by weight',
  },
  {
    file: 'queue/backends/sqlite/transaction-gates.ts',
    find: 'if (isLeaving) this.#change(key, now, left);',
    replace: '',
    why: 'a place under a limit in a file never comes back',
  },
  {
    file: 'queue/backends/sqlite/quota-choice.ts',
    find: 'gates.enter(quota, now);',
    replace: '',
    why: 'tasks in a file take no places under their limits',
  },
  {
    file: 'queue/backends/sqlite/queue-transaction.ts',
    find: 'this.gates.enter(quota, now);',
    replace: '',
    why: 'tasks that stand among all others in a file take no places under their limits',
  },
  {
    file: CLAIMING,
    find: 'const next = { ...record, ...lease, alarmAt: null, fence: record.fence + 1 };',
    replace: 'const next = { ...record, ...lease, fence: record.fence + 1 };',
    why: 'the alarm of a leased task in a file rings',
  },
  {
    file: 'queue/backends/sqlite/edge-rows.ts',
    find: "if (verdict === 'holds' && join === 'any') return { open: [], skipReason: null };",
    replace: '',
    why: 'any of several dependencies in a file is not enough where it had ended before',
  },
  {
    file: TRANSITIONS,
    find: 'return { ...change, dependsOn };',
    replace: 'return change;',
    why: 'a task does not wait for its children',
  },
  {
    file: TRANSITIONS,
    find: 'return { ...change, closes: keys.map((closed) => ({ key: closed, until })) };',
    replace: 'return change;',
    why: 'an answer 429 closes no key',
  },
  {
    file: 'queue/task-writer.ts',
    find: "if (task.status !== 'cancelled' || task.children === undefined) return task;",
    replace: 'return task;',
    why: 'children outlive the cancelling of their parent',
  },
  {
    file: 'queue/limits.ts',
    find: 'if (key !== null) add(limit, key);',
    replace: '',
    why: "the queue's own limits hold for nobody",
  },
  {
    file: 'queue/limits.ts',
    find: 'if (values.some((value) => value === undefined || value === null)) return null;',
    replace: 'return null;',
    why: "a limit of the queue's is left out where a value makes no key",
  },
  {
    file: 'queue/explanation.ts',
    find: 'return obstacle ? [toBlocker(obstacle, gate.used, gate.max)] : [];',
    replace: 'return [];',
    why: 'explain knows no limits',
  },
  {
    file: 'queue/clocks.ts',
    find: "if (onExpiry === 'skip')",
    replace: 'if (false)',
    why: 'what was to be skipped when it expires fails',
  },
  {
    file: 'queue/approval.ts',
    find: 'if (openQuestion(record)?.hash !== hashNow) return askAgain(record, now);\n  if (decision',
    replace: 'if (decision',
    why: 'what is approved is not what was shown',
  },
  {
    file: 'queue/approval.ts',
    find: 'if (approved === decision.approved) return null;',
    replace: 'return null;',
    why: 'a second, different decision is swallowed',
  },
];
