/**
 * transformExpr: from a parse tree expression to a typed one. One case per node tag; operators and
 * calls have files of their own. After parse_expr.c.
 */
import type { A_Const, A_Expr, A_Indirection, BoolExpr as BoolExprNode, CaseExpr as CaseNode, Node, SQLValueFunction as SqlValueNode, TypeCast, SubLink as SubLinkNode } from '@pgsql/types';
import { notSupported } from '../../engine/errors.js';
import { TypeOid as T } from '../catalog/type-oids.js';
import type { Oid } from '../catalog/catalog.js';
import { nodeTag } from '../parser/parse.js';
import { analyzeSubquery } from './analyze.js';
import { groupingFunction } from './aggregates.js';
import { arrayType, baseType, coerceToBoolean, coerceToCommonType, coerceToSpecificType, coerceToTargetType, coerceType, elementType, selectCommonType, selectCommonTypmod } from './coerce.js';
import { fieldSelection, recordColumns, transformColumnRef } from './column-reference.js';
import { transformFunctionCall } from './function-call.js';
import { base, inputCollation, makeAnd, makeConst, makeNot, makeNull, resultCollation, typeCollation } from './make-nodes.js';
import { formatType, namesOf, resolveTypeName, splitQualifiedName, stringOf, lookupNamespace } from './names.js';
import { makeDistinct, makeOperator, makeScalarArrayOperator, rowComparison, transformAExpr } from './operator-expression.js';
import { deeper, type ParseState } from './parse-state.js';
import type { CaseExpr, Expr, SubscriptingRef } from './query-tree.js';

type Transformer = (state: ParseState, node: never) => Expr;

/** One entry per expression node of the grammar. */
const TRANSFORMERS: Readonly<Record<string, Transformer>> = {
  ColumnRef: transformColumnRef,
  ParamRef: (state, node: { number?: number; location?: number }) => transformParam(state, node.number ?? 0, node.location ?? -1),
  A_Const: (state, node: A_Const) => transformConst(state, node),
  A_Expr: (state, node: A_Expr) => transformAExpr(state, node),
  A_Indirection: (state, node: A_Indirection) => transformIndirection(state, node),
  A_ArrayExpr: (state, node: { elements?: Node[]; location?: number }) => transformArray(state, node.elements ?? [], node.location ?? -1, null, -1),
  TypeCast: (state, node: TypeCast) => transformTypeCast(state, node),
  CollateClause: (state, node: { arg?: Node; collname?: Node[]; location?: number }) => transformCollate(state, node),
  FuncCall: transformFunctionCall,
  BoolExpr: (state, node: BoolExprNode) => transformBoolExpr(state, node),
  SubLink: (state, node: SubLinkNode) => transformSubLink(state, node),
  CaseExpr: (state, node: CaseNode) => transformCase(state, node),
  RowExpr: (state, node: { args?: Node[]; row_format?: string; location?: number }) => {
    const args = (node.args ?? []).map((arg) => transformExpression(state, arg));
    return { kind: 'RowExpr', args, fieldNames: args.map((_, i) => `f${i + 1}`), form: node.row_format === 'COERCE_IMPLICIT_CAST' ? 'implicit cast' : 'call', ...base(T.record, -1, 0, node.location ?? -1) };
  },
  CoalesceExpr: (state, node: { args?: Node[]; location?: number }) => {
    const args = (node.args ?? []).map((arg) => transformExpression(state, arg));
    const type = selectCommonType(state, args, 'COALESCE');
    const coerced = args.map((arg) => coerceToCommonType(state, arg, type, 'COALESCE'));
    return { kind: 'CoalesceExpr', args: coerced, ...base(type, selectCommonTypmod(coerced, type), resultCollation(state.catalog, type, coerced), node.location ?? -1) };
  },
  MinMaxExpr: (state, node: { op?: string; args?: Node[]; location?: number }) => {
    const name = node.op === 'IS_LEAST' ? 'LEAST' : 'GREATEST';
    const args = (node.args ?? []).map((arg) => transformExpression(state, arg));
    const type = selectCommonType(state, args, name);
    const coerced = args.map((arg) => coerceToCommonType(state, arg, type, name));
    return { kind: 'MinMaxExpr', op: name === 'LEAST' ? 'least' : 'greatest', args: coerced, inputCollation: inputCollation(coerced), ...base(type, selectCommonTypmod(coerced, type), resultCollation(state.catalog, type, coerced), node.location ?? -1) };
  },
  SQLValueFunction: (state, node: SqlValueNode) => transformSqlValueFunction(state, node),
  NullTest: (state, node: { arg?: Node; nulltesttype?: string; location?: number }) => {
    const arg = transformExpression(state, node.arg as Node);
    return { kind: 'NullTest', arg, negated: node.nulltesttype === 'IS_NOT_NULL', argIsRow: arg.type === T.record || state.catalog.type(baseType(state.catalog, arg.type))?.typtype === 'c', ...base(T.bool, -1, 0, node.location ?? -1) };
  },
  BooleanTest: (state, node: { arg?: Node; booltesttype?: string; location?: number }) => {
    const [test, words] = BOOLEAN_TESTS[node.booltesttype ?? 'IS_TRUE'];
    return { kind: 'BooleanTest', arg: coerceToBoolean(state, transformExpression(state, node.arg as Node), words), test, ...base(T.bool, -1, 0, node.location ?? -1) };
  },
  GroupingFunc: (state, node: { args?: Node[]; location?: number }) => groupingFunction(state, node.args ?? [], node.location ?? -1),
  SetToDefault: (_state, node: { location?: number }) => ({ kind: 'SetToDefault', ...base(T.unknown, -1, 0, node.location ?? -1) }),
  CurrentOfExpr: (state, node: { cursor_name?: string; location?: number }) => ({ kind: 'CurrentOfExpr', varno: state.resultRelation, cursorName: node.cursor_name ?? '', ...base(T.bool, -1, 0, -1) }),
  NamedArgExpr: (state, node: { arg?: Node }) => transformExpression(state, node.arg as Node),
  MultiAssignRef: () => {
    throw notSupported('a row assignment here');
  },
};

const BOOLEAN_TESTS = {
  IS_TRUE: ['true', 'IS TRUE'], IS_NOT_TRUE: ['not true', 'IS NOT TRUE'], IS_FALSE: ['false', 'IS FALSE'],
  IS_NOT_FALSE: ['not false', 'IS NOT FALSE'], IS_UNKNOWN: ['unknown', 'IS UNKNOWN'], IS_NOT_UNKNOWN: ['not unknown', 'IS NOT UNKNOWN'],
} as Record<string, readonly ['true' | 'not true' | 'false' | 'not false' | 'unknown' | 'not unknown', string]>;

/** Transforms an expression; nesting is bounded (54001). */
export function transformExpression(state: ParseState, node: Node): Expr {
  return deeper(state.env, () => {
    const tag = nodeTag(node);
    const transformer = TRANSFORMERS[tag];
    if (!transformer) throw notSupported(UNSUPPORTED_NAMES[tag] ?? `expression node ${tag}`, { position: state.env.source.position(locationOf(node)) });
    return transformer(state, (node as Record<string, unknown>)[tag] as never);
  });
}

const UNSUPPORTED_NAMES: Readonly<Record<string, string>> = {
  XmlExpr: 'XML syntax', XmlSerialize: 'XML syntax', JsonIsPredicate: 'IS JSON', JsonObjectConstructor: 'SQL/JSON JSON_OBJECT syntax',
  JsonArrayConstructor: 'SQL/JSON JSON_ARRAY syntax', JsonObjectAgg: 'SQL/JSON JSON_OBJECTAGG syntax', JsonArrayAgg: 'SQL/JSON JSON_ARRAYAGG syntax',
};

export function locationOf(node: Node): number {
  const inner = Object.values(node)[0] as { location?: number } | undefined;
  return inner?.location ?? -1;
}

function transformConst(state: ParseState, node: A_Const): Expr {
  const { catalog } = state;
  const location = node.location ?? -1;
  if (node.isnull) return makeNull(catalog, T.unknown, -1, location);
  if (node.ival) return makeConst(catalog, T.int4, node.ival.ival ?? 0, location);
  if (node.fval) {
    const text = node.fval.fval ?? '0';
    // integers too large for int4, decimal ones and hexadecimal ones alike
    if (/^-?[0-9][0-9_]*$/.test(text) || /^0[xob]/i.test(text)) {
      const value = BigInt(text.replaceAll('_', ''));
      if (value >= -2147483648n && value <= 2147483647n) return makeConst(catalog, T.int4, Number(value), location);
      if (value >= -9223372036854775808n && value <= 9223372036854775807n) return makeConst(catalog, T.int8, catalog.dataType(T.int8).input(String(value), -1, state.env.context), location);
      return makeConst(catalog, T.numeric, catalog.dataType(T.numeric).input(String(value), -1, state.env.context), location);
    }
    return makeConst(catalog, T.numeric, catalog.dataType(T.numeric).input(text, -1, state.env.context), location);
  }
  if (node.boolval) return makeConst(catalog, T.bool, node.boolval.boolval ?? false, location);
  if (node.sval) return makeConst(catalog, T.unknown, node.sval.sval ?? '', location);
  if (node.bsval) return makeConst(catalog, T.bit, catalog.dataType(T.bit).input(node.bsval.bsval ?? '', -1, state.env.context), location);
  return makeNull(catalog, T.unknown, -1, location);
}

function transformParam(state: ParseState, number: number, location: number): Expr {
  const type = state.env.parameters.typeOf(number);
  if (type === undefined) throw state.error('42P02', `there is no parameter $${number}`, location);
  return { kind: 'Param', paramKind: 'external', id: number, ...base(type, -1, typeCollation(state.catalog, type), location) };
}

function transformBoolExpr(state: ParseState, node: BoolExprNode): Expr {
  const op = node.boolop === 'AND_EXPR' ? 'and' : node.boolop === 'OR_EXPR' ? 'or' : 'not';
  const args = (node.args ?? []).map((arg) => coerceToBoolean(state, transformExpression(state, arg), op.toUpperCase()));
  return { kind: 'BoolExpr', op, args, ...base(T.bool, -1, 0, node.location ?? -1) };
}

function transformCase(state: ParseState, node: CaseNode): Expr {
  const { catalog } = state;
  let arg: Expr | null = null;
  let placeholder: Expr | null = null;
  if (node.arg) {
    arg = transformExpression(state, node.arg);
    if (arg.type === T.unknown) arg = coerceToCommonType(state, arg, T.text, 'CASE');
    placeholder = { kind: 'CaseTestExpr', ...base(arg.type, arg.typmod, arg.collation) };
  }
  const branches: { condition: Expr; result: Expr }[] = [];
  for (const wrapped of node.args ?? []) {
    const when = (wrapped as { CaseWhen: { expr: Node; result: Node; location?: number } }).CaseWhen;
    let condition: Expr;
    if (placeholder) {
      const value = transformExpression(state, when.expr);
      condition = makeOperator(state, ['='], placeholder, value, when.location ?? -1);
    } else condition = transformExpression(state, when.expr);
    branches.push({ condition: coerceToBoolean(state, condition, 'CASE/WHEN'), result: transformExpression(state, when.result) });
  }
  const otherwise = node.defresult ? transformExpression(state, node.defresult) : null;
  const fallback = otherwise ?? makeNull(catalog, T.unknown);
  // the ELSE result leads the type resolution, as in PostgreSQL
  const type = selectCommonType(state, [fallback, ...branches.map((b) => b.result)], 'CASE');
  const results = branches.map((b) => coerceToCommonType(state, b.result, type, 'CASE/WHEN'));
  const elseResult = coerceToCommonType(state, fallback, type, 'CASE/ELSE');
  const all = [...results, elseResult];
  const expr: CaseExpr = {
    kind: 'CaseExpr', arg, whens: branches.map((b, i) => ({ condition: b.condition, result: results[i] })), otherwise: elseResult,
    ...base(type, selectCommonTypmod(all, type), resultCollation(catalog, type, all), node.location ?? -1),
  };
  return expr;
}

function transformTypeCast(state: ParseState, node: TypeCast): Expr {
  const { catalog } = state;
  const typeName = node.typeName!;
  const { type, typmod } = resolveTypeName(state.env, typeName);
  const location = node.location !== undefined && node.location >= 0 ? node.location : (typeName.location ?? -1);
  const argNode = node.arg as Node & { A_ArrayExpr?: { elements?: Node[]; location?: number } };
  let arg: Expr;
  if (argNode.A_ArrayExpr) {
    // the cast gives the element type, also to an empty ARRAY[]
    const resolved = baseType(catalog, type.oid);
    const element = elementType(catalog, resolved);
    arg = element
      ? transformArray(state, argNode.A_ArrayExpr.elements ?? [], argNode.A_ArrayExpr.location ?? -1, { array: resolved, element }, typmod)
      : transformExpression(state, argNode);
  } else arg = transformExpression(state, argNode);
  const result = coerceToTargetType(state, arg, type.oid, typmod, 'explicit', 'explicit cast', location);
  if (!result) throw state.error('42846', `cannot cast type ${formatType(catalog, arg.type)} to ${formatType(catalog, type.oid)}`, location);
  return result;
}

function transformArray(state: ParseState, nodes: readonly Node[], location: number, target: { array: Oid; element: Oid } | null, typmod: number): Expr {
  const { catalog } = state;
  let multidims = false;
  const elements = nodes.map((node) => {
    const inner = (node as { A_ArrayExpr?: { elements?: Node[]; location?: number } }).A_ArrayExpr;
    if (inner) {
      multidims = true;
      return transformArray(state, inner.elements ?? [], inner.location ?? -1, target, typmod);
    }
    const expr = transformExpression(state, node);
    if (!multidims && elementType(catalog, expr.type)) multidims = true;
    return expr;
  });
  let arrayOid: Oid;
  let element: Oid;
  let hard = false;
  if (target) {
    arrayOid = target.array;
    element = multidims ? target.array : target.element;
    hard = true;
  } else {
    if (elements.length === 0) {
      throw state.error('42P18', 'cannot determine type of empty array', location, { hint: 'Explicitly cast to the desired type, for example ARRAY[]::integer[].' });
    }
    const common = selectCommonType(state, elements, 'ARRAY');
    if (multidims) {
      arrayOid = common;
      element = common;
    } else {
      arrayOid = arrayType(catalog, common);
      if (!arrayOid) throw state.error('42704', `could not find array type for data type ${formatType(catalog, common)}`, location);
      element = common;
    }
  }
  const coerced = elements.map((expr) => {
    if (!hard) return coerceToCommonType(state, expr, element, 'ARRAY');
    const result = coerceToTargetType(state, expr, element, typmod, 'explicit', 'explicit cast', -1);
    if (!result) throw state.error('42846', `cannot cast type ${formatType(catalog, expr.type)} to ${formatType(catalog, element)}`, expr.location);
    return result;
  });
  const scalarElement = multidims ? elementType(catalog, arrayOid) || element : element;
  return { kind: 'ArrayExpr', elementType: scalarElement, elements: coerced, multidims, ...base(arrayOid, -1, resultCollation(catalog, arrayOid, coerced), location) };
}

function transformCollate(state: ParseState, node: { arg?: Node; collname?: Node[]; location?: number }): Expr {
  const arg = transformExpression(state, node.arg as Node);
  const location = node.location ?? -1;
  if (typeCollation(state.catalog, arg.type) === 0 && arg.type !== T.unknown)
    throw state.error('42804', `collations are not supported by type ${formatType(state.catalog, arg.type)}`, location);
  const collationOid = resolveCollation(state, namesOf(node.collname), location);
  return { kind: 'CollateExpr', arg, collationOid, ...base(arg.type, arg.typmod, collationOid, location) };
}

export function resolveCollation(state: ParseState, names: string[], location: number): Oid {
  const { schema, name } = splitQualifiedName(state.env, names, location);
  const namespaces = schema === null ? state.env.context.session.searchPathOids : [lookupNamespace(state.env, schema, location)];
  for (const namespace of namespaces) {
    const collation = state.catalog.collationNamed(namespace, name);
    if (collation) return collation.oid;
  }
  throw state.error('42704', `collation "${names.join('.')}" for encoding "UTF8" does not exist`, location);
}

const SQL_VALUES: Readonly<Record<string, { op: Extract<Expr, { kind: 'SQLValueFunction' }>['op']; type: Oid }>> = {
  SVFOP_CURRENT_DATE: { op: 'current_date', type: T.date },
  SVFOP_CURRENT_TIME: { op: 'current_time', type: T.timetz },
  SVFOP_CURRENT_TIME_N: { op: 'current_time', type: T.timetz },
  SVFOP_CURRENT_TIMESTAMP: { op: 'current_timestamp', type: T.timestamptz },
  SVFOP_CURRENT_TIMESTAMP_N: { op: 'current_timestamp', type: T.timestamptz },
  SVFOP_LOCALTIME: { op: 'localtime', type: T.time },
  SVFOP_LOCALTIME_N: { op: 'localtime', type: T.time },
  SVFOP_LOCALTIMESTAMP: { op: 'localtimestamp', type: T.timestamp },
  SVFOP_LOCALTIMESTAMP_N: { op: 'localtimestamp', type: T.timestamp },
  SVFOP_CURRENT_ROLE: { op: 'current_role', type: T.name },
  SVFOP_CURRENT_USER: { op: 'current_user', type: T.name },
  SVFOP_USER: { op: 'user', type: T.name },
  SVFOP_SESSION_USER: { op: 'session_user', type: T.name },
  SVFOP_CURRENT_CATALOG: { op: 'current_catalog', type: T.name },
  SVFOP_CURRENT_SCHEMA: { op: 'current_schema', type: T.name },
};

function transformSqlValueFunction(state: ParseState, node: SqlValueNode): Expr {
  const entry = SQL_VALUES[node.op ?? ''];
  const precision = (node.op ?? '').endsWith('_N') ? Math.min(node.typmod ?? 0, 6) : -1;
  return { kind: 'SQLValueFunction', op: entry.op, ...base(entry.type, precision, typeCollation(state.catalog, entry.type), node.location ?? -1) };
}

function transformIndirection(state: ParseState, node: A_Indirection): Expr {
  const argNode = node.arg as Node;
  let result = transformExpression(state, argNode);
  let subscripts: Node[] = [];
  const flush = (): void => {
    if (subscripts.length > 0) result = subscript(state, result, subscripts, null);
    subscripts = [];
  };
  for (const step of node.indirection ?? []) {
    if ('A_Indices' in step) {
      subscripts.push(step);
    } else if ('A_Star' in step) {
      throw state.error('0A000', 'row expansion via "*" is not supported here', locationOf(argNode));
    } else {
      flush();
      const name = stringOf(step);
      const field = fieldSelection(state, result, name, locationOf(argNode));
      if (!field) throw missingField(state, result, name, locationOf(argNode));
      result = field;
    }
  }
  flush();
  return result;
}

export function missingField(state: ParseState, arg: Expr, name: string, location: number) {
  const { catalog } = state;
  if (arg.kind === 'Var' && arg.attno === 0) return state.error('42703', `column "${name}" not found in data type ${formatType(catalog, arg.type)}`, location);
  if (catalog.type(baseType(catalog, arg.type))?.typtype === 'c') return state.error('42703', `column "${name}" not found in data type ${formatType(catalog, arg.type)}`, location);
  if (arg.type === T.record || recordColumns(state, arg)) return state.error('42703', `could not identify column "${name}" in record data type`, location);
  return state.error('42809', `column notation .${name} applied to type ${formatType(catalog, arg.type)}, which is not a composite type`, location);
}

/** container[subscripts], as a read or (with `assignment`) as the changed container. */
export function subscript(state: ParseState, container: Expr, indirection: readonly Node[], assignment: Expr | null, assignmentTypmod = -1): SubscriptingRef {
  const { catalog } = state;
  const containerType = baseType(catalog, container.type);
  const isJsonb = containerType === T.jsonb;
  const element = isJsonb ? T.jsonb : elementType(catalog, containerType) || (containerType === T.int2vector ? T.int2 : containerType === T.oidvector ? T.oid : containerType === T.name ? T.char : 0);
  if (!element) throw state.error('42804', `cannot subscript type ${formatType(catalog, container.type)} because it does not support subscripting`, container.location);
  const indices = indirection.map((step) => (step as { A_Indices: { is_slice?: boolean; lidx?: Node; uidx?: Node } }).A_Indices);
  const slice = indices.some((index) => index.is_slice);
  const one = (node: Node | undefined): Expr | null => {
    if (!node) return null;
    const expr = transformExpression(state, node);
    if (isJsonb) {
      if (expr.type === T.int4) return expr;
      return coerceToSpecificType(state, expr, expr.type === T.unknown || expr.type === T.text ? T.text : T.int4, 'subscript');
    }
    const coerced = coerceToTargetType(state, expr, T.int4, -1, 'assignment', 'implicit cast', -1);
    if (!coerced) throw state.error('42804', 'array subscript must have type integer', expr.location);
    return coerced;
  };
  if (indices.length > 6) throw state.error('54000', `number of array dimensions (${indices.length}) exceeds the maximum allowed (6)`, container.location);
  if (isJsonb && slice) throw state.error('42601', 'jsonb subscript does not support slices', container.location);
  const upper: (Expr | null)[] = [];
  const lower: (Expr | null)[] = [];
  for (const index of indices) {
    if (slice) lower.push(index.is_slice ? one(index.lidx) : makeConst(catalog, T.int4, 1));
    upper.push(one(index.uidx));
  }
  const type = slice ? containerType : element;
  let value: Expr | null = null;
  if (assignment) {
    value = coerceToTargetType(state, assignment, type, assignmentTypmod, 'assignment', 'implicit cast', -1);
    if (!value) {
      throw state.error('42804', `subscripted assignment to "${containerName(container)}" requires type ${formatType(catalog, type)} but expression is of type ${formatType(catalog, assignment.type)}`, assignment.location, {
        hint: 'You will need to rewrite or cast the expression.',
      });
    }
  }
  return {
    kind: 'SubscriptingRef', containerType, elementType: element, container, upper, lower: slice ? lower : null, assignment: value,
    ...base(assignment ? containerType : type, container.typmod, container.collation, container.location),
  };
}

function containerName(container: Expr): string {
  return container.kind === 'Var' ? `column ${container.attno}` : 'expression';
}

const SUBLINK_FORBIDDEN: Readonly<Partial<Record<ParseState['exprKind'], string>>> = {
  'check constraint': 'cannot use subquery in check constraint', 'domain check': 'cannot use subquery in check constraint',
  'column default': 'cannot use subquery in DEFAULT expression', 'function default': 'cannot use subquery in DEFAULT expression',
  'statistics expression': 'cannot use subquery in statistics expression', 'index expression': 'cannot use subquery in index expression', 'index predicate': 'cannot use subquery in index predicate',
  'alter column transform': 'cannot use subquery in transform expression', 'execute parameter': 'cannot use subquery in EXECUTE parameter',
  'generated column': 'cannot use subquery in column generation expression', 'call argument': 'cannot use subquery in CALL argument', 'copy where': 'cannot use subquery in COPY FROM WHERE condition',
};

function transformSubLink(state: ParseState, node: SubLinkNode): Expr {
  const { catalog } = state;
  const location = node.location ?? -1;
  const forbidden = SUBLINK_FORBIDDEN[state.exprKind];
  if (forbidden) throw state.error('0A000', forbidden, location);
  state.hasSubLinks = true;
  const query = analyzeSubquery(state, node.subselect as Node, false);
  const columns = query.targetList.filter((target) => !target.junk);
  const make = (subLinkType: 'exists' | 'expr' | 'array' | 'any' | 'all', type: Oid, testExpr: Expr | null, operatorName: string | null, collation = 0, typmod = -1): Expr => ({
    kind: 'SubLink', subLinkType, testExpr, operatorName, subquery: query, id: 0, ...base(type, typmod, collation, location),
  });
  switch (node.subLinkType) {
    case 'EXISTS_SUBLINK':
      return make('exists', T.bool, null, null);
    case 'EXPR_SUBLINK':
    case 'ARRAY_SUBLINK': {
      if (columns.length !== 1) throw state.error('42601', 'subquery must return only one column', location);
      const value = columns[0].expr;
      if (node.subLinkType === 'EXPR_SUBLINK') return make('expr', value.type, null, null, value.collation, value.typmod);
      const array = elementType(catalog, value.type) ? value.type : arrayType(catalog, value.type);
      if (!array) throw state.error('42704', `could not find array type for data type ${formatType(catalog, value.type)}`, location);
      return make('array', array, null, null, value.collation, value.typmod);
    }
    case 'ANY_SUBLINK':
    case 'ALL_SUBLINK': {
      const left = transformExpression(state, node.testexpr as Node);
      const names = node.operName ? namesOf(node.operName) : ['='];
      const leftArgs = left.kind === 'RowExpr' ? left.args : [left];
      const params: Expr[] = columns.map((target, i) => ({ kind: 'SubLinkParam', id: 0, column: i + 1, ...base(target.expr.type, target.expr.typmod, target.expr.collation, -1) }));
      if (leftArgs.length < params.length) throw state.error('42601', 'subquery has too many columns', location);
      if (leftArgs.length > params.length) throw state.error('42601', 'subquery has too few columns', location);
      const testExpr = left.kind === 'RowExpr' ? rowComparison(state, names, leftArgs, params, location) : makeOperator(state, names, left, params[0], location);
      if (testExpr.type !== T.bool) throw state.error('42804', `operator ${names.join('.')} must return type boolean, not type ${formatType(catalog, testExpr.type)}`, location);
      return make(node.subLinkType === 'ANY_SUBLINK' ? 'any' : 'all', T.bool, testExpr, names[names.length - 1]);
    }
    default:
      throw notSupported(`subquery form ${node.subLinkType}`);
  }
}

export { makeAnd, makeDistinct, makeNot, makeOperator, makeScalarArrayOperator };
export { coerceType };
