/**
 * Type coercion, after parse_coerce.c: which conversions exist, which of them may be applied in a
 * context, and the expression nodes that do them.
 */
import { DatabaseError } from '../../engine/errors.js';
import type { Catalog, Oid } from '../catalog/catalog.js';
import { TypeOid as T } from '../catalog/type-oids.js';
import type { CoercionForm, Const, Expr, RowExpr } from './query-tree.js';
import type { ParseState } from './parse-state.js';
import { base, makeConst, resultCollation, typeCollation } from './make-nodes.js';
import { formatType } from './names.js';

/** implicit < assignment < explicit */
export type CoercionContext = 'implicit' | 'assignment' | 'explicit';

export type CoercionPath =
  | { readonly kind: 'none' }
  | { readonly kind: 'relabel' }
  | { readonly kind: 'func'; readonly func: Oid }
  | { readonly kind: 'viaio' }
  | { readonly kind: 'array' };

const NONE: CoercionPath = { kind: 'none' };
const RELABEL: CoercionPath = { kind: 'relabel' };

export function isPolymorphic(type: Oid): boolean {
  switch (type) {
    case T.anyelement: case T.anyarray: case T.anynonarray: case T.anyenum: case T.anyrange: case T.anymultirange:
    case T.anycompatible: case T.anycompatiblearray: case T.anycompatiblenonarray: case T.anycompatiblerange: case T.anycompatiblemultirange:
      return true;
    default:
      return false;
  }
}

export function baseType(catalog: Catalog, oid: Oid): Oid {
  return baseTypeAndTypmod(catalog, oid, -1).type;
}

export function baseTypeAndTypmod(catalog: Catalog, oid: Oid, typmod: number): { type: Oid; typmod: number } {
  for (;;) {
    const type = catalog.type(oid);
    if (!type || type.typtype !== 'd') return { type: oid, typmod };
    oid = type.typbasetype;
    typmod = type.typtypmod;
  }
}

/** Element type of a true array type (not of int2vector and friends), else 0. */
export function elementType(catalog: Catalog, oid: Oid): Oid {
  const type = catalog.type(oid);
  return type && type.typlen === -1 && type.typelem !== 0 && type.typcategory === 'A' ? type.typelem : 0;
}

/** Element type for matching against anyarray: true arrays, and oidvector/int2vector too. */
function baseElementType(catalog: Catalog, oid: Oid): Oid {
  const resolved = baseType(catalog, oid);
  return elementType(catalog, resolved) || (resolved === T.int2vector ? T.int2 : resolved === T.oidvector ? T.oid : 0);
}

export function arrayType(catalog: Catalog, element: Oid): Oid {
  return catalog.type(element)?.typarray ?? 0;
}

export function isComplex(catalog: Catalog, oid: Oid): boolean {
  const type = catalog.type(baseType(catalog, oid));
  return type?.typtype === 'c';
}

export function typeCategory(catalog: Catalog, oid: Oid): string {
  return catalog.type(oid)?.typcategory ?? '';
}

/** IsBinaryCoercible: values of `source` serve as `target` unchanged. */
export function isBinaryCoercible(catalog: Catalog, source: Oid, target: Oid): boolean {
  if (source === target || target === T.any || target === T.anyelement || target === T.anycompatible) return true;
  const resolved = baseType(catalog, source);
  if (resolved === target) return true;
  if ((target === T.anyarray || target === T.anycompatiblearray) && elementType(catalog, resolved)) return true;
  if ((target === T.anynonarray || target === T.anycompatiblenonarray) && !elementType(catalog, resolved)) return true;
  if (target === T.anyenum && catalog.type(resolved)?.typtype === 'e') return true;
  if ((target === T.anyrange || target === T.anycompatiblerange) && catalog.type(resolved)?.typtype === 'r') return true;
  if (target === T.record && isComplex(catalog, resolved)) return true;
  if (target === T.recordArray && elementType(catalog, resolved) && isComplex(catalog, elementType(catalog, resolved))) return true;
  const cast = catalog.cast(resolved, target);
  return cast?.castmethod === 'b' && cast.castcontext === 'i';
}

const RANK: Readonly<Record<CoercionContext, number>> = { implicit: 0, assignment: 1, explicit: 2 };
const CAST_RANK: Readonly<Record<'i' | 'a' | 'e', number>> = { i: 0, a: 1, e: 2 };

export function findCoercionPath(catalog: Catalog, target: Oid, source: Oid, context: CoercionContext): CoercionPath {
  source = baseType(catalog, source);
  target = baseType(catalog, target);
  if (source === target) return RELABEL;
  const cast = catalog.cast(source, target);
  if (cast) {
    if (RANK[context] < CAST_RANK[cast.castcontext]) return NONE;
    if (cast.castmethod === 'b') return RELABEL;
    return cast.castmethod === 'f' ? { kind: 'func', func: cast.castfunc } : { kind: 'viaio' };
  }
  if (target !== T.oidvector && target !== T.int2vector) {
    const targetElement = elementType(catalog, target);
    const sourceElement = elementType(catalog, source);
    if (targetElement && sourceElement) {
      const path = findCoercionPath(catalog, targetElement, sourceElement, context);
      if (path.kind !== 'none') return { kind: 'array' };
    }
  }
  if (context !== 'implicit' && typeCategory(catalog, target) === 'S') return { kind: 'viaio' };
  if (context === 'explicit' && typeCategory(catalog, source) === 'S') return { kind: 'viaio' };
  return NONE;
}

/** The length-coercion function of a type, e.g. varchar(varchar,int4,bool): the cast of a type to itself. */
function typmodFunction(catalog: Catalog, type: Oid): Oid {
  return catalog.cast(type, type)?.castfunc ?? 0;
}

export function canCoerceTypes(catalog: Catalog, inputs: readonly Oid[], targets: readonly Oid[], context: CoercionContext): boolean {
  let generic = false;
  for (let i = 0; i < inputs.length; i++) {
    const input = inputs[i];
    const target = targets[i];
    if (input === target || target === T.any) continue;
    if (isPolymorphic(target)) {
      generic = true;
      continue;
    }
    if (input === T.unknown) continue;
    const path = findCoercionPath(catalog, target, input, context);
    if (path.kind !== 'none') continue;
    if (input === T.record && isComplex(catalog, target)) continue;
    if (target === T.record && isComplex(catalog, input)) continue;
    if (target === T.recordArray && elementType(catalog, input) && isComplex(catalog, elementType(catalog, input))) continue;
    return false;
  }
  return !generic || genericTypesConsistent(catalog, inputs, targets);
}

function genericTypesConsistent(catalog: Catalog, actual: readonly Oid[], declared: readonly Oid[]): boolean {
  try {
    resolvePolymorphic(catalog, actual, declared, 0, true);
    return true;
  } catch (error) {
    if (error instanceof DatabaseError) return false;
    throw error;
  }
}

export interface PolymorphicResolution {
  readonly argTypes: Oid[];
  readonly resultType: Oid;
}

/**
 * enforce_generic_type_consistency: replaces polymorphic declared types by actual ones. With
 * `check`, unknown actuals are tolerated and the result type is not resolved.
 */
export function resolvePolymorphic(catalog: Catalog, actual: readonly Oid[], declared: readonly Oid[], resultType: Oid, check = false): PolymorphicResolution {
  let element: Oid = 0;
  let array: Oid = 0;
  let range: Oid = 0;
  let haveAny = false;
  let nonArray = false;
  let anyEnum = false;
  const compatible: Oid[] = [];
  let haveCompatible = false;
  let haveCompatibleNonArray = false;
  let unknownSeen = false;

  for (let i = 0; i < declared.length; i++) {
    const type = actual[i];
    switch (declared[i]) {
      case T.anyelement: case T.anynonarray: case T.anyenum:
        haveAny = true;
        if (declared[i] === T.anynonarray) nonArray = true;
        if (declared[i] === T.anyenum) anyEnum = true;
        if (type === T.unknown) { unknownSeen = true; break; }
        if (element && element !== type) throw notAlike(catalog, 'anyelement', element, type);
        element = type;
        break;
      case T.anyarray: {
        haveAny = true;
        if (type === T.unknown) { unknownSeen = true; break; }
        const resolved = baseType(catalog, type);
        if (array && array !== resolved) throw notAlike(catalog, 'anyarray', array, resolved);
        if (resolved !== T.anyarray && !baseElementType(catalog, resolved))
          throw new DatabaseError('42804', `argument declared anyarray is not an array but type ${formatType(catalog, type)}`);
        array = resolved;
        break;
      }
      case T.anyrange: case T.anymultirange:
        haveAny = true;
        if (type === T.unknown) { unknownSeen = true; break; }
        if (catalog.type(baseType(catalog, type))?.typtype !== (declared[i] === T.anyrange ? 'r' : 'm')) {
          const what = declared[i] === T.anyrange ? 'range' : 'multirange';
          throw new DatabaseError('42804', `argument declared any${what} is not a ${what} type but type ${formatType(catalog, type)}`);
        }
        range = type;
        break;
      case T.anycompatible: case T.anycompatiblenonarray:
        haveCompatible = true;
        if (declared[i] === T.anycompatiblenonarray) haveCompatibleNonArray = true;
        compatible.push(type);
        break;
      case T.anycompatiblearray: {
        haveCompatible = true;
        if (type === T.unknown) { compatible.push(T.unknown); break; }
        const resolved = baseType(catalog, type);
        const of = baseElementType(catalog, resolved);
        if (!of) throw new DatabaseError('42804', `argument declared anycompatiblearray is not an array but type ${formatType(catalog, type)}`);
        compatible.push(of);
        break;
      }
      case T.anycompatiblerange: case T.anycompatiblemultirange:
        haveCompatible = true;
        if (type !== T.unknown && catalog.type(baseType(catalog, type))?.typtype !== (declared[i] === T.anycompatiblerange ? 'r' : 'm'))
          throw new DatabaseError('42804', `argument declared anycompatiblerange is not a range type but type ${formatType(catalog, type)}`);
        break;
    }
  }

  if (haveAny) {
    if (array && array !== T.anyarray) {
      const of = baseElementType(catalog, array);
      if (element && element !== of) {
        throw new DatabaseError('42804', 'argument declared anyarray is not consistent with argument declared anyelement', {
          detail: `${formatType(catalog, array)} versus ${formatType(catalog, element)}`,
        });
      }
      element = of;
    }
    if (!element && !range && unknownSeen && !check && array !== T.anyarray) {
      throw new DatabaseError('42804', `could not determine polymorphic type because input has type unknown`);
    }
    if (nonArray && element && elementType(catalog, baseType(catalog, element)))
      throw new DatabaseError('42804', `type matched to anynonarray is an array type: ${formatType(catalog, element)}`);
    if (anyEnum && element && catalog.type(baseType(catalog, element))?.typtype !== 'e')
      throw new DatabaseError('42804', `type matched to anyenum is not an enum type: ${formatType(catalog, element)}`);
  }

  let common: Oid = 0;
  if (haveCompatible) {
    common = selectCommonTypeFromOids(catalog, compatible, check);
    if (check && common === 0 && compatible.some((type) => type !== T.unknown)) throw new DatabaseError('42804', 'arguments of anycompatible family cannot be cast to a common type');
    if (common === T.unknown || (common === 0 && compatible.length > 0)) common = T.text;
    if (haveCompatibleNonArray && elementType(catalog, common)) throw new DatabaseError('42804', `type matched to anycompatiblenonarray is an array type: ${formatType(catalog, common)}`);
    if (compatible.some((type) => !canCoerceTypes(catalog, [type], [common], 'implicit'))) throw new DatabaseError('42804', 'arguments of anycompatible family cannot be cast to a common type');
  }

  const substitute = (type: Oid, actualType: Oid): Oid => {
    switch (type) {
      case T.anyelement: case T.anynonarray: case T.anyenum:
        return element || actualType;
      case T.anyarray: {
        if (array) return array;
        const found = element ? arrayType(catalog, element) : 0;
        if (!found && !check) throw new DatabaseError('42704', `could not find array type for data type ${formatType(catalog, element)}`);
        return found || actualType;
      }
      case T.anyrange: case T.anymultirange:
        return range || actualType;
      case T.anycompatible: case T.anycompatiblenonarray:
        return common || actualType;
      case T.anycompatiblearray:
        return (common && arrayType(catalog, common)) || actualType;
      default:
        return type;
    }
  };
  const argTypes = declared.map((type, i) => substitute(type, actual[i]));
  return { argTypes, resultType: check ? 0 : substitute(resultType, resultType) };
}

function notAlike(catalog: Catalog, what: string, left: Oid, right: Oid): DatabaseError {
  return new DatabaseError('42804', `arguments declared "${what}" are not all alike`, { detail: `${formatType(catalog, left)} versus ${formatType(catalog, right)}` });
}

function selectCommonTypeFromOids(catalog: Catalog, types: readonly Oid[], noError: boolean): Oid {
  const known = types.filter((type) => type !== T.unknown);
  if (known.length === 0) return T.unknown;
  let chosen = baseType(catalog, known[0]);
  if (types.every((type) => type === types[0])) return types[0];
  let category = typeCategory(catalog, chosen);
  let preferred = catalog.type(chosen)?.typispreferred ?? false;
  for (const candidate of known.slice(1)) {
    const type = baseType(catalog, candidate);
    if (type === chosen) continue;
    if (typeCategory(catalog, type) !== category) {
      if (noError) return 0;
      throw new DatabaseError('42804', `arguments of anycompatible family cannot be cast to a common type`);
    }
    if (!preferred && canCoerceTypes(catalog, [chosen], [type], 'implicit') && !canCoerceTypes(catalog, [type], [chosen], 'implicit')) {
      chosen = type;
      category = typeCategory(catalog, type);
      preferred = catalog.type(type)?.typispreferred ?? false;
    }
  }
  return chosen;
}

/** select_common_type: the type of a UNION column, CASE, COALESCE, VALUES, ARRAY[]. `what` names the construct in errors. */
export function selectCommonType(state: ParseState, exprs: readonly Expr[], what: string | null): Oid {
  const { catalog } = state;
  const first = exprs[0];
  if (first.type !== T.unknown && exprs.every((expr) => expr.type === first.type)) return first.type;
  let chosen = baseType(catalog, first.type);
  let category = typeCategory(catalog, chosen);
  let preferred = catalog.type(chosen)?.typispreferred ?? false;
  for (const expr of exprs.slice(1)) {
    const type = baseType(catalog, expr.type);
    if (type === T.unknown || type === chosen) continue;
    const itsCategory = typeCategory(catalog, type);
    const itsPreferred = catalog.type(type)?.typispreferred ?? false;
    if (chosen === T.unknown) {
      chosen = type;
      category = itsCategory;
      preferred = itsPreferred;
    } else if (itsCategory !== category) {
      if (what === null) return 0;
      throw state.error('42804', `${what} types ${formatType(catalog, chosen)} and ${formatType(catalog, type)} cannot be matched`, expr.location);
    } else if (!preferred && canCoerceTypes(catalog, [chosen], [type], 'implicit') && !canCoerceTypes(catalog, [type], [chosen], 'implicit')) {
      chosen = type;
      category = itsCategory;
      preferred = itsPreferred;
    }
  }
  return chosen === T.unknown ? T.text : chosen;
}

/** The typmod all expressions share if they have `type`, else -1. */
export function selectCommonTypmod(exprs: readonly Expr[], type: Oid): number {
  const first = exprs[0];
  return exprs.every((expr) => expr.type === type && expr.typmod === first.typmod) ? first.typmod : -1;
}

export function coerceToCommonType(state: ParseState, expr: Expr, target: Oid, what: string): Expr {
  if (expr.type === target) return expr;
  if (canCoerceTypes(state.catalog, [expr.type], [target], 'implicit'))
    return coerceType(state, expr, target, -1, 'implicit', 'implicit cast', -1);
  throw state.error('42846', `${what} could not convert type ${formatType(state.catalog, expr.type)} to ${formatType(state.catalog, target)}`, expr.location);
}

/** coerce_to_target_type: null where there is no such coercion in the context. */
export function coerceToTargetType(state: ParseState, expr: Expr, target: Oid, typmod: number, context: CoercionContext, form: CoercionForm, location: number): Expr | null {
  if (!canCoerceTypes(state.catalog, [expr.type], [target], context)) return null;
  // a COLLATE stays on top of the coercion
  if (expr.kind === 'CollateExpr') {
    const inner = coerceToTargetType(state, expr.arg, target, typmod, context, form, location);
    if (inner === null || typeCollation(state.catalog, target) === 0) return inner;
    return { ...expr, arg: inner, type: inner.type, typmod: inner.typmod };
  }
  const result = coerceType(state, expr, target, typmod, context, form, location);
  return coerceTypmod(state, result, target, typmod, context, form, location, result !== expr && result.kind !== 'Const');
}

export function coerceType(state: ParseState, expr: Expr, target: Oid, typmod: number, context: CoercionContext, form: CoercionForm, location: number): Expr {
  const { catalog } = state;
  const source = expr.type;
  if (target === source || expr.type === target) return expr;
  if (target === T.any || target === T.anyelement || target === T.anynonarray || target === T.anycompatible || target === T.anycompatiblenonarray) return expr;
  if (target === T.anyarray || target === T.anyenum || target === T.anyrange || target === T.anycompatiblearray || target === T.anycompatiblerange || target === T.anymultirange || target === T.anycompatiblemultirange) {
    if (source !== T.unknown) {
      const resolved = baseType(catalog, source);
      return resolved === source ? expr : { kind: 'RelabelType', arg: expr, form: 'implicit cast', ...base(resolved, -1, expr.collation, location) };
    }
  }
  if (expr.kind === 'Const' && source === T.unknown) return coerceUnknownConst(state, expr, target, typmod, context, form, location);
  if (expr.kind === 'Param' && expr.paramKind === 'external' && source === T.unknown && state.env.parameters.isVariable) {
    const type = state.env.parameters.resolve(expr.id, target);
    if (type !== target && type !== T.unknown) {
      if (findCoercionPath(catalog, target, type, context).kind === 'none') {
        throw state.error('42P08', `inconsistent types deduced for parameter $${expr.id}`, expr.location, {
          detail: `${formatType(catalog, type)} versus ${formatType(catalog, target)}`,
        });
      }
      return coerceType(state, { ...expr, type, collation: typeCollation(catalog, type) }, target, typmod, context, form, location);
    }
    return { ...expr, type: target, typmod: -1, collation: typeCollation(catalog, target) };
  }
  if (expr.kind === 'CollateExpr') {
    const arg = coerceType(state, expr.arg, target, typmod, context, form, location);
    return typeCollation(catalog, target) === 0 ? arg : { ...expr, arg, type: arg.type, typmod: arg.typmod };
  }
  const path = findCoercionPath(catalog, target, source, context);
  if (path.kind !== 'none') {
    const resolved = baseTypeAndTypmod(catalog, target, typmod);
    if (path.kind !== 'relabel') {
      const result = applyPath(state, path, expr, resolved.type, resolved.typmod, context, form, location);
      return target === resolved.type ? result : coerceToDomain(state, hideCoercion(result), target, form, location);
    }
    const relabeled = coerceToDomain(state, expr, target, form, location);
    if (relabeled !== expr) return relabeled;
    return { kind: 'RelabelType', arg: expr, form, ...base(target, -1, typeCollation(catalog, target) && (expr.collation || typeCollation(catalog, target)), location) };
  }
  if (source === T.record && isComplex(catalog, target)) return coerceRecordToComplex(state, expr, target, context, form, location);
  if (target === T.record && isComplex(catalog, source)) return expr;
  if (target === T.recordArray) return expr;
  throw state.error('42846', `cannot cast type ${formatType(catalog, source)} to ${formatType(catalog, target)}`, location);
}

/** Runs the type's input function on the literal now. */
function coerceUnknownConst(state: ParseState, expr: Const, target: Oid, typmod: number, context: CoercionContext, form: CoercionForm, location: number): Expr {
  const { catalog } = state;
  const resolved = baseTypeAndTypmod(catalog, target, typmod);
  // interval is the one type whose input cannot be done without its typmod (fields), as in PostgreSQL
  const inputTypmod = resolved.type === T.interval ? resolved.typmod : -1;
  let value = expr.value;
  if (value !== null) {
    try {
      value = catalog.dataType(resolved.type).input(String(value), inputTypmod, state.env.context);
    } catch (error) {
      if (error instanceof DatabaseError && error.position === undefined) error.position = state.env.source.position(expr.location);
      throw error;
    }
  }
  const constant = makeConst(catalog, resolved.type, value, expr.location, inputTypmod);
  return resolved.type === target ? constant : coerceToDomain(state, coerceTypmod(state, constant, resolved.type, resolved.typmod, context, form, location, false), target, form, location);
}

function applyPath(state: ParseState, path: CoercionPath, expr: Expr, target: Oid, typmod: number, context: CoercionContext, form: CoercionForm, location: number): Expr {
  const { catalog } = state;
  const collation = resultCollation(catalog, target, [expr]);
  switch (path.kind) {
    case 'func': {
      const proc = catalog.proc(path.func);
      const args: Expr[] = [expr];
      if (proc && proc.pronargs >= 2) args.push(makeConst(catalog, T.int4, typmod));
      if (proc && proc.pronargs >= 3) args.push(makeConst(catalog, T.bool, context === 'explicit'));
      return { kind: 'FuncExpr', func: path.func, args, returnsSet: false, variadic: false, form, inputCollation: expr.collation, ...base(target, proc && proc.pronargs >= 2 ? typmod : -1, collation, location) };
    }
    case 'viaio':
      return { kind: 'CoerceViaIO', arg: expr, form, ...base(target, -1, collation, location) };
    case 'array': {
      const sourceElement = elementType(catalog, baseType(catalog, expr.type));
      const targetElement = elementType(catalog, target);
      const placeholder: Expr = { kind: 'CaseTestExpr', ...base(sourceElement, expr.typmod, typeCollation(catalog, sourceElement)) };
      const elementExpr = coerceToTargetType(state, placeholder, targetElement, typmod, context, form, location);
      if (!elementExpr) throw state.error('42846', `cannot cast type ${formatType(catalog, expr.type)} to ${formatType(catalog, target)}`, location);
      return { kind: 'ArrayCoerceExpr', arg: expr, elementExpr, form, ...base(target, typmod, collation, location) };
    }
    default:
      return expr;
  }
}

/** A cast that is only a step to another one is not printed. */
function hideCoercion(expr: Expr): Expr {
  switch (expr.kind) {
    case 'FuncExpr': case 'RelabelType': case 'CoerceViaIO': case 'ArrayCoerceExpr':
      return { ...expr, form: 'implicit cast' };
    default:
      return expr;
  }
}

/** Adds the domain check where the target is a domain; otherwise the expression as it is. */
export function coerceToDomain(state: ParseState, expr: Expr, target: Oid, form: CoercionForm, location: number): Expr {
  const resolved = baseTypeAndTypmod(state.catalog, target, -1);
  if (resolved.type === target) return expr;
  let arg = expr;
  if (arg.type !== resolved.type) arg = coerceType(state, arg, resolved.type, resolved.typmod, 'implicit', 'implicit cast', location);
  arg = coerceTypmod(state, arg, resolved.type, resolved.typmod, 'implicit', 'implicit cast', location, false);
  return { kind: 'CoerceToDomain', arg, form, ...base(target, -1, typeCollation(state.catalog, target), location) };
}

/** Length coercion to `typmod` where the expression does not have it already. */
export function coerceTypmod(state: ParseState, expr: Expr, target: Oid, typmod: number, context: CoercionContext, form: CoercionForm, location: number, hideInput: boolean): Expr {
  const { catalog } = state;
  if (typmod < 0 || expr.typmod === typmod) return expr;
  if (catalog.type(target)?.typtype === 'd') return expr;
  const func = typmodFunction(catalog, target);
  if (func) {
    const inner = hideInput && expr.kind === 'FuncExpr' ? { ...expr, form: 'implicit cast' as const } : expr;
    const args: Expr[] = [inner, makeConst(catalog, T.int4, typmod)];
    if ((catalog.proc(func)?.pronargs ?? 0) >= 3) args.push(makeConst(catalog, T.bool, context === 'explicit'));
    return { kind: 'FuncExpr', func, args, returnsSet: false, variadic: false, form, inputCollation: expr.collation, ...base(target, typmod, expr.collation, location) };
  }
  const element = elementType(catalog, target);
  if (element && typmodFunction(catalog, element)) {
    const placeholder: Expr = { kind: 'CaseTestExpr', ...base(element, expr.typmod, typeCollation(catalog, element)) };
    const elementExpr = coerceTypmod(state, placeholder, element, typmod, context, form, location, false);
    return { kind: 'ArrayCoerceExpr', arg: expr, elementExpr, form, ...base(target, typmod, expr.collation, location) };
  }
  return expr;
}

function coerceRecordToComplex(state: ParseState, expr: Expr, target: Oid, context: CoercionContext, form: CoercionForm, location: number): Expr {
  const { catalog } = state;
  const resolved = baseType(catalog, target);
  const relation = catalog.relation(catalog.type(resolved)?.typrelid ?? 0);
  const impossible = (detail: string, at = location): DatabaseError =>
    state.error('42846', `cannot cast type ${formatType(catalog, T.record)} to ${formatType(catalog, target)}`, at, { detail });
  if (expr.kind !== 'RowExpr' || !relation) throw state.error('42846', `cannot cast type ${formatType(catalog, T.record)} to ${formatType(catalog, target)}`, location);
  const columns = relation.attributes.filter((a) => !a.attisdropped);
  if (expr.args.length < columns.length) throw impossible('Input has too few columns.');
  if (expr.args.length > columns.length) throw impossible('Input has too many columns.');
  const args = columns.map((column, i) => {
    const arg = expr.args[i];
    const coerced = coerceToTargetType(state, arg, column.atttypid, column.atttypmod, context, 'implicit cast', -1);
    if (!coerced) throw impossible(`Cannot cast type ${formatType(catalog, arg.type)} to ${formatType(catalog, column.atttypid)} in column ${i + 1}.`, arg.location);
    return coerced;
  });
  const row: RowExpr = { ...expr, args, form: form === 'call' ? 'call' : 'implicit cast', fieldNames: columns.map((c) => c.attname), ...base(resolved, -1, 0, location) };
  return resolved === target ? row : coerceToDomain(state, row, target, form, location);
}

/** WHERE, AND, CHECK ...: the argument must be boolean. */
export function coerceToBoolean(state: ParseState, expr: Expr, construct: string): Expr {
  let result = expr;
  if (expr.type !== T.bool) {
    const coerced = coerceToTargetType(state, expr, T.bool, -1, 'assignment', 'implicit cast', -1);
    if (!coerced) throw state.error('42804', `argument of ${construct} must be type boolean, not type ${formatType(state.catalog, expr.type)}`, expr.location);
    result = coerced;
  }
  if (returnsSet(result)) throw state.error('42804', `argument of ${construct} must not return a set`, expr.location);
  return result;
}

/** LIMIT (bigint), typmod arguments (integer) and the like. */
export function coerceToSpecificType(state: ParseState, expr: Expr, target: Oid, construct: string): Expr {
  let result = expr;
  if (expr.type !== target) {
    const coerced = coerceToTargetType(state, expr, target, -1, 'assignment', 'implicit cast', -1);
    if (!coerced) throw state.error('42804', `argument of ${construct} must be type ${formatType(state.catalog, target)}, not type ${formatType(state.catalog, expr.type)}`, expr.location);
    result = coerced;
  }
  if (returnsSet(result)) throw state.error('42804', `argument of ${construct} must not return a set`, expr.location);
  return result;
}

function returnsSet(expr: Expr): boolean {
  return (expr.kind === 'FuncExpr' && expr.returnsSet);
}

/** Unknown-typed output columns become text. */
export function resolveUnknown(state: ParseState, expr: Expr): Expr {
  if (expr.type !== T.unknown) return expr;
  return coerceType(state, expr, T.text, -1, 'implicit', 'implicit cast', -1);
}
