/** SQL identifiers in text: quoting, and splitting qualified names as regclass and friends take them. */
import { DatabaseError } from '../../engine/errors.js';
import { loadFacts } from './facts.js';
import { truncateName } from './text.js';

let reserved: Set<string> | undefined;

/** Keywords that must be quoted as identifiers (all but the unreserved ones). */
function reservedWords(): Set<string> {
  if (!reserved) {
    const table = loadFacts<{ columns: string[]; rows: string[][] }>('sql/catalog/data/keywords.json');
    const word = table.columns.indexOf('word');
    const category = table.columns.findIndex((name) => name === 'catcode' || name === 'category');
    reserved = new Set(table.rows.filter((row) => row[category] !== 'U').map((row) => row[word]!));
  }
  return reserved;
}

/** quote_ident. */
export function quoteIdentifier(name: string): string {
  return /^[a-z_][a-z0-9_]*$/.test(name) && !reservedWords().has(name) ? name : `"${name.replaceAll('"', '""')}"`;
}

export function quoteQualified(schema: string | undefined, name: string): string {
  return schema === undefined ? quoteIdentifier(name) : `${quoteIdentifier(schema)}.${quoteIdentifier(name)}`;
}

/** stringToQualifiedNameList: a.b."C d" -> ['a', 'b', 'C d']; 42602 for what is no name. */
export function splitQualifiedName(text: string): string[] {
  const invalid = (): DatabaseError => new DatabaseError('42602', 'invalid name syntax');
  const names: string[] = [];
  let p = 0;
  const skip = (): void => {
    while (/\s/.test(text[p] ?? '')) p++;
  };
  skip();
  if (p >= text.length) throw invalid();
  for (;;) {
    let name = '';
    if (text[p] === '"') {
      for (p++; ; p++) {
        if (p >= text.length) throw invalid();
        if (text[p] === '"') {
          if (text[p + 1] !== '"') break;
          p++;
        }
        name += text[p]!;
      }
      p++;
      if (name === '') throw invalid();
    } else {
      const start = p;
      while (p < text.length && text[p] !== '.' && !/\s/.test(text[p]!)) p++;
      name = text.slice(start, p).replace(/[A-Z]/g, (c) => c.toLowerCase());
      if (name === '') throw invalid();
    }
    names.push(truncateName(name));
    skip();
    if (p >= text.length) return names;
    if (text[p] !== '.') throw invalid();
    p++;
    skip();
    if (p >= text.length) throw invalid();
  }
}
