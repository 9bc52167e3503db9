const SOURCE = Symbol('jotty.source');

/**
 * Gives objects fields that are worked out when somebody reads them, or copies the object. All objects share the
 * functions: those of a getter in a literal are new each time, and so V8 makes each such object a dictionary with a
 * hidden class of its own. That cost a short run 2 µs, and kept all that the functions saw until the next full
 * collection.
 */
export function lazyFields<S, F extends object>(
  fields: {
    readonly [K in keyof F]: (source: S) => F[K];
  },
): <T extends object>(object: T, source: S) => T & { readonly [K in keyof F]: F[K] } {
  const descriptors = Object.entries(fields).map(([name, read]) => [name, shared(read as never)] as const);
  return (object, source) => {
    Object.defineProperty(object, SOURCE, { value: source });
    for (const [name, descriptor] of descriptors) Object.defineProperty(object, name, descriptor);
    return object as never;
  };
}

function shared<S>(read: (source: S) => unknown): PropertyDescriptor {
  return {
    get(this: { readonly [SOURCE]: S }) {
      return read(this[SOURCE]);
    },
    enumerable: true,
    configurable: true,
  };
}
