/**
 * The outcome of `work`, or an error as soon as the signal is aborted, by default its reason: code that ignores its
 * signal runs on as a zombie, but holds nothing up, and its late end is nobody's unhandled rejection.
 */
export function untilAborted<T>(
  work: Promise<T>,
  signal: AbortSignal,
  errorOf: (signal: AbortSignal) => unknown = ({ reason }) => reason,
): Promise<T> {
  return new Promise<T>((resolve, reject) => {
    const abort = () => reject(errorOf(signal));
    const settled = () => signal.removeEventListener('abort', abort);
    if (signal.aborted) abort();
    else signal.addEventListener('abort', abort, { once: true });
    work.then(
      (value) => {
        settled();
        resolve(value);
      },
      (error: unknown) => {
        settled();
        reject(error);
      },
    );
  });
}
