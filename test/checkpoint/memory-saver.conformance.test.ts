import { deltaChannelHistoryTests, validate } from '@langchain/langgraph-checkpoint-validation';
import { FencedMemorySaver } from '../../src/checkpoint/memory-saver.ts';

const initializer = {
  checkpointerName: 'jotty FencedMemorySaver',
  createCheckpointer: () => new FencedMemorySaver(),
};

validate(initializer);
deltaChannelHistoryTests(initializer);
