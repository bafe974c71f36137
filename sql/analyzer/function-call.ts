/**
 * Function calls: from a name and analyzed arguments to FuncExpr, Aggref or WindowFunc. After
 * ParseFuncOrColumn and func_get_detail (parse_func.c).
 */
import type { FuncCall, Node, WindowDef } from '@pgsql/types';
import { notSupported } from '../../engine/errors.js';
import type { Oid, PgProc } from '../catalog/catalog.js';
import { TypeOid as T } from '../catalog/type-oids.js';
import { parseExpression } from '../parser/parse.js';
import { checkAggregateArguments, noteAggregate } from './aggregates.js';
import { baseType, canCoerceTypes, coerceToTargetType, coerceType, elementType, isPolymorphic, resolvePolymorphic, coerceToBoolean, coerceToCommonType, selectCommonType } from './coerce.js';
import { transformExpression } from './expression.js';
import { base, inputCollation, makeConst, makeTargetEntry, resultCollation } from './make-nodes.js';
import { formatType, functionsNamed, namesOf, resolveTypeName } from './names.js';
import { matchArgTypes, selectCandidate } from './overloads.js';
import type { ParseState } from './parse-state.js';
import { fieldSelection } from './column-reference.js';
import type { Expr, FuncExpr, SortGroupClause, TargetEntry } from './query-tree.js';
import { addSortClause, addGroupClauseForDistinct } from './sort-clause.js';
import { windowReference } from './window-clause.js';

interface FunctionCandidate {
  readonly proc: PgProc;
  /** Declared type of each given argument (named ones in call order), variadic expanded. */
  readonly args: readonly Oid[];
  /** Declared types of all arguments in declaration order, defaults included. */
  readonly declared: readonly Oid[];
  /** Number of arguments gathered into the variadic array; -1 when not expanded. */
  readonly variadicFrom: number;
  /** Position in declaration order of each given argument. */
  readonly positions: readonly number[];
  readonly defaultsUsed: number;
}

interface NamedArgument { readonly name: string; readonly expr: Expr; readonly location: number }

/** Transforms a FuncCall node. */
export function transformFunctionCall(state: ParseState, call: FuncCall): Expr {
  const names = namesOf(call.funcname);
  const location = call.location ?? -1;
  const positional: Expr[] = [];
  const named: NamedArgument[] = [];
  for (const node of call.args ?? []) {
    const namedNode = (node as { NamedArgExpr?: { name?: string; arg?: Node; location?: number } }).NamedArgExpr;
    if (namedNode) {
      const expr = transformExpression(state, namedNode.arg as Node);
      if (named.some((other) => other.name === namedNode.name))
        throw state.error('42601', `argument name "${namedNode.name}" used more than once`, namedNode.location);
      named.push({ name: namedNode.name ?? '', expr, location: namedNode.location ?? -1 });
    } else {
      if (named.length > 0) throw state.error('42601', 'positional argument cannot follow named argument', locationOf(node));
      positional.push(transformExpression(state, node));
    }
  }
  if (call.agg_within_group) return orderedSetAggregate(state, call, names, positional);
  return buildCall(state, call, names, positional, named, location);
}

function locationOf(node: Node): number {
  const inner = Object.values(node)[0] as { location?: number };
  return inner.location ?? -1;
}

/** The part shared by calls in expressions and in FROM. */
function buildCall(state: ParseState, call: FuncCall, names: string[], positional: Expr[], named: NamedArgument[], location: number): Expr {
  const { catalog } = state;
  const actual = [...positional, ...named.map((n) => n.expr)];
  const actualTypes = actual.map((expr) => expr.type);
  const isPlain = !call.agg_star && !call.agg_distinct && !call.agg_order && !call.over && !call.agg_filter && !call.func_variadic;

  // f(x) may be the column f of composite x
  if (isPlain && names.length === 1 && actual.length === 1 && named.length === 0 && (actualTypes[0] === T.record || catalog.type(baseType(catalog, actualTypes[0]))?.typtype === 'c')) {
    const field = fieldSelection(state, actual[0], names[0], location);
    if (field) return field;
  }

  const variadicCall = call.func_variadic ?? false;
  const resolution = resolveFunction(state, names, actualTypes, named.map((n) => n.name), variadicCall, location);
  if (resolution === undefined) {
    const cast = castByFunctionSyntax(state, names, actual, named, location);
    if (cast) return cast;
  }
  if (resolution === undefined || resolution === 'ambiguous') throw functionError(state, names, positional, named, resolution === 'ambiguous', call, location);

  const { proc } = resolution;
  if (isPlain === false || proc.prokind !== 'f') checkDecorations(state, call, proc, names, location);
  if (proc.prokind === 'p' && state.exprKind !== 'call argument') {
    throw state.error('42809', `${signatureText(state, names, actual, named)} is a procedure`, location, { hint: 'To call a procedure, use CALL.' });
  }

  const { args, resultType } = coerceArguments(state, resolution, actual, location);
  const collation = inputCollation(args);
  const result = resultCollation(catalog, resultType, args);

  if (proc.prokind === 'a') {
    if (catalog.aggregate(proc.oid)?.aggkind !== 'n')
      throw state.error('42809', `WITHIN GROUP is required for ordered-set aggregate ${proc.proname}`, location);
    const filter = call.agg_filter ? filterClause(state, call.agg_filter) : null;
    if (call.over) {
      if (call.agg_distinct) throw state.error('0A000', 'DISTINCT is not implemented for window functions', location);
      if (call.agg_order) throw state.error('0A000', 'aggregate ORDER BY is not implemented for window functions', location);
      return windowCall(state, call.over, { func: proc.oid, args, filter, star: call.agg_star ?? false, isAggregate: true, type: resultType, collation: result, inputCollation: collation, location });
    }
    return plainAggregate(state, call, proc, args, filter, resultType, result, collation, location, resolution);
  }
  if (proc.prokind === 'w') {
    if (!call.over) throw state.error('42809', `window function ${proc.proname} requires an OVER clause`, location);
    const filter = call.agg_filter ? filterClause(state, call.agg_filter) : null;
    if (filter) throw state.error('0A000', 'FILTER is not implemented for non-aggregate window functions', location);
    return windowCall(state, call.over, { func: proc.oid, args, filter, star: false, isAggregate: false, type: resultType, collation: result, inputCollation: collation, location });
  }
  if (proc.proretset) checkSetReturning(state, location);
  return {
    kind: 'FuncExpr', func: proc.oid, args, returnsSet: proc.proretset, variadic: variadicCall && resolution.variadicFrom < 0,
    form: call.funcformat === 'COERCE_SQL_SYNTAX' ? 'sql syntax' : 'call', inputCollation: collation, ...base(resultType, -1, result, location),
  };
}

function filterClause(state: ParseState, node: Node): Expr {
  return state.withKind('filter', () => coerceToBoolean(state, transformExpression(state, node), 'FILTER'));
}

function checkDecorations(state: ParseState, call: FuncCall, proc: PgProc, names: readonly string[], location: number): void {
  const name = names.join('.');
  if (proc.prokind === 'a' || proc.prokind === 'w') {
    if (proc.prokind === 'w') {
      if (call.agg_distinct) throw state.error('0A000', 'DISTINCT is not implemented for window functions', location);
      if (call.agg_order) throw state.error('0A000', 'aggregate ORDER BY is not implemented for window functions', location);
      if (call.agg_star && call.over) throw state.error('42809', `${name}(*) must be used to call a parameterless aggregate function`, location);
    } else if (!call.agg_star && (call.args ?? []).length === 0 && proc.pronargs === 0 && catalogIsPlainAggregate(state, proc)) {
      throw state.error('42809', `${name}(*) must be used to call a parameterless aggregate function`, location);
    }
    return;
  }
  if (call.agg_star) throw state.error('42809', `${name}(*) specified, but ${name} is not an aggregate function`, location);
  if (call.agg_distinct) throw state.error('42809', `DISTINCT specified, but ${name} is not an aggregate function`, location);
  if (call.agg_order) throw state.error('42809', `ORDER BY specified, but ${name} is not an aggregate function`, location);
  if (call.agg_filter) throw state.error('42809', `FILTER specified, but ${name} is not an aggregate function`, location);
  if (call.over) throw state.error('42809', `OVER specified, but ${name} is not a window function nor an aggregate function`, location);
}

function catalogIsPlainAggregate(state: ParseState, proc: PgProc): boolean {
  return state.catalog.aggregate(proc.oid)?.aggkind === 'n';
}

function plainAggregate(state: ParseState, call: FuncCall, proc: PgProc, args: Expr[], filter: Expr | null, type: Oid, collation: Oid, argCollation: Oid, location: number, resolution: FunctionCandidate): Expr {
  const targets: TargetEntry[] = args.map((expr, i) => makeTargetEntry(expr, i + 1, null));
  let orderBy: SortGroupClause[] = [];
  if (call.agg_order) {
    state.withKind('order by', () => {
      for (const node of call.agg_order ?? []) orderBy = addSortClause(state, node, targets, orderBy, 'aggregate');
    });
  }
  let distinct: SortGroupClause[] = [];
  if (call.agg_distinct) {
    distinct = addGroupClauseForDistinct(state, targets, orderBy, location, true);
  }
  const levelsUp = checkAggregateArguments(state, [...targets.map((t) => t.expr), ...(filter ? [filter] : [])], location);
  noteAggregate(state, levelsUp, location);
  return {
    kind: 'Aggref', func: proc.oid, aggKind: 'n', star: call.agg_star ?? false, directArgs: [], args: targets, orderBy, distinct, filter,
    variadic: (call.func_variadic ?? false) && resolution.variadicFrom < 0, levelsUp, inputCollation: argCollation, argTypes: args.map((a) => a.type), ...base(type, -1, collation, location),
  };
}

function orderedSetAggregate(state: ParseState, call: FuncCall, names: string[], direct: Expr[]): Expr {
  const { catalog } = state;
  const location = call.location ?? -1;
  if (call.over) throw notSupportedAt(state, 'OVER is not supported for ordered-set aggregates', location);
  const sorted = state.withKind('order by', () => (call.agg_order ?? []).map((node) => transformExpression(state, (node as { SortBy: { node: Node } }).SortBy.node)));
  const actualTypes = [...direct, ...sorted].map((expr) => expr.type);
  const resolution = resolveFunction(state, names, actualTypes, [], false, location);
  if (!resolution || resolution === 'ambiguous') throw functionError(state, names, [...direct, ...sorted], [], resolution === 'ambiguous', call, location);
  const { proc } = resolution;
  const aggregate = catalog.aggregate(proc.oid);
  if (!aggregate || proc.prokind !== 'a') throw state.error('42809', `WITHIN GROUP specified, but ${names.join('.')} is not an aggregate function`, location);
  if (aggregate.aggkind === 'n') throw state.error('42809', `${names.join('.')} is not an ordered-set aggregate, so it cannot have WITHIN GROUP`, location);
  let { args, resultType } = coerceArguments(state, resolution, [...direct, ...sorted], location);
  // VARIADIC "any" hypothetical-set aggregates: direct arguments take the types of the sorted ones
  let directArgs = args.slice(0, direct.length);
  let sortArgs = args.slice(direct.length);
  if (aggregate.aggkind === 'h') {
    if (direct.length !== sorted.length)
      throw functionError(state, names, [...direct, ...sorted], [], false, call, location);
    directArgs = direct.map((expr, i) => {
      const common = selectCommonType(state, [sorted[i], expr], 'WITHIN GROUP');
      sortArgs[i] = coerceToCommonType(state, sorted[i], common, 'WITHIN GROUP');
      return coerceToCommonType(state, expr, common, 'WITHIN GROUP');
    });
  }
  const targets: TargetEntry[] = [];
  let orderBy: SortGroupClause[] = [];
  sortArgs.forEach((expr, i) => targets.push(makeTargetEntry(expr, i + 1, null)));
  (call.agg_order ?? []).forEach((node, i) => {
    orderBy = addSortClause(state, node, targets, orderBy, 'within group', targets[i]);
  });
  const filter = call.agg_filter ? filterClause(state, call.agg_filter) : null;
  const levelsUp = checkAggregateArguments(state, [...targets.map((t) => t.expr), ...directArgs, ...(filter ? [filter] : [])], location);
  noteAggregate(state, levelsUp, location);
  return {
    kind: 'Aggref', func: proc.oid, aggKind: aggregate.aggkind, star: false, directArgs, args: targets, orderBy, distinct: [], filter, variadic: false, levelsUp,
    inputCollation: inputCollation(sortArgs), argTypes: [...directArgs, ...sortArgs].map((a) => a.type), ...base(resultType, -1, resultCollation(catalog, resultType, sortArgs), location),
  };
}

function notSupportedAt(state: ParseState, message: string, location: number) {
  return state.error('0A000', message, location);
}

interface WindowCallParts { func: Oid; args: Expr[]; filter: Expr | null; star: boolean; isAggregate: boolean; type: Oid; collation: Oid; inputCollation: Oid; location: number }

const WINDOW_FORBIDDEN: Readonly<Partial<Record<ParseState['exprKind'], string>>> = {
  where: 'WHERE', having: 'HAVING', filter: 'FILTER', 'group by': 'GROUP BY', limit: 'LIMIT', offset: 'OFFSET', returning: 'RETURNING', values: 'VALUES', 'values single': 'VALUES',
  'join on': 'JOIN conditions', 'join using': 'JOIN conditions', 'check constraint': 'check constraints', 'domain check': 'check constraints', 'column default': 'DEFAULT expressions', 'update source': 'UPDATE',
  'index expression': 'index expressions', 'statistics expression': 'statistics expressions', 'index predicate': 'index predicates', 'from function': 'functions in FROM', 'generated column': 'column generation expressions', 'alter column transform': 'transform expressions',
  'window partition': 'window definitions', 'window order': 'window definitions', 'window frame range': 'window definitions', 'window frame rows': 'window definitions', 'window frame groups': 'window definitions',
};

function windowCall(state: ParseState, over: WindowDef, parts: WindowCallParts): Expr {
  const forbidden = WINDOW_FORBIDDEN[state.exprKind];
  if (forbidden) throw state.error('42P20', `window functions are not allowed in ${forbidden}`, parts.location);
  const winref = windowReference(state, over);
  state.hasWindowFuncs = true;
  return {
    kind: 'WindowFunc', func: parts.func, args: parts.args, filter: parts.filter, winref, star: parts.star, isAggregate: parts.isAggregate,
    inputCollation: parts.inputCollation, ...base(parts.type, -1, parts.collation, parts.location),
  };
}

const SRF_FORBIDDEN: Readonly<Partial<Record<ParseState['exprKind'], string>>> = {
  where: 'WHERE', having: 'HAVING', filter: 'FILTER', limit: 'LIMIT', offset: 'OFFSET', returning: 'RETURNING', values: 'VALUES', 'join on': 'JOIN conditions', 'join using': 'JOIN conditions',
  'check constraint': 'check constraints', 'domain check': 'check constraints', 'column default': 'DEFAULT expressions', 'update source': 'UPDATE', 'index expression': 'index expressions', 'statistics expression': 'statistics expressions',
  'index predicate': 'index predicates', 'window partition': 'window definitions', 'window order': 'window definitions', 'generated column': 'column generation expressions', 'alter column transform': 'transform expressions', 'call argument': 'CALL arguments',
};

function checkSetReturning(state: ParseState, location: number): void {
  const forbidden = SRF_FORBIDDEN[state.exprKind];
  if (forbidden) throw state.error('0A000', `set-returning functions are not allowed in ${forbidden}`, location);
  if (state.exprKind !== 'from function') state.hasTargetSRFs = true;
}

/** All candidates for a call of `given` types, best one chosen. */
function resolveFunction(state: ParseState, names: readonly string[], given: readonly Oid[], argNames: readonly string[], variadicCall: boolean, location: number): FunctionCandidate | 'ambiguous' | undefined {
  const { catalog } = state;
  const procs = functionsNamed(state.env, names, location);
  const candidates: FunctionCandidate[] = [];
  for (const proc of procs) {
    const candidate = candidateFor(proc, given.length, argNames, variadicCall);
    if (candidate) candidates.push(candidate);
    else {
      const expanded = variadicCall ? undefined : expandVariadic(catalog.type.bind(catalog), proc, given.length, argNames);
      if (expanded) candidates.push(expanded);
    }
    if (candidate && !variadicCall && proc.provariadic !== 0) {
      const expanded = expandVariadic(catalog.type.bind(catalog), proc, given.length, argNames);
      if (expanded) candidates.push(expanded);
    }
  }
  const exact = candidates.filter((c) => c.args.every((type, i) => type === given[i]));
  if (exact.length >= 1) return preferNonVariadic(exact);
  if (candidates.length === 0) return undefined;
  // f(text) on a type name: a cast, tried before other coercions when the argument is unknown or binary-coercible
  if (given.length === 1 && argNames.length === 0 && names.length === 1) {
    const target = castTarget(state, names[0]);
    if (target && given[0] === T.unknown && !candidates.some((c) => c.args[0] === target)) return undefined;
  }
  const matched = matchArgTypes(catalog, given, candidates);
  if (matched.length === 0) return undefined;
  const distinct = dedupe(matched);
  if (distinct.length === 1) return distinct[0];
  return selectCandidate(catalog, given, distinct) ?? 'ambiguous';
}

function preferNonVariadic(candidates: FunctionCandidate[]): FunctionCandidate | 'ambiguous' {
  if (candidates.length === 1) return candidates[0];
  const plain = candidates.filter((c) => c.variadicFrom < 0 && c.defaultsUsed === 0);
  return plain.length >= 1 ? plain[0] : [...candidates].sort((a, b) => a.defaultsUsed - b.defaultsUsed)[0];
}

/** Of candidates with the same effective arguments, the non-variadic one without defaults wins. */
function dedupe(candidates: readonly FunctionCandidate[]): FunctionCandidate[] {
  const best = new Map<string, FunctionCandidate>();
  for (const candidate of candidates) {
    const key = candidate.args.join();
    const seen = best.get(key);
    const cost = (c: FunctionCandidate): number => (c.variadicFrom >= 0 ? 1000 : 0) + c.defaultsUsed;
    if (!seen || cost(candidate) < cost(seen)) best.set(key, candidate);
  }
  return [...best.values()];
}

/** A call without variadic expansion; fills trailing defaults; maps named arguments. */
function candidateFor(proc: PgProc, count: number, argNames: readonly string[], variadicCall: boolean): FunctionCandidate | undefined {
  if (variadicCall && proc.provariadic === 0) return undefined;
  if (proc.provariadic === T.any && !variadicCall) return undefined;
  const total = proc.pronargs;
  if (count > total || count < total - proc.pronargdefaults) return undefined;
  const positions: number[] = [];
  const positionalCount = count - argNames.length;
  for (let i = 0; i < positionalCount; i++) positions.push(i);
  for (const name of argNames) {
    const position = inputArgumentNames(proc).indexOf(name);
    if (position < positionalCount || positions.includes(position)) return undefined;
    positions.push(position);
  }
  for (let i = 0; i < total; i++) if (!positions.includes(i) && i < total - proc.pronargdefaults) return undefined;
  return { proc, args: positions.map((p) => proc.proargtypes[p]), declared: proc.proargtypes, variadicFrom: -1, positions, defaultsUsed: total - count };
}

function inputArgumentNames(proc: PgProc): string[] {
  const names = proc.proargnames ?? [];
  if (!proc.proargmodes) return [...names];
  return names.filter((_, i) => ['i', 'b', 'v'].includes(proc.proargmodes![i]));
}

function expandVariadic(_type: unknown, proc: PgProc, count: number, argNames: readonly string[]): FunctionCandidate | undefined {
  if (proc.provariadic === 0 || argNames.length > 0) return undefined;
  const fixed = proc.pronargs - 1;
  if (count < fixed + (proc.provariadic === T.any ? 0 : 1)) return undefined;
  if (proc.provariadic === T.any && count < fixed + 1) return undefined;
  const args = proc.proargtypes.slice(0, fixed).concat(Array<Oid>(count - fixed).fill(proc.provariadic));
  return { proc, args, declared: args, variadicFrom: fixed, positions: args.map((_, i) => i), defaultsUsed: 0 };
}

/** Coerces the given arguments to the declared types, adds defaults, gathers variadic ones into an array. */
function coerceArguments(state: ParseState, resolution: FunctionCandidate, actual: readonly Expr[], location: number): { args: Expr[]; resultType: Oid } {
  const { catalog } = state;
  const { proc } = resolution;
  // into declaration order
  const ordered: (Expr | null)[] = resolution.declared.map(() => null);
  resolution.positions.forEach((position, i) => (ordered[position] = actual[i]));
  ordered.forEach((expr, i) => {
    if (expr === null) ordered[i] = defaultArgument(state, proc, i);
  });
  const exprs = ordered as Expr[];
  const types = exprs.map((expr) => expr.type);
  const usesPolymorphism = resolution.declared.some(isPolymorphic) || isPolymorphic(proc.prorettype);
  let declared: readonly Oid[] = resolution.declared;
  let resultType = proc.prorettype;
  if (usesPolymorphism) {
    try {
      const resolved = resolvePolymorphic(catalog, types, resolution.declared, proc.prorettype);
      declared = resolved.argTypes;
      resultType = resolved.resultType;
    } catch (error) {
      throw withPosition(state, error, location);
    }
  }
  const coerced = exprs.map((expr, i) => {
    const declaredType = declared[i];
    if (expr.type === T.unknown && (resolution.declared[i] === T.any)) return coerceUnknownAny(state, expr);
    return coerceType(state, expr, declaredType, -1, 'implicit', 'implicit cast', -1);
  });
  if (resolution.variadicFrom < 0 || proc.provariadic === T.any) return { args: coerced, resultType };
  const fixed = coerced.slice(0, resolution.variadicFrom);
  const gathered = coerced.slice(resolution.variadicFrom);
  const element = gathered.length > 0 ? gathered[0].type : proc.provariadic;
  const arrayOid = catalog.type(element)?.typarray ?? 0;
  if (!arrayOid) throw state.error('42704', `could not find array type for data type ${formatType(catalog, element)}`, location);
  fixed.push({ kind: 'ArrayExpr', elementType: element, elements: gathered, multidims: false, ...base(arrayOid, -1, gathered[0]?.collation ?? 0, gathered[0]?.location ?? -1) });
  return { args: fixed, resultType };
}

/** A literal for "any" stays unknown in PostgreSQL; its value is text for every function that looks. */
function coerceUnknownAny(state: ParseState, expr: Expr): Expr {
  if (expr.kind === 'Const') return makeConst(state.catalog, T.unknown, expr.value, expr.location);
  return expr;
}

function defaultArgument(state: ParseState, proc: PgProc, position: number): Expr {
  const index = position - (proc.pronargs - proc.pronargdefaults);
  const text = proc.proargdefaults?.[index];
  if (text === undefined) throw notSupported(`default of argument ${position + 1} of function ${proc.proname}`);
  const expr = transformExpression(state, parseExpression(text));
  return coerceToTargetType(state, expr, proc.proargtypes[position], -1, 'assignment', 'implicit cast', -1) ?? expr;
}

function withPosition(state: ParseState, error: unknown, location: number): unknown {
  if (error instanceof Error && 'position' in error && error.position === undefined) (error as { position?: number }).position = state.env.source.position(location);
  return error;
}

function castTarget(state: ParseState, name: string): Oid {
  for (const oid of state.env.context.session.searchPathOids) {
    const type = state.catalog.typeNamed(oid, name);
    if (type) return type.oid;
  }
  return 0;
}

/** typename(x) as a cast, where no function of that name fits. */
function castByFunctionSyntax(state: ParseState, names: readonly string[], actual: readonly Expr[], named: readonly NamedArgument[], location: number): Expr | undefined {
  if (actual.length !== 1 || named.length > 0) return undefined;
  let target: Oid;
  try {
    target = resolveTypeName(state.env, { names: names.map((sval) => ({ String: { sval } })) as Node[], typemod: -1 }).type.oid;
  } catch {
    return undefined;
  }
  const source = actual[0].type;
  const allowed = source === T.unknown || canCoerceTypes(state.catalog, [source], [target], 'explicit');
  if (!allowed || (state.catalog.type(target)?.typtype === 'c' && source !== T.record)) return undefined;
  return coerceType(state, actual[0], target, -1, 'explicit', 'explicit cast', location);
}

function signatureText(state: ParseState, names: readonly string[], positional: readonly Expr[], named: readonly NamedArgument[]): string {
  const types = [
    ...positional.map((expr) => formatType(state.catalog, expr.type)),
    ...named.map((n) => `${n.name} => ${formatType(state.catalog, n.expr.type)}`),
  ];
  return `${names.join('.')}(${types.join(', ')})`;
}

function functionError(state: ParseState, names: readonly string[], positional: readonly Expr[], named: readonly NamedArgument[], ambiguous: boolean, call: FuncCall, location: number) {
  const signature = signatureText(state, names, positional, named);
  if (ambiguous) {
    return state.error('42725', `function ${signature} is not unique`, location, {
      hint: 'Could not choose a best candidate function. You might need to add explicit type casts.',
    });
  }
  if (call.agg_order && call.agg_order.length > 0 && !call.agg_within_group) {
    return state.error('42883', `function ${signature} does not exist`, location, {
      hint: 'No aggregate function matches the given name and argument types. Perhaps you misplaced ORDER BY; ORDER BY must appear after all regular arguments of the aggregate.',
    });
  }
  return state.error('42883', `function ${signature} does not exist`, location, {
    hint: 'No function matches the given name and argument types. You might need to add explicit type casts.',
  });
}

/** OUT parameters or composite result of a function in FROM: names and types of its columns; null for a scalar. */
export function functionResultColumns(state: ParseState, expr: FuncExpr): { name: string; type: Oid }[] | null {
  const { catalog } = state;
  const proc = catalog.proc(expr.func);
  if (!proc) return null;
  if (proc.proallargtypes && proc.proargmodes) {
    const outs: { name: string; type: Oid }[] = [];
    proc.proargmodes.forEach((mode, i) => {
      if (mode === 'o' || mode === 'b' || mode === 't') outs.push({ name: proc.proargnames?.[i] || `column${outs.length + 1}`, type: proc.proallargtypes![i] });
    });
    if (outs.length > 1 || (outs.length === 1 && proc.prorettype === T.record)) {
      const actual = expr.args.map((a) => a.type);
      return outs.map((out) => ({ name: out.name, type: isPolymorphic(out.type) ? resolvePolymorphic(catalog, actual, proc.proargtypes, out.type).resultType : out.type }));
    }
    if (outs.length === 1) return null;
  }
  const resolved = catalog.type(baseType(catalog, expr.type));
  if (resolved?.typtype === 'c') {
    const relation = catalog.relation(resolved.typrelid);
    return relation ? relation.attributes.filter((a) => !a.attisdropped).map((a) => ({ name: a.attname, type: a.atttypid })) : null;
  }
  return null;
}

export { elementType };
