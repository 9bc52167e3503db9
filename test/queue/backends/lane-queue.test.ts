import fc from 'fast-check';
import { expect, test } from 'vitest';
import { LaneQueue } from '../../../src/queue/backends/memory/lane-queue.ts';

test('values leave in order of rank, then sequence, in whatever order they came and others left', () => {
  const step = fc.oneof(
    { weight: 3, arbitrary: fc.record({ rank: fc.nat(20) }) },
    { weight: 2, arbitrary: fc.constant('pop' as const) },
    { weight: 1, arbitrary: fc.constant('keep' as const) },
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
      const queue = new LaneQueue<{ rank: number; seq: number }>();
      let model: { rank: number; seq: number }[] = [];
      steps.forEach((one, seq) => {
        if (one === 'pop') expect(queue.pop()).toEqual(model.shift());
        else if (one === 'keep') {
          queue.keep(({ seq: at }) => at % 3 !== 0);
          model = model.filter(({ seq: at }) => at % 3 !== 0);
        } else {
          queue.push(one.rank, seq, { rank: one.rank, seq });
          model.push({ rank: one.rank, seq });
          model.sort((a, b) => a.rank - b.rank || a.seq - b.seq);
        }
        expect([queue.peek(), queue.peekRank(), queue.peekSeq()]).toEqual([
          model[0],
          model[0]?.rank,
          model[0]?.seq,
        ]);
      });
    }),
  );
});

test('a long run is taken from its beginning and goes on at its end', () => {
  const queue = new LaneQueue<number>();
  for (let i = 0; i < 10_000; i++) queue.push(i, i, i);
  for (let i = 0; i < 30_000; i++) {
    expect(queue.pop()).toBe(i);
    queue.push(10_000 + i, 10_000 + i, 10_000 + i);
  }
});
