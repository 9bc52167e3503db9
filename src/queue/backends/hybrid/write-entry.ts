import type { HeldChange } from '../../holding-store.ts';
import { type Applied, NO_EFFECTS, type TaskRecord } from '../../task-store.ts';

export interface Write {
  readonly change: HeldChange;
  readonly now: number;
  /** Until then the store may be away, by the clock of holds; ms. */
  readonly patientUntil: number;
  /** Null where the store refused it. */
  readonly done: (applied: Applied | null) => void;
  readonly failed: (error: unknown) => void;
}

/** A write on its way. A claim may have taken what follows it along, as its rider. */
export interface Entry {
  readonly number: number;
  write: Write;
  readonly isClaim: boolean;
  /** Its effect was handed out before it is written: a claim, or what `flushMs` allows to be late. */
  readonly isOwed: boolean;
  change: HeldChange;
  rider: Write | null;
  /** A call that carries it is under way. */
  isLeaving: boolean;
  /** A call that carried it failed: nobody knows whether it was written. */
  isInDoubt: boolean;
}

export const FOR_EVER = Number.POSITIVE_INFINITY;

/** The answer to a claim: who asked has gone on already. */
export function noted(): void {}

export const OVER: Write = {
  change: {} as HeldChange,
  now: 0,
  patientUntil: 0,
  done: noted,
  failed: noted,
};

/** The answer to what rode on a claim that was written before, where both were. */
export function asWritten({ change, rider }: Entry, record: TaskRecord | undefined): Applied | null {
  if (!rider || !record || record.version !== change.version + 2) return null;
  return record.status === change.next.status ? { record, effects: NO_EFFECTS } : null;
}

/** The calls that carried them did not fail in order. */
export function inOrder(entries: Entry[]): Entry[] {
  return entries.sort((a, b) => a.number - b.number);
}

/** Changes of one call share its time. */
export function latestOf(batch: readonly Entry[]): number {
  const { write, rider } = batch[batch.length - 1]!;
  return rider?.now ?? write.now;
}
