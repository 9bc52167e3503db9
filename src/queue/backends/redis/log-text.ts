import { type KeptPage, type LogPage, NO_LOG, parseStarts, type TaskLog } from '../../task-log.ts';

/** Pages as `logs.lua` takes them. */
export function pagesText(pages: readonly LogPage[]): string {
  return pages.map(({ count, text }) => `${count} ${Buffer.byteLength(text)}\n${text}`).join('');
}

export function toLog(reply: readonly unknown[]): TaskLog {
  if (reply.length === 0) return NO_LOG;
  const [total, starts, ...pages] = reply;
  return { total: Number(total), starts: parseStarts(String(starts)), pages: pages.map(toPage) };
}

function toPage(reply: unknown): KeptPage {
  const page = String(reply);
  const at = page.indexOf('\n');
  const [first, count] = page.slice(0, at).split(' ');
  return { first: Number(first), count: Number(count), text: page.slice(at + 1) };
}
