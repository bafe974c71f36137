/** Options of COPY, checked as PostgreSQL does (ProcessCopyOptions). */
import type { Node } from '@pgsql/types';
import { DatabaseError } from '../../engine/errors.js';
import { namesOf } from '../analyzer/names.js';
import { parseBoolean } from '../session/setting-values.js';

export interface CopyOptions {
  readonly format: 'text' | 'csv' | 'binary';
  readonly delimiter: string;
  readonly nullText: string;
  /** COPY FROM: marks a field that takes the column's default; null: none. */
  readonly defaultText: string | null;
  readonly header: 'none' | 'yes' | 'match';
  readonly quote: string;
  readonly escape: string;
  readonly forceQuote: readonly string[] | 'all';
  readonly forceNotNull: readonly string[] | 'all';
  readonly forceNull: readonly string[] | 'all';
}

interface DefElem { readonly defname?: string; readonly arg?: Node; readonly location?: number }

function text(arg: Node | undefined): string {
  const node = arg as { String?: { sval?: string }; Integer?: { ival?: number }; Float?: { fval?: string }; Boolean?: { boolval?: boolean }; A_Star?: object } | undefined;
  if (node?.String) return node.String.sval ?? '';
  if (node?.Integer) return String(node.Integer.ival ?? 0);
  if (node?.Float) return node.Float.fval ?? '';
  if (node?.Boolean) return node.Boolean.boolval ? 'true' : 'false';
  return '';
}

function columnList(option: DefElem): readonly string[] | 'all' {
  const arg = option.arg as { List?: { items?: Node[] }; A_Star?: object } | undefined;
  return arg?.A_Star ? 'all' : namesOf(arg?.List?.items);
}

export function copyOptions(nodes: readonly Node[] | undefined, isFrom: boolean): CopyOptions {
  const given = new Map<string, DefElem>();
  for (const node of nodes ?? []) {
    const option = (node as { DefElem: DefElem }).DefElem;
    const name = option.defname ?? '';
    if (given.has(name)) throw new DatabaseError('42601', 'conflicting or redundant options');
    given.set(name, option);
  }
  const known = ['format', 'freeze', 'delimiter', 'null', 'default', 'header', 'quote', 'escape', 'force_quote', 'force_not_null', 'force_null', 'encoding'];
  for (const name of given.keys()) if (!known.includes(name)) throw new DatabaseError('42601', `option "${name}" not recognized`);

  const formatName = given.has('format') ? text(given.get('format')!.arg) : 'text';
  if (!['text', 'csv', 'binary'].includes(formatName)) throw new DatabaseError('22023', `COPY format "${formatName}" not recognized`);
  const format = formatName as CopyOptions['format'];
  const csv = format === 'csv';
  const binary = format === 'binary';
  const value = (name: string): string | undefined => (given.has(name) ? text(given.get(name)!.arg) : undefined);
  if (binary && given.has('delimiter')) throw new DatabaseError('42601', 'cannot specify DELIMITER in BINARY mode');
  if (binary && given.has('null')) throw new DatabaseError('42601', 'cannot specify NULL in BINARY mode');
  if (binary && given.has('default')) throw new DatabaseError('42601', 'cannot specify DEFAULT in BINARY mode');
  if (binary && given.has('header')) throw new DatabaseError('42601', 'cannot specify HEADER in BINARY mode');
  const delimiter = value('delimiter') ?? (csv ? ',' : '\t');
  const nullText = value('null') ?? (csv ? '' : '\\N');
  if (Buffer.byteLength(delimiter) !== 1) throw new DatabaseError('0A000', 'COPY delimiter must be a single one-byte character');
  if (/[\r\n]/.test(delimiter)) throw new DatabaseError('22023', 'COPY delimiter cannot be newline or carriage return');
  if (/[\r\n]/.test(nullText)) throw new DatabaseError('22023', 'COPY null representation cannot use newline or carriage return');
  if (!csv && /[\\.abcdefghijklmnopqrstuvwxyz0123456789]/.test(delimiter)) throw new DatabaseError('22023', `COPY delimiter cannot be "${delimiter}"`);
  const defaultText = value('default') ?? null;
  if (defaultText !== null) {
    if (!isFrom) throw new DatabaseError('0A000', 'COPY DEFAULT only available using COPY FROM');
    if (defaultText.includes(delimiter)) throw new DatabaseError('22023', 'COPY delimiter character must not appear in the DEFAULT specification');
    if (defaultText === nullText) throw new DatabaseError('22023', 'NULL specification and DEFAULT specification cannot be the same');
  }
  for (const name of ['quote', 'escape', 'force_quote', 'force_not_null', 'force_null']) {
    if (given.has(name) && !csv) throw new DatabaseError('0A000', `COPY ${name.replaceAll('_', ' ')} available only in CSV mode`);
  }
  const quote = value('quote') ?? '"';
  if (csv && Buffer.byteLength(quote) !== 1) throw new DatabaseError('0A000', 'COPY quote must be a single one-byte character');
  if (csv && delimiter === quote) throw new DatabaseError('22023', 'COPY delimiter and quote must be different');
  const escape = value('escape') ?? quote;
  if (csv && Buffer.byteLength(escape) !== 1) throw new DatabaseError('0A000', 'COPY escape must be a single one-byte character');
  if (given.has('force_quote') && isFrom) throw new DatabaseError('0A000', 'COPY force quote only available using COPY TO');
  if (given.has('force_not_null') && !isFrom) throw new DatabaseError('0A000', 'COPY force not null only available using COPY FROM');
  if (given.has('force_null') && !isFrom) throw new DatabaseError('0A000', 'COPY force null only available using COPY FROM');
  if (nullText.includes(delimiter)) throw new DatabaseError('22023', 'COPY delimiter character must not appear in the NULL specification');
  if (csv && nullText.includes(quote)) throw new DatabaseError('22023', 'CSV quote character must not appear in the NULL specification');
  const encoding = value('encoding');
  if (encoding !== undefined && !['UTF8', 'UNICODE'].includes(encoding.toUpperCase().replace(/[^A-Z0-9]/g, ''))) throw new DatabaseError('0A000', `COPY encoding "${encoding}" is not supported`, { detail: 'Only UTF8 is.' });
  const list = (name: string): readonly string[] | 'all' => (given.has(name) ? columnList(given.get(name)!) : []);
  return {
    format, delimiter, nullText, defaultText, header: headerOption(given.get('header'), isFrom), quote, escape,
    forceQuote: list('force_quote'), forceNotNull: list('force_not_null'), forceNull: list('force_null'),
  };
}

function headerOption(option: DefElem | undefined, isFrom: boolean): CopyOptions['header'] {
  if (!option) return 'none';
  if (!option.arg) return 'yes';
  const word = text(option.arg);
  if (word.toLowerCase() === 'match') {
    if (!isFrom) throw new DatabaseError('0A000', 'cannot use "match" with HEADER in COPY TO');
    return 'match';
  }
  const parsed = parseBoolean(word);
  if (parsed === null) throw new DatabaseError('42601', 'header requires a Boolean value or "match"');
  return parsed ? 'yes' : 'none';
}
