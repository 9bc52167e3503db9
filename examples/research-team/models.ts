import { AIMessage } from '@langchain/core/messages';
import { fakeModel } from '@langchain/core/testing';
import { initChatModel } from 'langchain';

/** What the models say where no real one is configured, by role. */
const SCRIPT = {
  router: [
    '{"next":"research"}',
    '{"next":"poet"}',
    '{"next":"writer"}',
    '{"next":"critic"}',
    '{"next":"FINISH"}',
  ],
  research: ['Lease-based queues detect a dead worker by its silence.'],
  writer: ['A worker that falls silent loses its lease, and another takes over.'],
  critic: ['Clear and true. Publish it.'],
} as const;

/**
 * A real chat model with `MODEL=openai:gpt-…` or whatever `initChatModel` takes (install its package, set its key);
 * else a fake one that needs neither.
 */
export async function modelFor(role: keyof typeof SCRIPT) {
  const name = process.env.MODEL;
  if (name !== undefined) return initChatModel(name);
  return SCRIPT[role].reduce((model, text) => model.respond(new AIMessage(text)), fakeModel());
}
