/** Data files of the source tree, found from wherever the code runs. */
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import { projectRoot } from '../../engine/runtime-node.js';

const require = createRequire(import.meta.url);
const root = fileURLToPath(projectRoot(import.meta.url));

/** Parses `path` (from the project's root), a JSON file. Read once by Node's module cache. */
export function loadFacts<T>(path: string): T {
  return require(`${root}${path}`) as T;
}
