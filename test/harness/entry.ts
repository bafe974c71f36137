/** The compiled files that tests and benchmarks start as processes. */
import { existsSync, statSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { projectRoot } from '../../engine/runtime-node.js';

const root = fileURLToPath(projectRoot(import.meta.url));

/** `path` from the project's root. */
export function compiledEntry(path: string): string {
  return `${root}dist/${path}`;
}

/** The command line. `npm test` builds without the bundle; test:clients and benchmarks run what users run. */
export const mainEntry = process.env.VITEST === undefined || process.env.OXBOW_BUNDLE === '1' ? bundled('server/cli/main.js') : compiledEntry('server/cli/main.js');

function bundled(path: string): string {
  const entry = compiledEntry(`bundle/${path}`);
  if (!existsSync(entry) || statSync(entry).mtimeMs < statSync(compiledEntry('.tsbuildinfo')).mtimeMs) throw new Error('the bundle is older than the compiled code: npm run build');
  return entry;
}
