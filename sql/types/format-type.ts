/** Type names as PostgreSQL prints them (format_type) and reads them ('integer', 'varchar(10)[]'). */
import { DatabaseError } from '../../engine/errors.js';
import type { Catalog, PgType } from '../catalog/catalog.js';
import { PG_CATALOG_NAMESPACE } from '../catalog/catalog.js';
import { quoteQualified, splitQualifiedName } from './identifier.js';
import type { EvalContext } from '../functions/context.js';

/** SQL spellings of born types, without their modifier. */
const SQL_NAMES: Readonly<Record<string, string>> = {
  bit: 'bit', bool: 'boolean', bpchar: 'character', float4: 'real', float8: 'double precision', int2: 'smallint', int4: 'integer', int8: 'bigint',
  numeric: 'numeric', interval: 'interval', time: 'time without time zone', timetz: 'time with time zone', timestamp: 'timestamp without time zone',
  timestamptz: 'timestamp with time zone', varbit: 'bit varying', varchar: 'character varying',
};

/** True when an unqualified use of the type's name finds it. */
export function isTypeVisible(type: PgType, catalog: Catalog, searchPath: readonly number[]): boolean {
  for (const namespace of searchPath) {
    const found = catalog.typeNamed(namespace, type.typname);
    if (found) return found.oid === type.oid;
  }
  return false;
}

export interface FormatTypeOptions {
  /** Undefined: none given (format_type's NULL). */
  readonly typmod?: number;
  /** Always qualify types outside pg_catalog (deparse for dumps). */
  readonly forceQualify?: boolean;
}

/** format_type_extended; '???' for an unknown OID, '-' for 0. */
export function formatType(oid: number, context: Pick<EvalContext, 'catalog' | 'session'>, options: FormatTypeOptions = {}): string {
  const { catalog } = context;
  if (oid === 0) return '-';
  let type = catalog.type(oid);
  if (!type) return '???';
  let suffix = '';
  const isTrueArray = type.typelem !== 0 && type.typlen === -1 && type.typname.startsWith('_') && catalog.type(type.typelem)?.typarray === oid;
  if (isTrueArray) {
    suffix = '[]';
    type = catalog.type(type.typelem);
    if (!type) return '???[]';
  }
  const typmod = options.typmod ?? -1;
  const hasTypmod = options.typmod !== undefined && typmod >= 0;
  const sql = type.typnamespace === PG_CATALOG_NAMESPACE ? SQL_NAMES[type.typname] : undefined;
  const modifier = (): string => (hasTypmod ? (catalog.dataType(type.oid).typmodOut?.(typmod) ?? `(${typmod})`) : '');
  if (sql !== undefined) {
    switch (type.typname) {
      case 'bpchar':
        // "char" without a length means char(1) in SQL: the unconstrained one must say bpchar.
        if (hasTypmod) return `character${modifier()}${suffix}`;
        if (options.typmod === undefined) return `character${suffix}`;
        return `bpchar${suffix}`;
      case 'bit':
        if (hasTypmod) return `bit${modifier()}${suffix}`;
        return (options.typmod === undefined ? 'bit' : '"bit"') + suffix;
      case 'time': case 'timetz': case 'timestamp': case 'timestamptz': {
        const space = sql.indexOf(' ');
        return sql.slice(0, space) + modifier() + sql.slice(space) + suffix;
      }
      default:
        return sql + modifier() + suffix;
    }
  }
  const qualify = options.forceQualify ? type.typnamespace !== PG_CATALOG_NAMESPACE : !isTypeVisible(type, catalog, context.session.searchPathOids);
  const schema = qualify ? catalog.namespace(type.typnamespace)?.nspname : undefined;
  return quoteQualified(schema, type.typname) + modifier() + suffix;
}

const MULTIWORD: Readonly<Record<string, string>> = {
  'double precision': 'float8', 'character varying': 'varchar', 'char varying': 'varchar', 'national character varying': 'varchar', 'national character': 'bpchar', 'national char': 'bpchar',
  character: 'bpchar', char: 'bpchar', nchar: 'bpchar', integer: 'int4', int: 'int4', smallint: 'int2', bigint: 'int8', real: 'float4', boolean: 'bool', decimal: 'numeric', dec: 'numeric',
  'bit varying': 'varbit', 'timestamp without time zone': 'timestamp', 'timestamp with time zone': 'timestamptz',
  'time without time zone': 'time', 'time with time zone': 'timetz', float: 'float8',
};

/** parseTypeString: name, modifiers, array brackets. Undefined when there is no such type. */
export function parseTypeName(text: string, context: Pick<EvalContext, 'catalog' | 'session'>): { oid: number; typmod: number } | undefined {
  const { catalog, session } = context;
  let rest = text.trim();
  let arrays = false;
  for (let match = /\s*\[\s*\d*\s*\]$/.exec(rest) ?? /\s+array$/i.exec(rest); match; match = /\s*\[\s*\d*\s*\]$/.exec(rest)) {
    arrays = true;
    rest = rest.slice(0, match.index);
  }
  let modifiers: string[] = [];
  const parenthesis = /\(\s*([^()]*)\)/.exec(rest);
  if (parenthesis && !rest.slice(0, parenthesis.index).endsWith('"(')) {
    modifiers = parenthesis[1]!.split(',').map((item) => item.trim());
    rest = (rest.slice(0, parenthesis.index) + rest.slice(parenthesis.index + parenthesis[0].length)).trim();
  }
  const words = rest.toLowerCase().replace(/\s+/g, ' ');
  let type: PgType | undefined;
  if (words in MULTIWORD) {
    let name = MULTIWORD[words]!;
    if (words === 'float' && modifiers.length === 1) {
      name = Number(modifiers[0]) <= 24 ? 'float4' : 'float8';
      modifiers = [];
    }
    if (name === 'bpchar' && modifiers.length === 0) modifiers = ['1'];
    type = catalog.typeNamed(PG_CATALOG_NAMESPACE, name);
  } else if (/^interval( |$)/.test(words)) {
    type = catalog.typeNamed(PG_CATALOG_NAMESPACE, 'interval');
  } else {
    let names: string[];
    try {
      names = splitQualifiedName(rest);
    } catch {
      throw new DatabaseError('42601', `syntax error at or near "${rest}"`, { where: `invalid type name "${text}"` });
    }
    if (names.length > 3) throw new DatabaseError('42601', `improper qualified name (too many dotted names): ${names.join('.')}`);
    const name = names[names.length - 1]!;
    if (names.length > 1) {
      const namespace = catalog.namespaceNamed(names[names.length - 2]!);
      if (!namespace) throw new DatabaseError('3F000', `schema "${names[names.length - 2]!}" does not exist`);
      type = catalog.typeNamed(namespace.oid, name);
    } else {
      for (const namespace of session.searchPathOids) {
        type = catalog.typeNamed(namespace, name);
        if (type) break;
      }
    }
  }
  if (!type) return undefined;
  let typmod = -1;
  if (modifiers.length > 0) {
    const dataType = catalog.dataType(type.oid);
    if (!dataType.typmodIn) throw new DatabaseError('42601', `type modifier is not allowed for type "${type.typname}"`);
    typmod = dataType.typmodIn(modifiers);
  }
  if (arrays) {
    if (type.typarray === 0) return undefined;
    return { oid: type.typarray, typmod };
  }
  return { oid: type.oid, typmod };
}
