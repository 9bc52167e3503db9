/** What the figures of the `queue` measure are called in the table. */
export const LABELS: Readonly<Record<string, string>> = {
  enqueueInFlight: 'enqueue, 100 in flight',
  bulk: 'enqueue in bulks of 1,000',
  process1: 'process, c=1',
  process10: 'process, c=10',
  process100: 'process, c=100',
};
