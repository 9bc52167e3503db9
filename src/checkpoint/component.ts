import type { SqliteComponent } from '../sqlite/migrations.ts';

/** The checkpoints' part of a SQLite file. */
export const CHECKPOINT_COMPONENT: SqliteComponent = {
  name: 'checkpoint',
  migrations: new URL('./migrations/', import.meta.url),
};
