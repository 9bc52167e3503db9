import { expect, test } from 'vitest';
import { StoreUnavailableError } from '../../../src/errors.ts';
import { Batcher } from '../../../src/queue/backends/redis/batcher.ts';

interface Gate {
  readonly items: readonly string[];
  readonly answer: () => void;
  readonly fail: (error: Error) => void;
}

function gated(options: Partial<ConstructorParameters<typeof Batcher<string, string>>[0]> = {}) {
  const sent: Gate[] = [];
  const batcher = new Batcher<string, string>({
    send: (items) =>
      new Promise((resolve, reject) => {
        sent.push({ items, answer: () => resolve(items.map((item) => `${item}!`)), fail: reject });
      }),
    keyOf: () => 0,
    sizeOf: () => 0.25,
    parallel: 1,
    ...options,
  });
  return { sent, batcher };
}

const turn = () => new Promise((resolve) => setImmediate(resolve));

test('what is asked in one turn shares a batch up to its size, and what comes meanwhile the next one', async () => {
  const { sent, batcher } = gated();
  const first = Promise.all(['a', 'b', 'c', 'd', 'e'].map((item) => batcher.ask(item)));
  await turn();
  expect(sent.map(({ items }) => items)).toEqual([['a', 'b', 'c', 'd']]);
  const later = batcher.ask('f');
  sent[0]!.answer();
  await turn();
  await turn();
  expect(sent[1]!.items).toEqual(['e', 'f']);
  sent[1]!.answer();
  expect([...(await first), await later]).toEqual(['a!', 'b!', 'c!', 'd!', 'e!', 'f!']);
  await batcher.idle();
});

test('items of another key wait for a batch of their own, in the order asked', async () => {
  const { sent, batcher } = gated({ keyOf: (item) => item[0]!, parallel: 2 });
  for (const item of ['a1', 'a2', 'b1', 'a3']) void batcher.ask(item);
  await turn();
  expect(sent.map(({ items }) => items)).toEqual([['a1', 'a2'], ['b1']]);
  sent[0]!.answer();
  await turn();
  await turn();
  expect(sent[2]!.items).toEqual(['a3']);
});

test('after an outage all that waited has failed with it, and nobody who goes after it waits for ever', async () => {
  const before = gated();
  const after = gated({ after: before.batcher });
  const lost = before.batcher.ask('a').catch((error: Error) => error.message);
  await turn();
  const waiting = before.batcher.ask('b').catch((error: Error) => error.message);
  const claim = after.batcher.ask('claim');
  await turn();
  expect(after.sent).toEqual([]);
  before.sent[0]!.fail(new StoreUnavailableError('away'));
  expect([await lost, await waiting]).toEqual(['away', 'away']);
  await turn();
  await turn();
  after.sent[0]!.answer();
  expect(await claim).toBe('claim!');
});

test('many that come at once go in two batches where that is wanted, so that the next ones meet one on its way', async () => {
  const { sent, batcher } = gated({ sizeOf: () => 0.01, parallel: 2, isHalved: true });
  const items = Array.from({ length: 40 }, (_, i) => `item ${i}`);
  const all = Promise.all(items.map((item) => batcher.ask(item)));
  await turn();
  expect(sent.map((gate) => gate.items.length)).toEqual([20, 20]);
  expect(sent.flatMap((gate) => gate.items)).toEqual(items);

  const later = Promise.all(items.map((item) => batcher.ask(item)));
  sent[0]!.answer();
  await turn();
  await turn();
  expect(sent[2]!.items).toEqual(items);
  for (const gate of sent.slice(1)) gate.answer();
  await Promise.all([all, later]);
  const [few] = [batcher.ask('one'), batcher.ask('two')];
  await turn();
  expect(sent[3]!.items).toEqual(['one', 'two']);
  sent[3]!.answer();
  await few;
});

test('what is urgent is sent in the middle of a turn, unless something that goes first is still gathered', async () => {
  const before = gated();
  const { sent, batcher } = gated({
    parallel: 2,
    after: before.batcher,
    isUrgent: (item) => item.startsWith('many'),
  });
  void batcher.ask('one');
  expect(sent).toEqual([]);
  void batcher.ask('many');
  expect(sent.map(({ items }) => items)).toEqual([['one', 'many']]);

  void before.batcher.ask('insert');
  void batcher.ask('many more');
  expect([before.sent.length, sent.length]).toEqual([0, 1]);
  await turn();
  expect([before.sent.length, sent.length]).toEqual([1, 2]);
});
