import type { SqliteConnection } from '../../../sqlite/connection.ts';
import type { Outlook } from '../../task-store.ts';
import { nextOpening } from './gate-rows.ts';

export const HAS_EXPIRED = 'SELECT 1 FROM states WHERE stage = 4 AND due <= ? LIMIT 1';
const HAS_ALARMED = `SELECT 1 FROM alarms a CROSS JOIN states s ON s.seq = a.seq
  WHERE a.at <= ? AND s.alarm_at = a.at LIMIT 1`;
export const HAS_UNJUDGED = 'SELECT 1 FROM edges INDEXED BY edges_unjudged WHERE unjudged = 1 LIMIT 1';
/** Anything but 0 counts: where a counter is damaged, the tasks must be looked at. */
const HAS_PENDING = 'SELECT 1 FROM totals WHERE pending IS NOT 0 OR retrying IS NOT 0';
const SELECT_NEXT_ALARM = 'SELECT at FROM alarms WHERE at > ? ORDER BY at LIMIT 1';
const SELECT_NEXT_DUE = 'SELECT due FROM states WHERE stage = 2 AND due > ? ORDER BY due LIMIT 1';

export function readOutlook(connection: SqliteConnection, now: number): Outlook {
  const times = [
    connection.prepareValue(SELECT_NEXT_DUE).get(now),
    connection.prepareValue(SELECT_NEXT_ALARM).get(now),
    nextOpening(connection, now),
  ].filter((at) => typeof at === 'number');
  return {
    hasExpired: connection.prepareValue(HAS_EXPIRED).get(now) !== undefined,
    hasAlarmed: connection.prepareValue(HAS_ALARMED).get(now) !== undefined,
    hasUnjudged: connection.prepareValue(HAS_UNJUDGED).get() !== undefined,
    hasPending: connection.prepareValue(HAS_PENDING).get() !== undefined,
    nextDueAt: times.length === 0 ? null : Math.min(...times),
  };
}
