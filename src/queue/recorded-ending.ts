import { isDeepStrictEqual } from 'node:util';
import { readDetails } from './details.ts';
import type { TaskError } from './task.ts';
import type { TaskRecord } from './task-store.ts';
import type { Ending } from './transitions.ts';

/** Whether this very ending is what the record already says: a settlement sent again. */
export function isRecorded(record: TaskRecord, ending: Ending): boolean {
  switch (ending.status) {
    case 'completed':
      return record.status === 'completed' && isSameResult(record.result, ending.result);
    case 'failed':
      return (
        (record.status === 'failed' || record.status === 'retrying') &&
        isSameError(readDetails(record.details).error, ending.error)
      );
    case 'released':
      return record.status === 'pending' && record.fence > 0;
    case 'waiting':
      return (
        record.status === (ending.tasks === undefined ? 'waiting' : 'pending') &&
        isDeepStrictEqual(readDetails(record.details).interrupts, ending.interrupts)
      );
    case 'cancelled':
      return record.status === 'cancelled';
  }
}

/** As JSON, whatever the order of keys. */
function isSameResult(a: string | null, b: string | null): boolean {
  return a === b || (a !== null && b !== null && isDeepStrictEqual(JSON.parse(a), JSON.parse(b)));
}

/** A worker that settles again may have made the error anew, with another stack. */
function isSameError(a: TaskError | undefined, b: TaskError): boolean {
  return a?.name === b.name && a.message === b.message && a.code === b.code;
}
