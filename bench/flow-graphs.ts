/** A task of a graph, and the tasks it waits for. Those come before it in its list. */
export interface FlowNode {
  readonly ref: string;
  readonly dependsOn: readonly string[];
}

const LAYERS = 100;
const WIDTH = 10;
const DEPENDENTS = 1_000;

/** 1,000 tasks in 100 layers; each waits for all ten of the layer before: 9,900 edges. */
export function layered(layers = LAYERS): FlowNode[] {
  return nodes(layers, () => true);
}

/**
 * The nearest tree, for who lets only one task wait for another: in each layer only the first waits for all ten of
 * the layer before, 990 edges.
 */
export function tree(layers = LAYERS): FlowNode[] {
  return nodes(layers, (place) => place === 0);
}

/** One task, and all that wait for it alone. */
export function fan(dependents = DEPENDENTS): FlowNode[] {
  const leaves = Array.from({ length: dependents }, (_, i) => ({ ref: `leaf-${i}`, dependsOn: ['root'] }));
  return [{ ref: 'root', dependsOn: [] }, ...leaves];
}

function nodes(layers: number, waits: (place: number) => boolean): FlowNode[] {
  const refs = (layer: number) => Array.from({ length: WIDTH }, (_, place) => `t${layer}.${place}`);
  return Array.from({ length: layers }, (_, layer) =>
    refs(layer).map((ref, place) => ({
      ref,
      dependsOn: layer > 0 && waits(place) ? refs(layer - 1) : [],
    })),
  ).flat();
}
