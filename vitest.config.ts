import { availableParallelism } from 'node:os';
import { defineConfig } from 'vitest/config';
import { ClosingLine } from './test/closing-line.ts';

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    // The official checkpointer suite expects its runner's words as globals.
    globals: true,
    globalSetup: ['./test/redis/installed.ts'],
    // One for each core: by itself it leaves one of two cores idle.
    maxWorkers: availableParallelism(),
    testTimeout: 60_000,
    hookTimeout: 60_000,
    reporters: ['default', new ClosingLine()],
  },
});
