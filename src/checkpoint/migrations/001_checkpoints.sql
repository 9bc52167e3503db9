-- One row per checkpoint; the channel values are apart, see checkpoint_blobs.
CREATE TABLE checkpoints (
  thread_id     TEXT NOT NULL,
  checkpoint_ns TEXT NOT NULL,
  checkpoint_id TEXT NOT NULL,
  parent_id     TEXT,
  type          TEXT NOT NULL,
  checkpoint    BLOB NOT NULL,
  metadata_type TEXT NOT NULL,
  metadata      BLOB NOT NULL,
  PRIMARY KEY (thread_id, checkpoint_ns, checkpoint_id)
) WITHOUT ROWID;

-- The value of a channel at a version, stored once however many checkpoints hold it.
-- No row: the channel was empty at that version.
CREATE TABLE checkpoint_blobs (
  thread_id     TEXT NOT NULL,
  checkpoint_ns TEXT NOT NULL,
  channel       TEXT NOT NULL,
  version       TEXT NOT NULL,
  type          TEXT NOT NULL,
  value         BLOB NOT NULL,
  PRIMARY KEY (thread_id, checkpoint_ns, channel, version)
) WITHOUT ROWID;

-- What tasks wrote after a checkpoint. task_path is part of the order in which they are applied.
CREATE TABLE checkpoint_writes (
  thread_id     TEXT NOT NULL,
  checkpoint_ns TEXT NOT NULL,
  checkpoint_id TEXT NOT NULL,
  task_id       TEXT NOT NULL,
  idx           INTEGER NOT NULL,
  task_path     TEXT NOT NULL,
  channel       TEXT NOT NULL,
  type          TEXT NOT NULL,
  value         BLOB NOT NULL,
  PRIMARY KEY (thread_id, checkpoint_ns, checkpoint_id, task_id, idx)
) WITHOUT ROWID;

-- The highest fence seen on a thread: a write with a lower one is refused.
CREATE TABLE checkpoint_fences (
  thread_id TEXT PRIMARY KEY,
  fence     INTEGER NOT NULL
) WITHOUT ROWID;
