/**
 * Bundles the compiled server into dist/bundle, which is what `npm start` and `oxbow` run: some forty files instead of seven hundred,
 * which Node would look for, read and link one by one at each start. Threads and processes that start a module of their own name it with
 * compiledModule(): those names, and the command line, are the entries. Packages stay in node_modules.
 */
import { readFileSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { rolldown } from 'rolldown';

const dist = fileURLToPath(new URL('../dist/', import.meta.url));

const entries = new Set(['server/cli/main.js']);
for (const folder of ['engine', 'sql', 'server']) {
  for (const name of readdirSync(join(dist, folder), { recursive: true, encoding: 'utf8' })) {
    if (!name.endsWith('.js') || name.endsWith('.test.js')) continue;
    for (const [, entry] of readFileSync(join(dist, folder, name), 'utf8').matchAll(/compiledModule\('([^']+)'/g)) entries.add(entry);
  }
}

rmSync(join(dist, 'bundle'), { recursive: true, force: true });
const bundle = await rolldown({
  input: Object.fromEntries([...entries].map((entry) => [entry.replace(/\.js$/, ''), join(dist, entry)])),
  platform: 'node',
  external: /^[^./]/,
});
await bundle.write({ dir: join(dist, 'bundle'), format: 'esm', entryFileNames: '[name].js', chunkFileNames: 'chunks/[name]-[hash].js', sourcemap: true });
await bundle.close();
