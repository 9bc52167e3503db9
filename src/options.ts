import { InvalidOptionError } from './errors.ts';

/** For callers without types: an object of options, or an error that says so. `what` is said to be expected. */
export function requireOptions<T extends object>(options: T, what: string, name = 'options'): T {
  if (typeof options !== 'object' || options === null) throw new InvalidOptionError(name, what, options);
  return options;
}
