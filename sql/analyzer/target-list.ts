/** Target lists: expanding *, naming columns, assignment of INSERT and UPDATE values. After parse_target.c. */
import type { ColumnRef, Node, ResTarget } from '@pgsql/types';
import { TypeOid as T } from '../catalog/type-oids.js';
import type { Attribute, Relation } from '../catalog/catalog.js';
import { baseType, coerceToTargetType, elementType, resolveUnknown } from './coerce.js';
import { columnOrigin, fieldSelection, findItem, missingRelation, recordColumns, shiftLevels } from './column-reference.js';
import { locationOf, missingField, subscript, transformExpression } from './expression.js';
import { base, makeTargetEntry } from './make-nodes.js';
import { formatType, namesOf, stringOf } from './names.js';
import type { NamespaceItem, ParseState } from './parse-state.js';
import type { Expr, TargetEntry } from './query-tree.js';

/** SELECT's and RETURNING's list. Unknown literals become text unless `keepUnknown`. */
export function transformTargetList(state: ParseState, nodes: readonly Node[] | undefined, kind: ParseState['exprKind']): TargetEntry[] {
  const out: TargetEntry[] = [];
  for (const node of nodes ?? []) {
    const target = (node as { ResTarget: ResTarget }).ResTarget;
    const value = target.val as Node & { ColumnRef?: ColumnRef; A_Indirection?: { arg?: Node; indirection?: Node[] } };
    const fields = value.ColumnRef?.fields;
    if (fields && 'A_Star' in fields[fields.length - 1]) {
      expandStar(state, value.ColumnRef!, out);
      continue;
    }
    const steps = value.A_Indirection?.indirection;
    if (steps && 'A_Star' in steps[steps.length - 1]) {
      expandComposite(state, value.A_Indirection!, out, kind);
      continue;
    }
    const expr = state.withKind(kind, () => transformExpression(state, value));
    push(state, out, expr, target.name ?? columnName(value));
  }
  return out;
}

function push(state: ParseState, out: TargetEntry[], expr: Expr, name: string): void {
  const origin = columnOrigin(state, state.rangeTable, expr);
  out.push({ expr, resno: out.length + 1, name, sortGroupRef: 0, originTable: origin.table, originColumn: origin.column, junk: false });
}

function expandStar(state: ParseState, ref: ColumnRef, out: TargetEntry[]): void {
  const fields = ref.fields ?? [];
  const location = ref.location ?? -1;
  if (fields.length === 1) {
    let any = false;
    for (const item of state.namespace) {
      if (!item.columnsVisible || (item.lateralOnly && !state.lateralActive)) continue;
      any = true;
      expandItem(state, item, 0, out, location);
    }
    if (!any) throw state.error('42601', 'SELECT * with no tables specified is not valid', location);
    return;
  }
  const names = fields.slice(0, -1).map(stringOf);
  const relation = names[names.length - 1];
  const schema = names.length >= 2 ? names[names.length - 2] : null;
  const found = findItem(state, schema, relation, location);
  if (!found) throw missingRelation(state, schema, relation, location);
  expandItem(state, found.item, found.levelsUp, out, location);
}

function expandItem(state: ParseState, item: NamespaceItem, levelsUp: number, out: TargetEntry[], location: number): void {
  for (const column of item.columns) {
    if (column.name === '') continue;
    const expr = { ...shiftLevels(column.expr, levelsUp), location };
    noteSelect(state, expr);
    push(state, out, expr, column.name);
  }
}

function noteSelect(state: ParseState, expr: Expr): void {
  if (expr.kind === 'CoalesceExpr') return expr.args.forEach((arg) => noteSelect(state, arg));
  if (expr.kind !== 'Var') return;
  let level: ParseState | null = state;
  for (let i = 0; i < expr.levelsUp && level; i++) level = level.parent;
  const entry = level?.rangeTable[expr.varno - 1];
  if (entry?.kind === 'relation') state.permission(entry.relation, 'select', expr.attno);
}

/** (composite).* */
function expandComposite(state: ParseState, indirection: { arg?: Node; indirection?: Node[] }, out: TargetEntry[], kind: ParseState['exprKind']): void {
  const steps = (indirection.indirection ?? []).slice(0, -1);
  const node = steps.length > 0 ? ({ A_Indirection: { arg: indirection.arg, indirection: steps } } as Node) : (indirection.arg as Node);
  const expr = state.withKind(kind, () => transformExpression(state, node));
  const columns = recordColumns(state, expr);
  if (!columns) {
    if (expr.type === T.record) throw state.error('42601', 'record type has not been registered', locationOf(node));
    throw state.error('42809', `type ${formatType(state.catalog, expr.type)} is not composite`, locationOf(node));
  }
  columns.forEach((column, index) => {
    if (column.name === '') return;
    const field = fieldSelection(state, expr, column.name, locationOf(node)) ?? { kind: 'FieldSelect' as const, arg: expr, fieldNumber: index + 1, ...base(column.type, column.typmod, column.collation) };
    push(state, out, field, column.name);
  });
}

export function resolveTargetUnknowns(state: ParseState, list: readonly TargetEntry[]): TargetEntry[] {
  return list.map((target) => (target.expr.type === T.unknown ? { ...target, expr: resolveUnknown(state, target.expr) } : target));
}

/** FigureColname: the name an unnamed output column gets. */
export function columnName(node: Node): string {
  return figure(node).name ?? '?column?';
}

function figure(node: Node): { name: string | null; strength: number } {
  const n = node as Record<string, never> & {
    ColumnRef?: { fields?: Node[] }; A_Indirection?: { arg?: Node; indirection?: Node[] }; FuncCall?: { funcname?: Node[] };
    A_Expr?: { kind?: string }; TypeCast?: { arg?: Node; typeName?: { names?: Node[] } }; CollateClause?: { arg?: Node };
    SubLink?: { subLinkType?: string; subselect?: Node }; CaseExpr?: { defresult?: Node }; SQLValueFunction?: { op?: string };
    MinMaxExpr?: { op?: string };
  };
  const strong = (name: string): { name: string; strength: number } => ({ name, strength: 2 });
  if (n.ColumnRef) {
    const names = (n.ColumnRef.fields ?? []).filter((f) => 'String' in f).map(stringOf);
    return names.length ? strong(names[names.length - 1]) : { name: null, strength: 0 };
  }
  if (n.A_Indirection) {
    const names = (n.A_Indirection.indirection ?? []).filter((f) => 'String' in f).map(stringOf);
    return names.length ? strong(names[names.length - 1]) : figure(n.A_Indirection.arg as Node);
  }
  if (n.FuncCall) {
    const names = namesOf(n.FuncCall.funcname);
    return strong(names[names.length - 1]);
  }
  if (n.A_Expr) return n.A_Expr.kind === 'AEXPR_NULLIF' ? strong('nullif') : { name: null, strength: 0 };
  if (n.TypeCast) {
    const inner = figure(n.TypeCast.arg as Node);
    if (inner.strength > 1) return inner;
    const names = namesOf(n.TypeCast.typeName?.names);
    return names.length ? { name: names[names.length - 1], strength: 1 } : inner;
  }
  if (n.CollateClause) return figure(n.CollateClause.arg as Node);
  if (n.SubLink) {
    if (n.SubLink.subLinkType === 'EXISTS_SUBLINK') return strong('exists');
    if (n.SubLink.subLinkType === 'ARRAY_SUBLINK') return strong('array');
    if (n.SubLink.subLinkType === 'EXPR_SUBLINK') {
      const select = leftmostSelect(n.SubLink.subselect as Node);
      const first = select?.targetList?.[0] as { ResTarget?: ResTarget } | undefined;
      if (first?.ResTarget) {
        if (first.ResTarget.name) return strong(first.ResTarget.name);
        return figure(first.ResTarget.val as Node);
      }
    }
    return { name: null, strength: 0 };
  }
  if (n.CaseExpr) {
    const inner = n.CaseExpr.defresult ? figure(n.CaseExpr.defresult) : { name: null, strength: 0 };
    return inner.strength <= 1 ? { name: 'case', strength: 1 } : inner;
  }
  if ('A_ArrayExpr' in node) return strong('array');
  if ('RowExpr' in node) return strong('row');
  if ('CoalesceExpr' in node) return strong('coalesce');
  if (n.MinMaxExpr) return strong(n.MinMaxExpr.op === 'IS_LEAST' ? 'least' : 'greatest');
  if ('GroupingFunc' in node) return strong('grouping');
  if (n.SQLValueFunction) return strong((n.SQLValueFunction.op ?? '').replace(/^SVFOP_/, '').replace(/_N$/, '').toLowerCase());
  return { name: null, strength: 0 };
}

function leftmostSelect(node: Node): { targetList?: Node[] } | undefined {
  let select = (node as { SelectStmt?: { targetList?: Node[]; larg?: unknown } }).SelectStmt;
  while (select?.larg) select = select.larg as typeof select;
  return select;
}

/** Target columns of an INSERT or COPY list; all live ones without a list. */
export function insertTargetColumns(state: ParseState, relation: Relation, nodes: readonly Node[] | undefined): { attribute: Attribute; target: ResTarget | null; location: number }[] {
  if (!nodes || nodes.length === 0) {
    return relation.attributes.filter((a) => !a.attisdropped).map((attribute) => ({ attribute, target: null, location: -1 }));
  }
  const out: { attribute: Attribute; target: ResTarget | null; location: number }[] = [];
  for (const node of nodes) {
    const target = (node as { ResTarget: ResTarget }).ResTarget;
    const name = target.name ?? '';
    const location = target.location ?? -1;
    const attribute = relation.attributes.find((a) => a.attname === name && !a.attisdropped);
    if (!attribute) throw state.error('42703', `column "${name}" of relation "${relation.relname}" does not exist`, location);
    if (!target.indirection && out.some((other) => other.attribute === attribute)) throw state.error('42701', `column "${name}" specified more than once`, location);
    out.push({ attribute, target: target.indirection ? target : null, location });
  }
  return out;
}

/** transformAssignedExpr: coerces a value to a target column, through subscripts and fields where given. */
export function assignToColumn(state: ParseState, expr: Expr, relation: Relation, attribute: Attribute, indirection: readonly Node[] | undefined, location: number, current: Expr | null): Expr {
  if (expr.kind === 'SetToDefault') {
    if (indirection?.length) {
      throw state.error('0A000', `A_Indices` in indirection[0] ? 'cannot set an array element to DEFAULT' : 'cannot set a subfield to DEFAULT', location);
    }
    return { ...expr, type: attribute.atttypid, typmod: attribute.atttypmod, collation: attribute.attcollation };
  }
  if (indirection && indirection.length > 0) {
    const container: Expr = current ?? { kind: 'Const', value: null, ...base(attribute.atttypid, attribute.atttypmod, attribute.attcollation) };
    return assignIndirection(state, container, attribute.attname, attribute.atttypid, attribute.atttypmod, indirection, 0, expr, location);
  }
  const coerced = coerceToTargetType(state, expr, attribute.atttypid, attribute.atttypmod, 'assignment', 'implicit cast', -1);
  if (!coerced) {
    throw state.error('42804', `column "${attribute.attname}" is of type ${formatType(state.catalog, attribute.atttypid)} but expression is of type ${formatType(state.catalog, expr.type)}`, expr.location, {
      hint: 'You will need to rewrite or cast the expression.',
    });
  }
  return coerced;
}

function assignIndirection(state: ParseState, container: Expr, name: string, type: number, typmod: number, steps: readonly Node[], from: number, value: Expr, location: number): Expr {
  const { catalog } = state;
  if (from === steps.length) {
    const coerced = coerceToTargetType(state, value, type, typmod, 'assignment', 'implicit cast', -1);
    if (!coerced) {
      throw state.error('42804', `subfield "${name}" is of type ${formatType(catalog, type)} but expression is of type ${formatType(catalog, value.type)}`, value.location, { hint: 'You will need to rewrite or cast the expression.' });
    }
    return coerced;
  }
  let end = from;
  while (end < steps.length && 'A_Indices' in steps[end]) end++;
  if (end > from) {
    const subscripts = steps.slice(from, end);
    if (end === steps.length) return subscript(state, container, subscripts, value, typmod);
    const read = subscript(state, container, subscripts, null);
    const inner = assignIndirection(state, read, name, read.type, read.typmod, steps, end, value, location);
    return subscript(state, container, subscripts, inner, typmod);
  }
  const field = stringOf(steps[from]);
  const resolved = baseType(catalog, type);
  const row = catalog.type(resolved);
  if (row?.typtype !== 'c') {
    throw state.error('42804', `cannot assign to field "${field}" of column "${name}" because its type ${formatType(catalog, type)} is not a composite type`, location);
  }
  const attribute = catalog.relation(row.typrelid)?.attributes.find((a) => a.attname === field && !a.attisdropped);
  if (!attribute) throw missingField(state, container, field, location);
  const read: Expr = { kind: 'FieldSelect', arg: container, fieldNumber: attribute.attnum, ...base(attribute.atttypid, attribute.atttypmod, attribute.attcollation) };
  const inner = assignIndirection(state, read, field, attribute.atttypid, attribute.atttypmod, steps, from + 1, value, location);
  return { kind: 'FieldStore', arg: container, fieldNumbers: [attribute.attnum], newValues: [inner], ...base(resolved, -1, 0, location) };
}

export { elementType, makeTargetEntry };
