/**
 * Operators in expressions: A_Expr in all its kinds, row comparisons, scalar-array operators.
 * After make_op, make_scalar_array_op, make_row_comparison_op (parse_oper.c, parse_expr.c).
 */
import type { A_Expr, Node } from '@pgsql/types';
import { notSupported } from '../../engine/errors.js';
import type { Oid, PgOperator } from '../catalog/catalog.js';
import { TypeOid as T } from '../catalog/type-oids.js';
import { arrayType, baseType, coerceToCommonType, coerceType, elementType, isPolymorphic, resolvePolymorphic, selectCommonType } from './coerce.js';
import { locationOf, transformExpression } from './expression.js';
import { base, inputCollation, makeAnd, makeBool, makeNot, resultCollation } from './make-nodes.js';
import { formatType, namesOf } from './names.js';
import { findBinaryOperator, resolveBinaryOperator, resolvePrefixOperator } from './overloads.js';
import type { ParseState } from './parse-state.js';
import type { Expr, OpExpr, SubLinkParam } from './query-tree.js';

export function transformAExpr(state: ParseState, node: A_Expr): Expr {
  const location = node.location ?? -1;
  const names = namesOf(node.name);
  switch (node.kind) {
    case 'AEXPR_OP':
      return plainOperator(state, node, names, location);
    case 'AEXPR_OP_ANY':
    case 'AEXPR_OP_ALL':
      return makeScalarArrayOperator(state, names, node.kind === 'AEXPR_OP_ANY', transformExpression(state, node.lexpr as Node), transformExpression(state, node.rexpr as Node), location);
    case 'AEXPR_DISTINCT':
    case 'AEXPR_NOT_DISTINCT': {
      const expr = distinct(state, node, names, location);
      return node.kind === 'AEXPR_DISTINCT' ? expr : makeNot(expr, location);
    }
    case 'AEXPR_NULLIF': {
      const left = transformExpression(state, node.lexpr as Node);
      const right = transformExpression(state, node.rexpr as Node);
      const comparison = makeOperator(state, names, left, right, location) as OpExpr;
      if (comparison.type !== T.bool) throw state.error('42804', 'NULLIF requires = operator to yield boolean', location);
      const [l, r] = comparison.args;
      return { kind: 'NullIfExpr', operator: comparison.operator, func: comparison.func, args: [l, r], inputCollation: comparison.inputCollation, ...base(l.type, l.typmod, l.collation, location) };
    }
    case 'AEXPR_IN':
      return transformIn(state, node, location);
    case 'AEXPR_LIKE':
    case 'AEXPR_ILIKE':
      return plainOperator(state, node, names, location);
    case 'AEXPR_SIMILAR':
      return plainOperator(state, node, names, location);
    case 'AEXPR_BETWEEN':
    case 'AEXPR_NOT_BETWEEN':
    case 'AEXPR_BETWEEN_SYM':
    case 'AEXPR_NOT_BETWEEN_SYM':
      return transformBetween(state, node, location);
    default:
      throw notSupported(`expression kind ${node.kind}`);
  }
}

function plainOperator(state: ParseState, node: A_Expr, names: readonly string[], location: number): Expr {
  const leftNode = node.lexpr as (Node & { RowExpr?: unknown; SubLink?: unknown }) | undefined;
  const rightNode = node.rexpr as Node & { SubLink?: { subLinkType?: string }; RowExpr?: unknown };
  // ROW op (SELECT ...): a row-compare sublink
  if (leftNode?.RowExpr && rightNode.SubLink?.subLinkType === 'EXPR_SUBLINK') {
    const link = transformExpression(state, { SubLink: { ...rightNode.SubLink, subLinkType: 'EXISTS_SUBLINK' } } as unknown as Node);
    return rowCompareSubLink(state, names, transformExpression(state, leftNode), link, location);
  }
  if (!leftNode) {
    return makePrefixOperator(state, names, transformExpression(state, rightNode), location);
  }
  const left = transformExpression(state, leftNode);
  const right = transformExpression(state, rightNode);
  if (leftNode.RowExpr && rightNode.RowExpr && left.kind === 'RowExpr' && right.kind === 'RowExpr') return rowComparison(state, names, left.args, right.args, location);
  return makeOperator(state, names, left, right, location);
}

function rowCompareSubLink(state: ParseState, names: readonly string[], left: Expr, link: Expr, location: number): Expr {
  if (link.kind !== 'SubLink' || left.kind !== 'RowExpr') throw notSupported('this row comparison');
  const columns = link.subquery.targetList.filter((t) => !t.junk);
  if (left.args.length < columns.length) throw state.error('42601', 'subquery has too many columns', location);
  if (left.args.length > columns.length) throw state.error('42601', 'subquery has too few columns', location);
  const params: SubLinkParam[] = columns.map((t, i) => ({ kind: 'SubLinkParam', id: 0, column: i + 1, ...base(t.expr.type, t.expr.typmod, t.expr.collation) }));
  return { ...link, subLinkType: 'rowcompare', testExpr: rowComparison(state, names, left.args, params, location), operatorName: names[names.length - 1], ...base(T.bool, -1, 0, location) };
}

/** x = NULL stays as written (transform_null_equals is off by default). */
export function makeOperator(state: ParseState, names: readonly string[], left: Expr, right: Expr, location: number): Expr {
  const operator = resolveBinaryOperator(state, names, left.type, right.type, location);
  return operatorExpression(state, operator, [left, right], location);
}

export function makePrefixOperator(state: ParseState, names: readonly string[], right: Expr, location: number): Expr {
  return operatorExpression(state, resolvePrefixOperator(state, names, right.type, location), [right], location);
}

export function operatorExpression(state: ParseState, operator: PgOperator, args: readonly Expr[], location: number): OpExpr {
  const { catalog } = state;
  if (operator.oprcode === 0) throw state.error('42883', `operator is only a shell: ${operator.oprname}`, location);
  const declared = operator.oprkind === 'b' ? [operator.oprleft, operator.oprright] : [operator.oprright];
  let targets: readonly Oid[] = declared;
  let resultType = operator.oprresult;
  if (declared.some(isPolymorphic) || isPolymorphic(resultType)) {
    try {
      const resolved = resolvePolymorphic(catalog, args.map((arg) => arg.type), declared, resultType);
      targets = resolved.argTypes;
      resultType = resolved.resultType;
    } catch (error) {
      if (error instanceof Error && 'position' in error && error.position === undefined) (error as { position?: number }).position = state.env.source.position(location);
      throw error;
    }
  }
  const coerced = args.map((arg, i) => coerceType(state, arg, targets[i], -1, 'implicit', 'implicit cast', -1));
  return {
    kind: 'OpExpr', operator: operator.oid, func: operator.oprcode, args: coerced, inputCollation: inputCollation(coerced),
    ...base(resultType, -1, resultCollation(catalog, resultType, coerced), location),
  };
}

export function makeDistinct(state: ParseState, names: readonly string[], left: Expr, right: Expr, location: number): Expr {
  const comparison = makeOperator(state, names, left, right, location) as OpExpr;
  if (comparison.type !== T.bool) throw state.error('42804', 'IS DISTINCT FROM requires = operator to yield boolean', location);
  const [l, r] = comparison.args;
  return { kind: 'DistinctExpr', operator: comparison.operator, func: comparison.func, args: [l, r], inputCollation: comparison.inputCollation, ...base(T.bool, -1, 0, location) };
}

function distinct(state: ParseState, node: A_Expr, names: readonly string[], location: number): Expr {
  const leftNode = node.lexpr as Node;
  const rightNode = node.rexpr as Node;
  const left = transformExpression(state, leftNode);
  const right = transformExpression(state, rightNode);
  // IS DISTINCT FROM NULL is a null test
  for (const [value, other] of [[left, right], [right, left]] as const) {
    if (value.kind === 'Const' && value.value === null && value.type === T.unknown)
      return { kind: 'NullTest', arg: other, negated: true, argIsRow: false, ...base(T.bool, -1, 0, location) };
  }
  if (left.kind === 'RowExpr' && right.kind === 'RowExpr') {
    if (left.args.length !== right.args.length) throw state.error('42601', 'unequal number of entries in row expressions', location);
    const parts = left.args.map((arg, i) => makeDistinct(state, names, arg, right.args[i], location));
    return parts.length === 1 ? parts[0] : parts.length === 0 ? makeBool(false, location) : { kind: 'BoolExpr', op: 'or', args: parts, ...base(T.bool, -1, 0, location) };
  }
  return makeDistinct(state, names, left, right, location);
}

export function makeScalarArrayOperator(state: ParseState, names: readonly string[], useOr: boolean, left: Expr, right: Expr, location: number): Expr {
  const { catalog } = state;
  let element: Oid = T.unknown;
  if (right.type !== T.unknown) {
    const resolved = baseType(catalog, right.type);
    element = elementType(catalog, resolved) || (resolved === T.int2vector ? T.int2 : resolved === T.oidvector ? T.oid : resolved === T.anyarray ? T.anyelement : 0);
    if (!element) throw state.error('42809', 'op ANY/ALL (array) requires array on right side', location);
  }
  const operator = resolveBinaryOperator(state, names, left.type, element, location);
  const declared = [operator.oprleft, operator.oprright];
  let targets: readonly Oid[] = declared;
  let resultType = operator.oprresult;
  if (declared.some(isPolymorphic)) {
    const resolved = resolvePolymorphic(catalog, [left.type, element], declared, resultType);
    targets = resolved.argTypes;
    resultType = resolved.resultType;
  }
  if (resultType !== T.bool) throw state.error('42809', 'op ANY/ALL (array) requires operator to yield boolean', location);
  const arrayOid = right.type === T.anyarray ? T.anyarray : arrayType(catalog, isPolymorphic(targets[1]) ? element : targets[1]);
  if (!arrayOid) throw state.error('42704', `could not find array type for data type ${formatType(catalog, targets[1])}`, location);
  const coercedLeft = coerceType(state, left, targets[0], -1, 'implicit', 'implicit cast', -1);
  const coercedRight = coerceType(state, right, arrayOid, -1, 'implicit', 'implicit cast', -1);
  return {
    kind: 'ScalarArrayOpExpr', operator: operator.oid, func: operator.oprcode, useOr, args: [coercedLeft, coercedRight],
    inputCollation: inputCollation([coercedLeft, coercedRight]), ...base(T.bool, -1, 0, location),
  };
}

/** a IN (list): = ANY (ARRAY[...]) over the constants where their types agree, OR of = for the rest. */
function transformIn(state: ParseState, node: A_Expr, location: number): Expr {
  const { catalog } = state;
  const useOr = namesOf(node.name)[0] === '=';
  const names = [useOr ? '=' : '<>'];
  const leftNode = node.lexpr as Node;
  const left = transformExpression(state, leftNode);
  const list = (node.rexpr as { List?: { items?: Node[] } }).List?.items ?? [];
  const items = list.map((item) => transformExpression(state, item));
  const plain = items.filter((item) => !containsVars(item));
  const others = items.filter((item) => containsVars(item));
  const terms: Expr[] = [];
  let rest = items;
  if (plain.length > 1 && left.kind !== 'RowExpr') {
    const common = selectCommonType(state, [left, ...plain], null);
    const arrayOid = common && common !== T.record ? arrayType(catalog, common) : 0;
    if (arrayOid && plain.every((item) => item.type === T.unknown || item.type === common || canConvert(state, item, common))) {
      const elements = plain.map((item) => coerceToCommonType(state, item, common, 'IN'));
      const array: Expr = { kind: 'ArrayExpr', elementType: common, elements, multidims: false, ...base(arrayOid, -1, elements[0].collation, -1) };
      terms.push(makeScalarArrayOperator(state, names, useOr, left, array, location));
      rest = others;
    }
  }
  for (const item of rest) {
    const comparison = left.kind === 'RowExpr' && item.kind === 'RowExpr' ? rowComparison(state, names, left.args, item.args, location) : makeOperator(state, names, left, item, location);
    if (comparison.type !== T.bool) throw state.error('42804', `argument of IN must be type boolean, not type ${formatType(catalog, comparison.type)}`, location);
    terms.push(comparison);
  }
  return terms.length === 1 ? terms[0] : { kind: 'BoolExpr', op: useOr ? 'or' : 'and', args: terms, ...base(T.bool, -1, 0, location) };
}

function canConvert(state: ParseState, item: Expr, common: Oid): boolean {
  return findBinaryOperator(state.env, ['='], item.type, common) !== undefined;
}

function containsVars(expr: Expr): boolean {
  switch (expr.kind) {
    case 'Const': case 'Param': case 'SQLValueFunction':
      return false;
    case 'FuncExpr': case 'OpExpr': case 'CoalesceExpr': case 'BoolExpr': case 'MinMaxExpr':
      return expr.args.some(containsVars);
    case 'RelabelType': case 'CoerceViaIO': case 'CoerceToDomain': case 'CollateExpr': case 'ArrayCoerceExpr':
      return containsVars(expr.arg);
    case 'ArrayExpr':
      return expr.elements.some(containsVars);
    default:
      return true;
  }
}

function transformBetween(state: ParseState, node: A_Expr, location: number): Expr {
  const bounds = (node.rexpr as { List?: { items?: Node[] } }).List?.items ?? [];
  const [low, high] = bounds;
  const value = node.lexpr as Node;
  const compare = (name: string, l: Node, r: Node): Expr => {
    const left = transformExpression(state, l);
    const right = transformExpression(state, r);
    if (left.kind === 'RowExpr' && right.kind === 'RowExpr') return rowComparison(state, [name], left.args, right.args, location);
    return makeOperator(state, [name], left, right, location);
  };
  const bool = (op: 'and' | 'or', ...args: Expr[]): Expr => ({ kind: 'BoolExpr', op, args, ...base(T.bool, -1, 0, location) });
  const inside = (l: Node, h: Node): Expr => bool('and', compare('>=', value, l), compare('<=', value, h));
  const outside = (l: Node, h: Node): Expr => bool('or', compare('<', value, l), compare('>', value, h));
  switch (node.kind) {
    case 'AEXPR_BETWEEN': return inside(low, high);
    case 'AEXPR_NOT_BETWEEN': return outside(low, high);
    case 'AEXPR_BETWEEN_SYM': return bool('or', inside(low, high), inside(high, low));
    default: return bool('and', outside(low, high), outside(high, low));
  }
}

/** (a, b) op (c, d) */
export function rowComparison(state: ParseState, names: readonly string[], left: readonly Expr[], right: readonly Expr[], location: number): Expr {
  const { catalog } = state;
  if (left.length !== right.length) throw state.error('42601', 'unequal number of entries in row expressions', location);
  if (left.length === 0) throw state.error('0A000', 'cannot compare rows of zero length', location);
  const parts = left.map((expr, i) => {
    const comparison = makeOperator(state, names, expr, right[i], location) as OpExpr;
    if (comparison.type !== T.bool) throw state.error('42804', `row comparison operator must yield type boolean, not type ${formatType(catalog, comparison.type)}`, location);
    return comparison;
  });
  if (parts.length === 1) return parts[0];
  const name = names[names.length - 1];
  if (name === '=') return makeAnd(parts)!;
  if (name === '<>') return { kind: 'BoolExpr', op: 'or', args: parts, ...base(T.bool, -1, 0, location) };
  if (name === '<' || name === '<=' || name === '>' || name === '>=') {
    return {
      kind: 'RowCompareExpr', op: name, operators: parts.map((p) => p.operator), left: parts.map((p) => p.args[0]), right: parts.map((p) => p.args[1]), ...base(T.bool, -1, 0, location),
    };
  }
  throw state.error('0A000', `could not determine interpretation of row comparison operator ${name}`, location, {
    hint: 'Row comparison operators must be associated with btree operator families.',
  });
}

export { locationOf };
