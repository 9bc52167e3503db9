// Tools for agents. An entry of its own, since it loads LangChain, which a conductor does only when a graph runs.

export { queueTools } from './queue-tools.ts';
