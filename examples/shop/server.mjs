import { createServer } from 'node:http';
import { price } from './price.mjs';

createServer((_, answer) => answer.end(`half of 10 is ${price(10, 'HALF')}\n`)).listen(
  process.env.PORT,
  '127.0.0.1',
);
