import type { CompiledGraph, RunnableGraph } from './graph.ts';

/** LangGraph's name for the error by which a node's Command reaches the graph around its own. */
const HANDOVER = 'ParentCommand';

/**
 * Runs a graph as a part of another that is elsewhere. What it leaves to that by `Command.PARENT` is thrown, as it is
 * among graphs of one process; without a graph around it LangGraph would drop it without a word.
 */
export async function invokePart(graph: CompiledGraph, input: unknown, options: object): Promise<unknown> {
  const { Annotation, END, START, StateGraph } = await import('@langchain/langgraph');
  let handover: unknown;
  const part = async (_: unknown, config: object) => {
    try {
      return { output: await (graph as unknown as RunnableGraph).invoke(input, config as never) };
    } catch (error) {
      if ((error as { readonly name?: unknown } | null)?.name !== HANDOVER) throw error;
      handover = error;
      return {};
    }
  };
  const whole = new StateGraph(Annotation.Root({ output: Annotation<unknown>() }))
    .addNode('part', part)
    .addEdge(START, 'part')
    .addEdge('part', END)
    .compile();
  const result = (await whole.invoke({}, options)) as object;
  if (handover !== undefined) throw handover;
  return 'output' in result ? result.output : result;
}
