import { InvalidOptionError } from '../errors.ts';
import { describe } from './description.ts';
import { PRIORITY_MAX } from './rank.ts';
import type { NewTask, Priority } from './task.ts';

const PRIORITY_NAMES: Readonly<Record<string, number>> = { critical: 10, high: 8, medium: 5, low: 2 };

const PRIORITY_DEFAULT = 5;

export function priorityOf(task: Pick<NewTask, 'priority'>): number {
  const priority = task.priority ?? PRIORITY_DEFAULT;
  return typeof priority === 'number' ? priority : PRIORITY_NAMES[priority]!;
}

/** Whether it is a name of a priority, or a whole number from 1 to 10. */
export function isPriority(value: unknown): value is number | Priority {
  if (typeof value === 'string') return Object.hasOwn(PRIORITY_NAMES, value);
  return Number.isInteger(value) && (value as number) >= 1 && (value as number) <= PRIORITY_MAX;
}

/** A priority as a number; throws InvalidOptionError naming `option`. */
export function toPriority(priority: unknown, option: string): number {
  if (isPriority(priority)) return priorityOf({ priority });
  throw new InvalidOptionError(option, "1–10, 'critical', 'high', 'medium' or 'low'", describe(priority));
}
