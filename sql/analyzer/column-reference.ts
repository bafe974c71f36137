/**
 * Names in expressions: columns, qualified columns, whole rows, fields of composites. After
 * transformColumnRef (parse_expr.c) and parse_relation.c.
 */
import type { ColumnRef } from '@pgsql/types';
import type { DatabaseError } from '../../engine/errors.js';
import { TypeOid as T } from '../catalog/type-oids.js';
import type { Oid } from '../catalog/catalog.js';
import { baseType } from './coerce.js';
import { functionResultColumns } from './function-call.js';
import { base, makeVar, typeCollation } from './make-nodes.js';
import { stringOf, temporaryNamespaceName } from './names.js';
import type { NamespaceColumn, NamespaceItem, ParseState } from './parse-state.js';
import type { ColumnInfo, Expr, FuncExpr, RangeTableEntry, Var } from './query-tree.js';

/** System columns of tables: attribute number and type. */
export const SYSTEM_COLUMNS: Readonly<Record<string, { attno: number; type: Oid }>> = {
  ctid: { attno: -1, type: T.tid },
  xmin: { attno: -2, type: T.xid },
  cmin: { attno: -3, type: T.cid },
  xmax: { attno: -4, type: T.xid },
  cmax: { attno: -5, type: T.cid },
  tableoid: { attno: -6, type: T.oid },
};

export function transformColumnRef(state: ParseState, ref: ColumnRef): Expr {
  const location = ref.location ?? -1;
  const fields = ref.fields ?? [];
  const last = fields[fields.length - 1];
  if ('A_Star' in last) return wholeRowFromStar(state, fields.slice(0, -1).map(stringOf), location);
  const names = fields.map(stringOf);
  checkColumnReferenceAllowed(state, location);

  if (names.length === 1) {
    const found = columnByName(state, names[0], location);
    if (found) return found;
    if (names[0] === 'value' && state.domainValue) return { ...state.domainValue, location };
    const item = findItem(state, null, names[0], location);
    if (item) return wholeRow(state, item.item, item.levelsUp, location);
    throw missingColumn(state, null, names[0], location);
  }
  if (names.length <= 4) {
    const column = names[names.length - 1];
    const relation = names[names.length - 2];
    const schema = names.length >= 3 ? names[names.length - 3] : null;
    if (names.length === 4 && names[0] !== state.env.context.session.databaseName)
      throw state.error('0A000', `cross-database references are not implemented: ${names.join('.')}`, location);
    const found = findItem(state, schema, relation, location);
    if (found) {
      const expr = columnOfItem(state, found.item, column, found.levelsUp, location);
      if (expr) return expr;
      const field = fieldOfWholeRow(state, found, column, location);
      if (field) return field;
      throw missingColumn(state, relation, column, location);
    }
    throw missingRelation(state, schema, relation, location);
  }
  throw state.error('42601', `improper qualified name (too many dotted names): ${names.join('.')}`, location);
}

function checkColumnReferenceAllowed(state: ParseState, location: number): void {
  if (state.exprKind === 'column default') throw state.error('0A000', 'cannot use column reference in DEFAULT expression', location);
}

/** t.* inside an expression, e.g. count(t.*): the whole row. */
function wholeRowFromStar(state: ParseState, names: string[], location: number): Expr {
  const relation = names[names.length - 1];
  const schema = names.length >= 2 ? names[names.length - 2] : null;
  const found = relation === undefined ? undefined : findItem(state, schema, relation, location);
  if (!found) throw missingRelation(state, schema, relation ?? '*', location);
  return wholeRow(state, found.item, found.levelsUp, location);
}

/** Unqualified column: innermost level that has it; ambiguous within a level is an error. */
export function columnByName(state: ParseState, name: string, location: number): Expr | undefined {
  let levelsUp = 0;
  for (let level: ParseState | null = state; level; level = level.parent, levelsUp++) {
    let result: Expr | undefined;
    for (const item of level.namespace) {
      if (!item.columnsVisible) continue;
      if (item.lateralOnly && !level.lateralActive) continue;
      const column = columnOfItem(level, item, name, levelsUp, location, state);
      if (!column) continue;
      if (result) throw state.error('42702', `column reference "${name}" is ambiguous`, location);
      checkLateral(state, item, level, name, location);
      result = column;
    }
    if (result) return result;
  }
  return undefined;
}

function checkLateral(state: ParseState, item: NamespaceItem, _level: ParseState, _name: string, location: number): void {
  if (item.lateralOnly && !item.lateralOk) {
    throw state.error('42P10', `invalid reference to FROM-clause entry for table "${item.name}"`, location, {
      detail: 'The combining JOIN type must be INNER or LEFT for a LATERAL reference.',
    });
  }
}

export interface FoundItem { readonly item: NamespaceItem; readonly levelsUp: number; readonly level: ParseState }

/** Range table entry visible under a name, nearest level first. */
export function findItem(state: ParseState, schema: string | null, name: string, location: number): FoundItem | undefined {
  let wanted: Oid | null = null;
  if (schema !== null) {
    const resolved = schema === 'pg_temp' ? temporaryNamespaceName(state.env.context.session.pid) : schema;
    const namespace = state.catalog.namespaceNamed(resolved);
    const relation = namespace && state.catalog.relationNamed(namespace.oid, name);
    if (!relation) return undefined;
    wanted = relation.oid;
  }
  let levelsUp = 0;
  for (let level: ParseState | null = state; level; level = level.parent, levelsUp++) {
    let found: NamespaceItem | undefined;
    for (const item of level.namespace) {
      if (!item.relationVisible) continue;
      if (item.lateralOnly && !level.lateralActive) continue;
      if (wanted !== null ? item.relationOid !== wanted : item.name !== name) continue;
      if (found) throw state.error('42P09', `table reference "${name}" is ambiguous`, location);
      checkLateral(state, item, level, name, location);
      found = item;
    }
    if (found) return { item: found, levelsUp, level };
  }
  return undefined;
}

/** A column of a namespace item as an expression seen from `levelsUp` levels below. */
export function columnOfItem(level: ParseState, item: NamespaceItem, name: string, levelsUp: number, location: number, from: ParseState = level): Expr | undefined {
  let match: NamespaceColumn | undefined;
  for (const column of item.columns) {
    if (column.name !== name || name === '') continue;
    if (match) throw from.error('42702', `column reference "${name}" is ambiguous`, location);
    match = column;
  }
  if (match) {
    notePermission(from, level, match.expr);
    return shiftLevels(withLocation(match.expr, location), levelsUp);
  }
  const system = SYSTEM_COLUMNS[name];
  const entry = item.rtindex > 0 ? level.rangeTable[item.rtindex - 1] : undefined;
  if (system && entry?.kind === 'relation' && entry.relkind !== 'v') {
    from.permission(entry.relation, 'select', system.attno);
    return { kind: 'Var', varno: item.rtindex, attno: system.attno, levelsUp, ...base(system.type, -1, 0, location) };
  }
  return undefined;
}

function notePermission(state: ParseState, level: ParseState, expr: Expr): void {
  if (expr.kind !== 'Var') {
    if (expr.kind === 'CoalesceExpr') expr.args.forEach((arg) => notePermission(state, level, arg));
    else if (expr.kind === 'RelabelType' || expr.kind === 'CoerceViaIO') notePermission(state, level, expr.arg);
    else if (expr.kind === 'FuncExpr') expr.args.forEach((arg) => notePermission(state, level, arg));
    return;
  }
  const entry = level.rangeTable[expr.varno - 1];
  if (entry?.kind === 'relation') state.permission(entry.relation, 'select', expr.attno);
}

function withLocation(expr: Expr, location: number): Expr {
  return { ...expr, location };
}

/** An expression over Vars of an outer level as seen `levelsUp` levels further in. */
export function shiftLevels(expr: Expr, levelsUp: number): Expr {
  if (levelsUp === 0) return expr;
  switch (expr.kind) {
    case 'Var':
      return { ...expr, levelsUp: expr.levelsUp + levelsUp };
    case 'CoalesceExpr':
      return { ...expr, args: expr.args.map((arg) => shiftLevels(arg, levelsUp)) };
    case 'RowExpr':
      return { ...expr, args: expr.args.map((arg) => shiftLevels(arg, levelsUp)) };
    case 'FuncExpr':
      return { ...expr, args: expr.args.map((arg) => shiftLevels(arg, levelsUp)) };
    case 'RelabelType': case 'CoerceViaIO': case 'CoerceToDomain': case 'ArrayCoerceExpr':
      return { ...expr, arg: shiftLevels(expr.arg, levelsUp) };
    default:
      return expr;
  }
}

/** makeWholeRowVar */
export function wholeRow(state: ParseState, item: NamespaceItem, levelsUp: number, location: number): Expr {
  let level = state;
  for (let i = 0; i < levelsUp && level.parent; i++) level = level.parent;
  if (item.rtindex === 0 || level.rangeTable[item.rtindex - 1].kind === 'join') {
    item.columns.forEach((column) => notePermission(state, level, column.expr));
    const args = item.columns.map((column) => shiftLevels(column.expr, levelsUp));
    return { kind: 'RowExpr', args, fieldNames: item.columns.map((c) => c.name), form: 'implicit cast', ...base(T.record, -1, 0, location) };
  }
  const entry = level.rangeTable[item.rtindex - 1];
  if (entry.kind === 'relation') {
    const relation = state.catalog.relation(entry.relation);
    relation?.attributes.forEach((a) => a.attisdropped || state.permission(entry.relation, 'select', a.attnum));
    return { kind: 'Var', varno: item.rtindex, attno: 0, levelsUp, ...base(relation?.reltype || T.record, -1, 0, location) };
  }
  if (entry.kind === 'subquery' && entry.view) {
    const relation = state.catalog.relation(entry.view);
    return { kind: 'Var', varno: item.rtindex, attno: 0, levelsUp, ...base(relation?.reltype || T.record, -1, 0, location) };
  }
  if (entry.kind === 'function' && entry.functions.length === 1 && !entry.ordinality) {
    const call = entry.functions[0] as FuncExpr;
    const resolved = state.catalog.type(baseType(state.catalog, call.type));
    if (resolved?.typtype === 'c') return { kind: 'Var', varno: item.rtindex, attno: 0, levelsUp, ...base(resolved.oid, -1, 0, location) };
    if (call.type !== T.record && entry.columns.length === 1) return { ...makeVar(item.rtindex, entry, 1, levelsUp, location) };
  }
  return { kind: 'Var', varno: item.rtindex, attno: 0, levelsUp, ...base(T.record, -1, 0, location) };
}

function fieldOfWholeRow(state: ParseState, found: FoundItem, name: string, location: number): Expr | undefined {
  const entry = found.item.rtindex > 0 ? found.level.rangeTable[found.item.rtindex - 1] : undefined;
  if (entry?.kind !== 'function') return undefined;
  return fieldSelection(state, wholeRow(state, found.item, found.levelsUp, location), name, location);
}

/** (expr).name: null where the expression is no composite with that field. */
export function fieldSelection(state: ParseState, arg: Expr, name: string, location: number): Expr | undefined {
  const { catalog } = state;
  // a whole-row Var of this query: its column directly
  if (arg.kind === 'Var' && arg.attno === 0) {
    let level: ParseState | null = state;
    for (let i = 0; i < arg.levelsUp && level; i++) level = level.parent;
    const entry = level?.rangeTable[arg.varno - 1];
    const position = entry ? entry.columns.findIndex((column) => column.name === name) : -1;
    if (entry && position >= 0) return makeVar(arg.varno, entry, position + 1, arg.levelsUp, location);
  }
  const columns = recordColumns(state, arg);
  if (columns) {
    const index = columns.findIndex((column) => column.name === name);
    if (index >= 0) {
      const column = columns[index];
      if (arg.kind === 'RowExpr') return arg.args[index];
      return { kind: 'FieldSelect', arg, fieldNumber: index + 1, ...base(column.type, column.typmod, column.collation, location) };
    }
  }
  const type = catalog.type(baseType(catalog, arg.type));
  if (type?.typtype !== 'c') return undefined;
  const attribute = catalog.relation(type.typrelid)?.attributes.find((a) => a.attname === name && !a.attisdropped);
  if (!attribute) return undefined;
  return { kind: 'FieldSelect', arg, fieldNumber: attribute.attnum, ...base(attribute.atttypid, attribute.atttypmod, attribute.attcollation, location) };
}

/** Columns of a composite expression where they can be known (expandRecordVariable). */
export function recordColumns(state: ParseState, expr: Expr): readonly ColumnInfo[] | undefined {
  const tables: (readonly RangeTableEntry[])[] = [];
  for (let level: ParseState | null = state; level; level = level.parent) tables.push(level.rangeTable);
  return columnsOfRecord(state, expr, tables);
}

/** `tables`: range tables of the expression's level and of those around it. */
function columnsOfRecord(state: ParseState, expr: Expr, tables: readonly (readonly RangeTableEntry[])[]): readonly ColumnInfo[] | undefined {
  const { catalog } = state;
  if (expr.type !== T.record) {
    const type = catalog.type(baseType(catalog, expr.type));
    if (type?.typtype !== 'c') return undefined;
    return catalog.relation(type.typrelid)?.attributes.map((a) => ({ name: a.attisdropped ? '' : a.attname, type: a.atttypid, typmod: a.atttypmod, collation: a.attcollation }));
  }
  if (expr.kind === 'RowExpr') return expr.args.map((arg, i) => ({ name: expr.fieldNames[i] ?? `f${i + 1}`, type: arg.type, typmod: arg.typmod, collation: arg.collation }));
  if (expr.kind === 'FuncExpr') return functionResultColumns(state, expr)?.map((column) => ({ name: column.name, type: column.type, typmod: -1, collation: typeCollation(catalog, column.type) }));
  if (expr.kind !== 'Var') return undefined;
  const entry = tables[expr.levelsUp]?.[expr.varno - 1];
  if (!entry) return undefined;
  if (expr.attno === 0) return entry.columns;
  if (entry.kind === 'subquery') {
    const target = entry.query.targetList.filter((t) => !t.junk)[expr.attno - 1];
    return target && columnsOfRecord(state, target.expr, [entry.query.rangeTable, ...tables.slice(expr.levelsUp)]);
  }
  if (entry.kind === 'join') return columnsOfRecord(state, entry.aliasVars[expr.attno - 1], tables.slice(expr.levelsUp));
  return undefined;
}

export function missingRelation(state: ParseState, schema: string | null, name: string, location: number): DatabaseError {
  // the table exists in the query, but not here
  const other = findHiddenEntry(state, name);
  if (other && schema === null) {
    return state.error('42P01', `invalid reference to FROM-clause entry for table "${name}"`, location, other.aliased
      ? { hint: `Perhaps you meant to reference the table alias "${other.alias}".` }
      : { detail: `There is an entry for table "${name}", but it cannot be referenced from this part of the query.`, ...(other.lateral ? { hint: 'To reference that table, you must mark this subquery with LATERAL.' } : {}) });
  }
  return state.error('42P01', `missing FROM-clause entry for table "${schema === null ? name : `${schema}.${name}`}"`, location);
}

function findHiddenEntry(state: ParseState, name: string): { aliased: boolean; alias: string; lateral: boolean } | undefined {
  for (let level: ParseState | null = state; level; level = level.parent) {
    for (const entry of level.rangeTable) {
      if (entry.name === name) return { aliased: false, alias: name, lateral: level !== state };
      if (entry.kind === 'relation' && entry.aliased && state.catalog.relation(entry.relation)?.relname === name) return { aliased: true, alias: entry.name, lateral: false };
    }
  }
  return undefined;
}

export function missingColumn(state: ParseState, relation: string | null, name: string, location: number): DatabaseError {
  const shown = relation === null ? `"${name}"` : `${relation}.${name}`;
  const message = `column ${shown} does not exist`;
  for (let level: ParseState | null = state; level; level = level.parent) {
    for (const entry of level.rangeTable) {
      if (relation !== null) continue;
      if (entry.kind === 'join' || !entry.columns.some((c) => c.name === name)) continue;
      return state.error('42703', message, location, {
        detail: `There is a column named "${name}" in table "${entry.name}", but it cannot be referenced from this part of the query.`,
      });
    }
  }
  const guess = closestColumns(state, relation, name);
  if (guess.length === 1) return state.error('42703', message, location, { hint: `Perhaps you meant to reference the column "${guess[0]}".` });
  if (guess.length === 2) return state.error('42703', message, location, { hint: `Perhaps you meant to reference the column "${guess[0]}" or the column "${guess[1]}".` });
  return state.error('42703', message, location);
}

/** Columns with the smallest edit distance, at most half the name's length (searchRangeTableForCol). */
function closestColumns(state: ParseState, relation: string | null, name: string): string[] {
  const limit = Math.floor(name.length / 2) + 1;
  let best = limit;
  let matches: string[] = [];
  for (let level: ParseState | null = state; level; level = level.parent) {
    for (const entry of level.rangeTable) {
      if (entry.kind === 'join') continue;
      const penalty = relation === null ? 0 : editDistance(relation, entry.name);
      for (const column of entry.columns) {
        if (column.name === '') continue;
        const distance = penalty + editDistance(name, column.name);
        if (distance > 3 || distance > limit - 1) continue;
        if (distance < best) {
          best = distance;
          matches = [`${entry.name}.${column.name}`];
        } else if (distance === best) matches.push(`${entry.name}.${column.name}`);
      }
    }
  }
  return matches.length > 2 ? [] : matches;
}

function editDistance(left: string, right: string): number {
  let previous = Array.from({ length: right.length + 1 }, (_, i) => i);
  for (let i = 1; i <= left.length; i++) {
    const row = [i];
    for (let j = 1; j <= right.length; j++)
      row[j] = Math.min(row[j - 1] + 1, previous[j] + 1, previous[j - 1] + (left[i - 1] === right[j - 1] ? 0 : 1));
    previous = row;
  }
  return previous[right.length];
}

/** The plain column a target-list expression is, for RowDescription; follows subqueries down to a table. */
export function columnOrigin(state: ParseState | null, rangeTable: readonly RangeTableEntry[], expr: Expr): { table: Oid; column: number } {
  if (expr.kind !== 'Var' || expr.attno < 0) return { table: 0, column: 0 };
  let table = rangeTable;
  if (expr.levelsUp > 0) {
    let level: ParseState | null = state;
    for (let i = 0; i < expr.levelsUp && level; i++) level = level.parent;
    if (!level) return { table: 0, column: 0 };
    table = level.rangeTable;
  }
  return originOfVar(table, expr);
}

function originOfVar(rangeTable: readonly RangeTableEntry[], expr: Var): { table: Oid; column: number } {
  const entry = rangeTable[expr.varno - 1];
  if (!entry || expr.attno <= 0) return { table: 0, column: 0 };
  if (entry.kind === 'relation') return { table: entry.relation, column: expr.attno };
  if (entry.kind === 'subquery') {
    if (entry.view) return { table: entry.view, column: expr.attno };
    const target = entry.query.targetList.find((t) => t.resno === expr.attno && !t.junk);
    return target ? { table: target.originTable, column: target.originColumn } : { table: 0, column: 0 };
  }
  return { table: 0, column: 0 };
}
