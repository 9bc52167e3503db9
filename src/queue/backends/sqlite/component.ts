import type { SqliteComponent } from '../../../sqlite/migrations.ts';

/** The queue's part of a SQLite file. */
export const TASK_COMPONENT: SqliteComponent = {
  name: 'tasks',
  migrations: new URL('./migrations/', import.meta.url),
};
