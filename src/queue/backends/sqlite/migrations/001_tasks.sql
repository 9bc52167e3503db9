-- What never changes after insert. A heartbeat must not rewrite a submission of 1 MiB,
-- and scattered updates of wide rows cost three times the pages in the log.
CREATE TABLE tasks (
  seq        INTEGER PRIMARY KEY,
  rank       INTEGER NOT NULL,
  created_at INTEGER NOT NULL,
  run_at     INTEGER NOT NULL,
  -- 'priority|agentType|agent'
  lane       TEXT NOT NULL,
  id         TEXT NOT NULL,
  hash       TEXT NOT NULL,
  -- Last: what stands before it is read without its overflow pages.
  submission TEXT NOT NULL
);
CREATE UNIQUE INDEX tasks_by_id ON tasks (id);

-- The tasks a claim may take, in its order. Narrow, so that a commit of many inserts writes few pages of it.
CREATE TABLE ready (
  rank INTEGER NOT NULL,
  seq  INTEGER NOT NULL,
  PRIMARY KEY (rank, seq)
) WITHOUT ROWID;

-- What changes. A task that was ready at insert and never touched since has no row: its state follows from
-- `tasks`. The key is the agenda: rows lie together by what they wait for and when it comes, so that a hundred
-- tasks claimed or settled together are neighbours, whatever the depth. By stage, `due` is:
--   1 ready: the rank · 2 delayed: run_at · 3 blocked: 0 · 4 leased: lease_expires_at · 5 waiting: 0
--   6 ended: completed_at
-- `history` holds one line per event (see history-text.ts); the first event is derived where it can be.
CREATE TABLE states (
  stage            INTEGER NOT NULL,
  due              INTEGER NOT NULL,
  seq              INTEGER NOT NULL,
  run_at           INTEGER NOT NULL,
  status           TEXT NOT NULL DEFAULT 'pending',
  version          INTEGER NOT NULL DEFAULT 1,
  events           INTEGER NOT NULL DEFAULT 1,
  blocked          INTEGER NOT NULL DEFAULT 0,
  retry_count      INTEGER NOT NULL DEFAULT 0,
  crashes          INTEGER NOT NULL DEFAULT 0,
  fence            INTEGER NOT NULL DEFAULT 0,
  owner            TEXT,
  lease_expires_at INTEGER,
  started_at       INTEGER,
  completed_at     INTEGER,
  result           TEXT,
  details          TEXT,
  history          TEXT NOT NULL DEFAULT '',
  PRIMARY KEY (stage, due, seq)
) WITHOUT ROWID;
CREATE UNIQUE INDEX states_by_seq ON states (seq);

-- The ready tasks by lane, for claims with a filter that the first of `ready` do not pass. Filled only
-- when such a claim comes, up to the sequence in totals.laned: in a queue whose workers take everything, each
-- insert would dirty one more page per lane for nothing, which is half the cost of its commit.
CREATE TABLE ready_lanes (
  lane TEXT NOT NULL,
  due  INTEGER NOT NULL,
  seq  INTEGER NOT NULL,
  PRIMARY KEY (lane, due, seq)
) WITHOUT ROWID;

-- Edges that are still undecided. `unjudged`: completed, but a custom condition has to be evaluated.
CREATE TABLE edges (
  task          INTEGER NOT NULL,
  position      INTEGER NOT NULL,
  dependency_id TEXT NOT NULL,
  wanted        TEXT NOT NULL,
  condition     TEXT,
  unjudged      INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY (task, position)
) WITHOUT ROWID;
CREATE INDEX edges_by_dependency ON edges (dependency_id);
CREATE INDEX edges_unjudged ON edges (task) WHERE unjudged = 1;

-- Counters, changed once per transaction; nothing is ever counted by scanning.
CREATE TABLE totals (
  id          INTEGER PRIMARY KEY CHECK (id = 1),
  seq         INTEGER NOT NULL DEFAULT 0,
  laned       INTEGER NOT NULL DEFAULT 0,
  paused      INTEGER NOT NULL DEFAULT 0,
  pending     INTEGER NOT NULL DEFAULT 0,
  assigned    INTEGER NOT NULL DEFAULT 0,
  in_progress INTEGER NOT NULL DEFAULT 0,
  waiting     INTEGER NOT NULL DEFAULT 0,
  retrying    INTEGER NOT NULL DEFAULT 0,
  completed   INTEGER NOT NULL DEFAULT 0,
  failed      INTEGER NOT NULL DEFAULT 0,
  cancelled   INTEGER NOT NULL DEFAULT 0,
  skipped     INTEGER NOT NULL DEFAULT 0,
  delayed     INTEGER NOT NULL DEFAULT 0,
  blocked     INTEGER NOT NULL DEFAULT 0
);
INSERT INTO totals (id) VALUES (1);

CREATE TABLE endings (
  minute INTEGER NOT NULL,
  status TEXT NOT NULL,
  count  INTEGER NOT NULL,
  PRIMARY KEY (minute, status)
) WITHOUT ROWID;

-- Small texts that processes leave for one another, each until its time is over (see registry.ts).
CREATE TABLE registry (
  section    TEXT NOT NULL,
  key        TEXT NOT NULL,
  value      TEXT NOT NULL,
  expires_at INTEGER,
  version    INTEGER NOT NULL,
  PRIMARY KEY (section, key)
) WITHOUT ROWID;
