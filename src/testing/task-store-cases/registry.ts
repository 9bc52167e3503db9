import assert from 'node:assert/strict';
import { REGISTRY_VALUE_BYTES_MAX } from '../../queue/registry.ts';
import type { ConformanceCase } from '../conformance.ts';
import type { StoreHarness } from '../task-store-conformance.ts';
import { NOW } from './steps.ts';

const entry = (key: string, value: string, expiresAt: number | null = null) => ({ key, value, expiresAt });

export const registryCases: readonly ConformanceCase<StoreHarness>[] = [
  {
    name: 'the registry keeps entries by section and key, and lists them in order of key',
    async run({ store: { registry } }) {
      await registry.put('agents', entry('b', '{"n":1}'), NOW);
      await registry.put('agents', entry('a', '"ä\\u0000"'), NOW);
      await registry.put('other', entry('a', '0'), NOW);
      assert.deepEqual(await registry.entries('agents', NOW), [
        { key: 'a', value: '"ä\\u0000"', expiresAt: null, version: 1 },
        { key: 'b', value: '{"n":1}', expiresAt: null, version: 1 },
      ]);
      assert.deepEqual(await registry.entries('none', NOW), []);
    },
  },
  {
    name: 'the last writer of an entry wins, and each write raises its version',
    async run({ store: { registry } }) {
      assert.equal(await registry.put('agents', entry('a', '1'), NOW), true);
      assert.equal(await registry.put('agents', entry('a', '2', NOW + 5), NOW), true);
      assert.deepEqual(await registry.entries('agents', NOW), [
        { key: 'a', value: '2', expiresAt: NOW + 5, version: 2 },
      ]);
    },
  },
  {
    name: 'with a version, an entry is written only while it has this version',
    async run({ store: { registry } }) {
      assert.equal(await registry.put('agents', entry('a', 'first'), NOW, 1), false);
      const wins = await Promise.all(
        ['x', 'y', 'z'].map((value) => registry.put('agents', entry('a', value), NOW, 0)),
      );
      assert.equal(wins.filter(Boolean).length, 1);
      assert.equal(await registry.put('agents', entry('a', 'next'), NOW, 1), true);
      assert.equal(await registry.put('agents', entry('a', 'late'), NOW, 1), false);
      assert.equal((await registry.entries('agents', NOW))[0]?.value, 'next');
    },
  },
  {
    name: 'an entry is gone from its expiry on, and new again after it',
    async run({ store: { registry } }) {
      await registry.put('agents', entry('a', '1', NOW + 10), NOW);
      assert.equal((await registry.entries('agents', NOW + 9)).length, 1);
      assert.deepEqual(await registry.entries('agents', NOW + 10), []);
      assert.equal(await registry.put('agents', entry('a', '2', NOW + 90), NOW + 10, 0), true);
      assert.equal((await registry.entries('agents', NOW + 10))[0]?.version, 1);
    },
  },
  {
    name: 'a removed entry is gone, and removing it again changes nothing',
    async run({ store: { registry } }) {
      await registry.put('agents', entry('a', '1'), NOW);
      await registry.remove('agents', 'a');
      await registry.remove('agents', 'a');
      assert.deepEqual(await registry.entries('agents', NOW), []);
    },
  },
  {
    name: 'the registry refuses what is too large or has no proper name, and stores nothing of it',
    async run({ store: { registry } }) {
      const long = 'ä'.repeat(REGISTRY_VALUE_BYTES_MAX / 2);
      await registry.put('agents', entry('a', long), NOW);
      await assert.rejects(registry.put('agents', entry('b', `${long}.`), NOW), { code: 'TOO_LARGE' });
      await assert.rejects(registry.put('agents', entry('a b', ''), NOW), { code: 'INVALID_OPTION' });
      await assert.rejects(registry.put('', entry('a', ''), NOW), { code: 'INVALID_OPTION' });
      assert.equal((await registry.entries('agents', NOW)).length, 1);
    },
  },
  {
    name: 'what one store object enters, another on the same storage reads',
    needs: 'shared',
    async run({ store, second }) {
      const other = await second!();
      await store.registry.put('agents', entry('a', '1'), NOW);
      assert.equal(await other.registry.put('agents', entry('a', '2'), NOW, 0), false);
      assert.equal((await other.registry.entries('agents', NOW))[0]?.value, '1');
    },
  },
];
