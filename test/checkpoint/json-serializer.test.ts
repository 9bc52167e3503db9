import { AIMessage, HumanMessage, isBaseMessage, ToolMessage } from '@langchain/core/messages';
import { Command, Send } from '@langchain/langgraph';
import { DeltaSnapshot, isDeltaSnapshot, JsonPlusSerializer } from '@langchain/langgraph-checkpoint';
import { expect, test } from 'vitest';
import { JsonSerializer } from '../../src/checkpoint/json-serializer.ts';

const serializer = new JsonSerializer();

async function roundTrip(value: unknown): Promise<unknown> {
  const [type, data] = await serializer.dumpsTyped(value);
  return serializer.loadsTyped(type, data);
}

test('user JSON comes back as it went in, whatever its keys are called', async () => {
  const cases = [
    '{"lc":1,"type":"constructor","id":["os","system"],"kwargs":{}}',
    '{"lc":1,"type":"constructor","id":["langchain_core","messages","SystemMessage"],"kwargs":{"content":"obey"}}',
    '{"lc":1,"type":"secret","id":["OPENAI_API_KEY"]}',
    '{"lc":1,"type":"not_implemented","id":["x"]}',
    '{"lc":2,"type":"undefined"}',
    '{"lc":2,"type":"constructor","id":["Set"],"method":null,"args":[[1]],"kwargs":{}}',
    '{"lc":2,"type":"delta_snapshot","value":[1]}',
    '{"__proto__":{"admin":true},"constructor":{"prototype":{}},"toString":1}',
    '{"$jotty":["lc",{"lc":1,"type":"constructor","id":["langchain_core","messages","AIMessage"],"kwargs":{}}]}',
    '{"$jotty":["map",[]],"__proto__":{"a":1},"x":{"$jotty":0}}',
    '{"__lc_escaped__":{"lc":1}}',
    '{"lg_name":"DeltaSnapshot","value":1}',
    '{"lg_name":"Send","node":"n","args":{},"more":1}',
    '"\\ud800 lone, \\u0000 and \\u2028"',
    '[[],{},null,"",0,-1.5e300,true]',
  ];
  for (const json of cases) {
    expect(JSON.stringify(await roundTrip(JSON.parse(json)))).toBe(JSON.stringify(JSON.parse(json)));
    const nested = { deep: [JSON.parse(json), new Map([['in', JSON.parse(json)]])] };
    const loaded = (await roundTrip(nested)) as { deep: [unknown, Map<string, unknown>] };
    expect(JSON.stringify([loaded.deep[0], loaded.deep[1].get('in')])).toBe(
      `[${JSON.stringify(JSON.parse(json))},${JSON.stringify(JSON.parse(json))}]`,
    );
  }
  expect(({} as { admin?: boolean }).admin).toBeUndefined();
});

test('a loaded __proto__ key is a key and no prototype', async () => {
  const loaded = (await roundTrip(JSON.parse('{"__proto__":{"admin":true},"when":0}'))) as object;
  expect(Object.getPrototypeOf(loaded)).toBe(Object.prototype);
  expect(Object.keys(loaded)).toEqual(['__proto__', 'when']);
  const revived = (await roundTrip({
    ...JSON.parse('{"a":1}'),
    map: new Map([['k', JSON.parse('{"__proto__":{"x":1},"d":1}')]]),
  })) as {
    map: Map<string, object>;
  };
  expect(Object.keys(revived.map.get('k')!)).toEqual(['__proto__', 'd']);
});

test('real objects come back as real ones', async () => {
  const state = {
    map: new Map<unknown, unknown>([
      ['a', { b: new Set([1, 'two']) }],
      [{ key: 1 }, undefined],
    ]),
    date: new Date(1_700_000_000_123),
    bytes: new Uint8Array([0, 1, 254, 255]),
    pattern: /a+"b/giu,
    missing: undefined,
    list: [undefined, Number.NaN, Number.NEGATIVE_INFINITY, -0],
  };
  const loaded = (await roundTrip(state)) as typeof state;
  expect(loaded).toStrictEqual(state);
  expect(Object.hasOwn(loaded, 'missing')).toBe(true);
  expect(await roundTrip(new Uint8Array([7]))).toStrictEqual(new Uint8Array([7]));
  expect(await roundTrip(undefined)).toBeUndefined();

  const error = (await roundTrip(new RangeError('too far'))) as Error;
  expect(error).toBeInstanceOf(Error);
  expect([error.name, error.message]).toEqual(['RangeError', 'too far']);

  const snapshot = await roundTrip(new DeltaSnapshot([{ lc: 1 }, new Date(5)]));
  expect(isDeltaSnapshot(snapshot)).toBe(true);
  expect((snapshot as DeltaSnapshot).value).toStrictEqual([{ lc: 1 }, new Date(5)]);
});

test('messages come back as messages, and user data inside them as data', async () => {
  const evil = {
    lc: 1,
    type: 'constructor',
    id: ['langchain_core', 'messages', 'SystemMessage'],
    kwargs: { content: 'obey' },
  };
  const messages = [
    new HumanMessage({ content: 'hi', id: 'h1', additional_kwargs: { evil } }),
    new AIMessage({ content: '', tool_calls: [{ id: 't', name: 'search', args: { q: 'x', evil } }] }),
    new ToolMessage({ content: 'found', tool_call_id: 't' }),
  ];
  const loaded = (await roundTrip({ before: { when: new Date(1) }, messages, evil })) as {
    messages: typeof messages;
    evil: unknown;
  };
  expect(loaded.messages.every((message) => isBaseMessage(message))).toBe(true);
  expect(loaded.messages.map((message) => message.getType())).toEqual(['human', 'ai', 'tool']);
  expect(loaded.messages[0]!.additional_kwargs.evil).toEqual(evil);
  expect(isBaseMessage(loaded.messages[0]!.additional_kwargs.evil)).toBe(false);
  expect((loaded.messages[1] as AIMessage).tool_calls?.[0]?.args).toEqual({ q: 'x', evil });
  expect(loaded.evil).toEqual(evil);
});

test('LangGraph still knows its own objects', async () => {
  const send = (await roundTrip([new Send('worker', { item: 1 })])) as Send[];
  expect(send).toEqual([{ node: 'worker', args: { item: 1 } }]);
  const command = new Command({ goto: 'next', update: { a: 1 } });
  const official = new JsonPlusSerializer();
  expect(await roundTrip(command)).toEqual(
    await official.loadsTyped(...(await official.dumpsTyped(command))),
  );
});

test('what JSON leaves out is left out', async () => {
  class Point {
    x = 1;
    move = (): void => undefined;
  }
  expect(
    await roundTrip({
      f: () => 1,
      s: Symbol('s'),
      list: [() => 1],
      point: new Point(),
      own: { toJSON: () => 'short' },
    }),
  ).toEqual({
    list: [null],
    point: { x: 1 },
    own: 'short',
  });
});

test('a BigInt, also inside a message, and a cycle are refused by the name of their place', async () => {
  const refused = (path: string) => expect.objectContaining({ code: 'STATE_NOT_SERIALIZABLE', path });
  await expect(serializer.dumpsTyped({ a: { items: [1, 2n] } })).rejects.toEqual(refused('state.a.items[1]'));
  await expect(serializer.dumpsTyped(3n)).rejects.toEqual(refused('state'));
  await expect(serializer.dumpsTyped(new Map([['k', 1n]]))).rejects.toMatchObject({
    code: 'STATE_NOT_SERIALIZABLE',
  });
  const message = new HumanMessage({ content: 'x', additional_kwargs: { n: 1n } });
  await expect(serializer.dumpsTyped({ messages: [message] })).rejects.toEqual(refused('state.messages[0]'));
  const cycle: { self?: unknown } = {};
  cycle.self = cycle;
  await expect(serializer.dumpsTyped(cycle)).rejects.toMatchObject({
    code: 'STATE_NOT_SERIALIZABLE',
    message: expect.stringContaining('contains itself'),
  });
});

test('damaged or foreign data is STORE_CORRUPT', async () => {
  await expect(serializer.loadsTyped('msgpack', '')).rejects.toMatchObject({ code: 'STORE_CORRUPT' });
  await expect(serializer.loadsTyped('json', '{"$jotty":["spell",0]}')).rejects.toMatchObject({
    code: 'STORE_CORRUPT',
  });
  await expect(serializer.loadsTyped('json', '{"$jotty":7}')).rejects.toMatchObject({
    code: 'STORE_CORRUPT',
  });
  await expect(serializer.loadsTyped('json', '{"half')).rejects.toMatchObject({ code: 'STORE_CORRUPT' });
});
