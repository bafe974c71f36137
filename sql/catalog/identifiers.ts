/** Names as PostgreSQL prints them: quote_identifier, quote_literal and qualified names. */
import { factList } from './born-rows.js';

let reserved: Set<string> | undefined;

/** Quotes a name where PostgreSQL would: anything but a lower-case identifier that is no keyword (unreserved ones are fine). */
export function quoteIdentifier(name: string): string {
  reserved ??= new Set(factList('keywords').rows.filter((row) => row[1] !== 'U').map((row) => row[0] as string));
  if (/^[a-z_][a-z0-9_]*$/.test(name) && !reserved.has(name)) return name;
  return `"${name.replaceAll('"', '""')}"`;
}

export function quoteQualified(schema: string | null, name: string): string {
  return schema === null ? quoteIdentifier(name) : `${quoteIdentifier(schema)}.${quoteIdentifier(name)}`;
}

export function quoteLiteral(text: string): string {
  const quoted = `'${text.replaceAll("'", "''").replaceAll('\\', '\\\\')}'`;
  return text.includes('\\') ? `E${quoted}` : quoted;
}
