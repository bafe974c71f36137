/**
 * The habits of the code base, checked: imports go server -> sql -> engine, only two folders know their
 * library, nobody goes around the Runtime, and READMEs name files that exist.
 */
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';

const root = fileURLToPath(new URL('../', import.meta.url));
const LAYERS = ['engine', 'sql', 'server'] as const;

function filesBelow(directory: string, ending: string): string[] {
  if (!existsSync(directory)) return [];
  return readdirSync(directory).flatMap((name) => {
    const path = join(directory, name);
    if (statSync(path).isDirectory()) return name === 'node_modules' || name === 'dist' ? [] : filesBelow(path, ending);
    return path.endsWith(ending) ? [path] : [];
  });
}

const sources = LAYERS.flatMap((layer) => filesBelow(join(root, layer), '.ts')).filter((path) => !path.endsWith('.d.ts'));
const imports = (text: string): string[] => [...text.matchAll(/(?:from|import)\s+'([^']+)'/g)].map((match) => match[1]);

describe('tidy', () => {
  test('imports go one way', () => {
    const wrong: string[] = [];
    for (const path of sources) {
      const layer = relative(root, path).split('/')[0];
      for (const target of imports(readFileSync(path, 'utf8'))) {
        if (!target.startsWith('.')) continue;
        const other = relative(root, resolve(dirname(path), target)).split('/')[0];
        if (LAYERS.indexOf(other as (typeof LAYERS)[number]) > LAYERS.indexOf(layer as (typeof LAYERS)[number])) wrong.push(`${relative(root, path)} imports ${target}`);
      }
    }
    expect(wrong).toEqual([]);
  });

  test('only one folder knows each of the libraries that lose data', () => {
    const wrong: string[] = [];
    const homes: Record<string, string> = { lmdb: 'engine/kv/', 'pg-query-emscripten': 'sql/parser/' };
    for (const path of sources) {
      const name = relative(root, path);
      for (const target of imports(readFileSync(path, 'utf8'))) {
        const library = Object.keys(homes).find((candidate) => target === candidate || target.startsWith(`${candidate}/`));
        if (library && !name.startsWith(homes[library])) wrong.push(`${name} imports ${target}`);
      }
    }
    expect(wrong).toEqual([]);
  });

  test('clock, randomness and threads come from the Runtime', () => {
    const wrong: string[] = [];
    for (const path of sources) {
      const name = relative(root, path);
      if (name.endsWith('.test.ts') || name === 'engine/runtime-node.ts' || name.startsWith('server/')) continue;
      const text = readFileSync(path, 'utf8').replace(/\/\*[\s\S]*?\*\/|\/\/.*$/gm, '');
      for (const forbidden of ['Date.now(', 'Math.random(', 'performance.now(', 'new Worker(']) if (text.includes(forbidden)) wrong.push(`${name}: ${forbidden}`);
    }
    expect(wrong).toEqual([]);
  });

  test('no file is called utils or helpers', () => {
    expect(sources.filter((path) => /\/(utils?|helpers?)\.ts$/.test(path)).map((path) => relative(root, path))).toEqual([]);
  });

  test('READMEs name paths that exist', () => {
    const wrong: string[] = [];
    for (const path of [...LAYERS, 'test', 'bench', 'deploy'].flatMap((folder) => filesBelow(join(root, folder), 'README.md')).concat(join(root, 'README.md'))) {
      if (!existsSync(path)) continue;
      for (const match of readFileSync(path, 'utf8').matchAll(/`([\w./-]+\.(?:ts|json|md|mjs|sh))`/g)) {
        const named = match[1];
        const candidates = [join(dirname(path), named), join(root, named)];
        if (!candidates.some((candidate) => existsSync(candidate))) wrong.push(`${relative(root, path)} names ${named}`);
      }
    }
    expect(wrong).toEqual([]);
  });

  test('every SQLSTATE that is raised exists', () => {
    const facts = JSON.parse(readFileSync(join(root, 'sql/catalog/data/errcodes.json'), 'utf8')) as { columns: string[]; rows: string[][] };
    const at = facts.columns.findIndex((name) => /sqlstate|code/i.test(name));
    const known = new Set(facts.rows.map((row) => row[at]));
    const wrong: string[] = [];
    for (const path of sources) {
      for (const match of readFileSync(path, 'utf8').matchAll(/DatabaseError\('([0-9A-Z]{5})'/g)) if (!known.has(match[1])) wrong.push(`${relative(root, path)}: ${match[1]}`);
    }
    expect(wrong).toEqual([]);
  });
});
