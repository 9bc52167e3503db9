-- Weights under limits (see weightsText), NULL where each is 1. The keys are in `lane`.
ALTER TABLE tasks ADD COLUMN weights TEXT;

-- When policy must look at a task again. A table beside it rather than an index of `states`, even a partial one,
-- which would cost every task 2 µs.
ALTER TABLE states ADD COLUMN alarm_at INTEGER;
CREATE TABLE alarms (
  at  INTEGER NOT NULL,
  seq INTEGER NOT NULL,
  PRIMARY KEY (at, seq)
) WITHOUT ROWID;

-- 1: the task waits for any of its edges, not for all of them.
ALTER TABLE edges ADD COLUMN is_any INTEGER NOT NULL DEFAULT 0;

-- Ready tasks that take turns, or that wait for a limit: `ready` and `ready_lanes` do not hold them, since a hundred
-- thousand behind a full limit must not stand in the way of a claim.
CREATE TABLE quota_lanes (
  lane    TEXT NOT NULL,
  rank    INTEGER NOT NULL,
  seq     INTEGER NOT NULL,
  weights TEXT,
  PRIMARY KEY (lane, rank, seq)
) WITHOUT ROWID;

-- The first of each of these lanes. `source` is the lane's limits and whether it has a fair key: what a claim
-- passes over at once where a gate of it is closed. `turn` is where the next turn of its backlog starts, 0 where
-- that is not after totals.turn_at: then the order decides. `kept_by`: the full key that keeps the lane back, until
-- a place of it is free; no claim looks at the lane before.
CREATE TABLE lane_heads (
  lane     TEXT PRIMARY KEY,
  source   TEXT NOT NULL,
  fair_key TEXT NOT NULL,
  turn     INTEGER NOT NULL,
  rank     INTEGER NOT NULL,
  seq      INTEGER NOT NULL,
  weights  TEXT,
  kept_by  TEXT
) WITHOUT ROWID;
CREATE INDEX lane_heads_by_turn ON lane_heads (source, turn, rank, seq) WHERE kept_by IS NULL;
CREATE INDEX lane_heads_in_order ON lane_heads (turn, rank, seq) WHERE kept_by IS NULL;
CREATE INDEX lane_heads_kept ON lane_heads (kept_by) WHERE kept_by IS NOT NULL;
CREATE INDEX lane_heads_by_fair_key ON lane_heads (fair_key) WHERE fair_key <> '';

-- See gate.ts. `tasks` counts those not ended that name the key. `opens_at`: when it may let somebody pass, where
-- some name it; `idle_at`: from when on it may be forgotten, where nobody names it.
CREATE TABLE gates (
  key          TEXT PRIMARY KEY,
  max          INTEGER,
  rate_max     INTEGER,
  rate_ms      INTEGER,
  used         INTEGER NOT NULL DEFAULT 0,
  starts       TEXT NOT NULL DEFAULT '',
  closed_until INTEGER NOT NULL DEFAULT 0,
  paused       INTEGER NOT NULL DEFAULT 0,
  tasks        INTEGER NOT NULL DEFAULT 0,
  opens_at     INTEGER,
  idle_at      INTEGER
) WITHOUT ROWID;
CREATE INDEX gates_by_opening ON gates (opens_at) WHERE opens_at IS NOT NULL;
CREATE INDEX gates_idle ON gates (idle_at) WHERE idle_at IS NOT NULL;

-- Where each backlog's last turn ended, and where the one served last began its turn (see turns.ts).
CREATE TABLE turns (
  fair_key TEXT PRIMARY KEY,
  end      INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX turns_by_end ON turns (end);
ALTER TABLE totals ADD COLUMN turn_at INTEGER NOT NULL DEFAULT 0;
