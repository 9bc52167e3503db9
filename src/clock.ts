/** The source of time for every policy, so that tests move it instead of sleeping. All times are ms since the epoch. */
export interface Clock {
  now(): number;
  /**
   * ms since any moment, whatever is done to the time of day: by this a queue notices that it was set to another
   * one, and ends no lease for it. Without it `now` is taken to go on evenly.
   */
  elapsed?(): number;
  setTimeout(callback: () => void, ms: number): unknown;
  clearTimeout(handle: unknown): void;
  /**
   * Keeps the process alive until the returned function is called, for those who wait for a task: timers alone
   * keep nothing alive. Clocks of tests need none.
   */
  holdProcess?(): () => void;
}

/** Node fires timers beyond this at once. */
const TIMER_MS_MAX = 2 ** 31 - 1;

interface TimerHandle {
  timer: NodeJS.Timeout;
}

/** Wall time and unreferenced timers: a pending Jotty timer never keeps a process alive by itself. */
export const systemClock: Clock = {
  now: () => Date.now(),
  elapsed: () => performance.now(),
  setTimeout(callback, ms) {
    return ms <= TIMER_MS_MAX ? setTimeout(callback, ms).unref() : longTimer(callback, ms);
  },
  clearTimeout(handle) {
    const isLong = typeof handle === 'object' && handle !== null && 'timer' in handle;
    clearTimeout(isLong ? (handle as TimerHandle).timer : (handle as NodeJS.Timeout));
  },
  holdProcess() {
    const timer = setInterval(() => {}, TIMER_MS_MAX);
    return () => clearInterval(timer);
  },
};

/** Resolves after that time, or at once when the signal aborts. Never rejects. */
export function wait(clock: Clock, ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const end = () => {
      clock.clearTimeout(timer);
      signal?.removeEventListener('abort', end);
      resolve();
    };
    const timer = clock.setTimeout(end, ms);
    signal?.addEventListener('abort', end, { once: true });
    if (signal?.aborted) end();
  });
}

/** A timer of many stages; its handle holds the one that is armed. */
function longTimer(callback: () => void, ms: number): TimerHandle {
  const dueAt = performance.now() + ms;
  const arm = (): NodeJS.Timeout => {
    const left = dueAt - performance.now();
    const stage = () => {
      handle.timer = arm();
    };
    return (left > TIMER_MS_MAX ? setTimeout(stage, TIMER_MS_MAX) : setTimeout(callback, left)).unref();
  };
  const handle: TimerHandle = { timer: arm() };
  return handle;
}
