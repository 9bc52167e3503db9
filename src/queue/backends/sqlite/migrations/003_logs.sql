-- The log of each task that has one, see task-log.ts: its bytes are those of the pages kept.
CREATE TABLE logs (
  task   INTEGER PRIMARY KEY,
  total  INTEGER NOT NULL,
  bytes  INTEGER NOT NULL,
  starts TEXT NOT NULL
);

CREATE TABLE log_pages (
  task  INTEGER NOT NULL,
  first INTEGER NOT NULL,
  count INTEGER NOT NULL,
  bytes INTEGER NOT NULL,
  text  TEXT NOT NULL,
  PRIMARY KEY (task, first)
) WITHOUT ROWID;
