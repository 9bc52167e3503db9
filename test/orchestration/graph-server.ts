import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import { Command, MemorySaver } from '@langchain/langgraph';

interface Served {
  stream(input: unknown, options: object): Promise<AsyncIterable<unknown>>;
  getState(config: object): Promise<Saved>;
}
interface Saved {
  readonly values: unknown;
  readonly next: readonly string[];
  readonly createdAt?: string;
  readonly tasks: readonly object[];
}
interface RunRequest {
  readonly input?: unknown;
  readonly command?: object | null;
}

/** A deployment of one graph over HTTP, with as much of LangGraph's protocol as RemoteGraph speaks. */
export async function serveGraph(compile: (saver: MemorySaver) => object) {
  const saver = new MemorySaver();
  const graph = compile(saver) as Served;
  const requests: string[] = [];
  let aborted = 0;
  const server = createServer((request, response) => {
    void answer(request, response).catch((error: unknown) => response.destroy(error as Error));
  });

  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const [, , threadId, ...rest] = request.url!.split('/');
    const config = { configurable: { thread_id: threadId } };
    requests.push(rest.join('/'));
    if (rest[0] === 'state') {
      const { values, next, createdAt, tasks } = await graph.getState(config);
      response.writeHead(createdAt === undefined ? 404 : 200, { 'content-type': 'application/json' });
      response.end(JSON.stringify({ values, next, tasks, created_at: createdAt, checkpoint: {} }));
      return;
    }
    const { input, command } = JSON.parse(await text(request)) as RunRequest;
    const controller = new AbortController();
    response.on('close', () => {
      if (!response.writableFinished) aborted += 1;
      controller.abort();
    });
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    const tell = (event: string, data: unknown) =>
      response.write(`event: ${event}\ndata: ${JSON.stringify(data)}\n\n`);
    try {
      const streamMode = ['values', 'updates'];
      const given = command ? new Command(command) : (input ?? null);
      const { signal } = controller;
      for await (const chunk of await graph.stream(given, { ...config, signal, streamMode })) {
        const [mode, data] = chunk as [string, unknown];
        tell(mode, data);
      }
    } catch (error) {
      tell('error', { error: 'Error', message: String(error) });
    }
    response.end();
  }

  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    requests,
    aborted: () => aborted,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
