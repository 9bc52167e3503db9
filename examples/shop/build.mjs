import { copyFileSync } from 'node:fs';

for (const file of ['price.mjs', 'server.mjs']) copyFileSync(file, `${process.env.OUT}/${file}`);
console.log(`built into ${process.env.OUT}`);
