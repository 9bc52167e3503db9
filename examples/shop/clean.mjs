import { rmSync } from 'node:fs';

rmSync(process.env.OUT, { recursive: true });
