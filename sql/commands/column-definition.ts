/** A column definition and its constraints, taken apart as parse_utilcmd.c does. */
import type { ColumnDef, Constraint, DefElem, Node, TypeName } from '@pgsql/types';
import { DatabaseError } from '../../engine/errors.js';
import { formatType, resolveTypeName, splitQualifiedName } from '../analyzer/names.js';
import { positionOf, type CommandContext } from './command.js';
import { nameEnvironment, nameList } from './names.js';
import type { NewColumn } from './relation-rows.js';

export interface ColumnPlan {
  readonly column: NewColumn;
  readonly definition: ColumnDef;
  readonly serial: 'int2' | 'int4' | 'int8' | null;
  readonly identity: { readonly when: 'a' | 'd'; readonly options: readonly DefElem[] } | null;
  readonly default: Node | null;
  readonly generated: Node | null;
}

/** A constraint of the table, wherever it was written. */
export interface ConstraintPlan {
  readonly node: Constraint;
  /** The column that it was written at. */
  readonly column: string | null;
}

const SERIAL_TYPES: Readonly<Record<string, 'int2' | 'int4' | 'int8'>> = {
  smallserial: 'int2', serial2: 'int2', serial: 'int4', serial4: 'int4', bigserial: 'int8', serial8: 'int8',
};

export function constraintOf(node: Node): Constraint {
  return (node as { Constraint: Constraint }).Constraint;
}

/** Collation of a column: as written, else its type's. */
export function columnCollation(context: CommandContext, definition: ColumnDef, typeCollation: number, typeOid: number): number {
  const written = definition.collClause?.collname;
  if (!written || written.length === 0) return typeCollation;
  if (typeCollation === 0) {
    throw new DatabaseError('42804', `collations are not supported by type ${formatType(context.catalog, typeOid)}`, { position: positionOf(context, definition.collClause?.location) });
  }
  return findCollation(context, nameList(written as Node[]), definition.collClause?.location);
}

export function findCollation(context: CommandContext, names: readonly string[], location?: number): number {
  const { schema, name } = splitQualifiedName(nameEnvironment(context), names, location);
  const namespaces = schema === null ? context.eval.session.searchPathOids : [context.catalog.namespaceNamed(schema)?.oid ?? 0];
  for (const namespace of namespaces) {
    const collation = context.catalog.collationNamed(namespace, name);
    if (collation) return collation.oid;
  }
  throw new DatabaseError('42704', `collation "${names.join('.')}" for encoding "UTF8" does not exist`, { position: positionOf(context, location) });
}

/** Resolves one column; constraints that belong to the table are appended to `constraints`. */
export function planColumn(context: CommandContext, tableName: string, definition: ColumnDef, constraints: ConstraintPlan[]): ColumnPlan {
  const name = definition.colname ?? '';
  const typeName = definition.typeName as TypeName;
  const written = nameList(typeName.names as Node[]);
  const serial = written.length === 1 ? (SERIAL_TYPES[written[0]!] ?? null) : null;
  if (serial && typeName.arrayBounds?.length) throw new DatabaseError('0A000', 'array of serial is not implemented', { position: positionOf(context, typeName.location) });
  const resolved = resolveTypeName(nameEnvironment(context), serial ? { names: [{ String: { sval: 'pg_catalog' } }, { String: { sval: serial } }], typemod: -1 } : typeName);
  const position = (location: number | undefined): { position?: number } => ({ position: positionOf(context, location) });

  let notNull = serial !== null;
  let nullWritten = false;
  let notNullWritten = false;
  let defaultNode: Node | null = null;
  let generated: Node | null = null;
  let identity: ColumnPlan['identity'] = null;
  let last: Constraint | null = null;
  for (const item of definition.constraints ?? []) {
    const constraint = constraintOf(item);
    switch (constraint.contype) {
      case 'CONSTR_NULL':
        if (notNullWritten || serial) throw new DatabaseError('42601', `conflicting NULL/NOT NULL declarations for column "${name}" of table "${tableName}"`, position(constraint.location));
        nullWritten = true;
        break;
      case 'CONSTR_NOTNULL':
        if (nullWritten) throw new DatabaseError('42601', `conflicting NULL/NOT NULL declarations for column "${name}" of table "${tableName}"`, position(constraint.location));
        notNull = notNullWritten = true;
        break;
      case 'CONSTR_DEFAULT':
        if (defaultNode || serial) throw new DatabaseError('42601', `multiple default values specified for column "${name}" of table "${tableName}"`, serial ? {} : position(constraint.location));
        defaultNode = constraint.raw_expr ?? null;
        break;
      case 'CONSTR_IDENTITY':
        if (identity) throw new DatabaseError('42601', `multiple identity specifications for column "${name}" of table "${tableName}"`, position(constraint.location));
        identity = { when: constraint.generated_when === 'a' ? 'a' : 'd', options: (constraint.options ?? []).map((option) => (option as { DefElem: DefElem }).DefElem) };
        notNull = true;
        break;
      case 'CONSTR_GENERATED':
        if (generated) throw new DatabaseError('42601', `multiple generation clauses specified for column "${name}" of table "${tableName}"`, position(constraint.location));
        generated = constraint.raw_expr ?? null;
        break;
      case 'CONSTR_CHECK': case 'CONSTR_PRIMARY': case 'CONSTR_UNIQUE':
        last = { ...constraint };
        constraints.push({ node: last, column: name });
        break;
      case 'CONSTR_FOREIGN':
        last = { ...constraint, fk_attrs: [{ String: { sval: name } }] };
        constraints.push({ node: last, column: name });
        break;
      case 'CONSTR_ATTR_DEFERRABLE': if (last) last.deferrable = true; break;
      case 'CONSTR_ATTR_NOT_DEFERRABLE': if (last) last.deferrable = false; break;
      case 'CONSTR_ATTR_DEFERRED': if (last) { last.initdeferred = true; last.deferrable = true; } break;
      case 'CONSTR_ATTR_IMMEDIATE': if (last) last.initdeferred = false; break;
      default: throw new DatabaseError('0A000', `constraint ${String(constraint.contype)} is not supported here`, position(constraint.location));
    }
  }
  if (definition.raw_default) defaultNode = definition.raw_default;
  if (defaultNode && identity) throw new DatabaseError('42601', `both default and identity specified for column "${name}" of table "${tableName}"`);
  if (defaultNode && generated) throw new DatabaseError('42601', `both default and generation expression specified for column "${name}" of table "${tableName}"`);
  if (identity && generated) throw new DatabaseError('42601', `both identity and generation expression specified for column "${name}" of table "${tableName}"`);
  if (identity && ![20, 21, 23].includes(resolved.type.oid)) throw new DatabaseError('22023', 'identity column type must be smallint, integer, or bigint');
  const column: NewColumn = {
    name, type: resolved.type.oid, typmod: resolved.typmod, notNull, ndims: typeName.arrayBounds?.length ?? 0,
    collation: columnCollation(context, definition, resolved.type.typcollation, resolved.type.oid),
    identity: identity?.when ?? '', generated: generated ? 's' : '',
  };
  return { column, definition, serial, identity, default: defaultNode, generated };
}
