/** Takes the write lock of the file and keeps it until it is told to let go, or is killed. */
import Database from 'better-sqlite3';
import { onCommand, readSettings, say } from './protocol.ts';

const database = new Database(readSettings().path);

onCommand((command) => {
  if (command.type === 'lock') database.exec('BEGIN IMMEDIATE');
  if (command.type === 'unlock') database.exec('ROLLBACK');
  say(`${command.type}ed`);
});
say('ready', { pid: process.pid });
