/** Data files of the source tree, found from the sources and from dist alike. */
import { createRequire } from 'node:module';

const require = createRequire(import.meta.url);
const inDist = import.meta.url.includes('/dist/sql/types/');

/** Parses `path` (from the project's root), a JSON file. Read once by Node's module cache. */
export function loadFacts<T>(path: string): T {
  return require(`${inDist ? '../../../' : '../../'}${path}`) as T;
}
