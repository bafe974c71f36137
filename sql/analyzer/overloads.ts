/**
 * Overload resolution for functions and operators over the facts of pg_proc and pg_operator.
 * After func_match_argtypes, func_select_candidate (parse_func.c) and oper() (parse_oper.c).
 */
import type { Catalog, Oid, PgOpclass, PgOperator } from '../catalog/catalog.js';
import { TypeOid as T } from '../catalog/type-oids.js';
import { baseType, canCoerceTypes, isBinaryCoercible, typeCategory } from './coerce.js';
import { formatType, operatorsNamed, type NameEnvironment } from './names.js';
import type { ParseState } from './parse-state.js';

export interface Candidate {
  /** Declared argument types, variadic ones already expanded. */
  readonly args: readonly Oid[];
}

/** Candidates whose arguments the actual types can be coerced to implicitly. */
export function matchArgTypes<C extends Candidate>(catalog: Catalog, actual: readonly Oid[], candidates: readonly C[]): C[] {
  return candidates.filter((candidate) => canCoerceTypes(catalog, actual, candidate.args, 'implicit'));
}

function bestBy<C extends Candidate>(candidates: readonly C[], score: (candidate: C) => number): C[] {
  let best = 0;
  let kept: C[] = [];
  for (const candidate of candidates) {
    const points = score(candidate);
    if (points > best || kept.length === 0) {
      best = points;
      kept = [candidate];
    } else if (points === best) kept.push(candidate);
  }
  return kept;
}

/** func_select_candidate: the one best candidate, or undefined where it is ambiguous. */
export function selectCandidate<C extends Candidate>(catalog: Catalog, actual: readonly Oid[], candidates: readonly C[]): C | undefined {
  const inputs = actual.map((type) => (type === T.unknown ? T.unknown : baseType(catalog, type)));
  const unknowns = inputs.filter((type) => type === T.unknown).length;
  const preferred = (category: string, type: Oid): boolean => {
    const row = catalog.type(type);
    return row !== undefined && row.typcategory === category && row.typispreferred;
  };

  // most exact matches on known types
  let current = bestBy(candidates, (candidate) => inputs.reduce((n, type, i) => n + (type !== T.unknown && candidate.args[i] === type ? 1 : 0), 0));
  if (current.length === 1) return current[0];

  // then exact or preferred
  const categories = inputs.map((type) => typeCategory(catalog, type));
  current = bestBy(current, (candidate) =>
    inputs.reduce((n, type, i) => n + (type !== T.unknown && (candidate.args[i] === type || preferred(categories[i], candidate.args[i])) ? 1 : 0), 0),
  );
  if (current.length === 1) return current[0];
  if (unknowns === 0) return undefined;

  // resolve unknown positions by category
  const slotCategory: string[] = [...categories];
  const slotHasPreferred: boolean[] = inputs.map(() => false);
  let resolvedUnknowns = false;
  for (let i = 0; i < inputs.length; i++) {
    if (inputs[i] !== T.unknown) continue;
    resolvedUnknowns = true;
    let category: string | null = null;
    let conflict = false;
    let hasPreferred = false;
    for (const candidate of current) {
      const type = catalog.type(candidate.args[i]);
      const itsCategory = type?.typcategory ?? '';
      const isPreferred = type?.typispreferred ?? false;
      if (category === null) {
        category = itsCategory;
        hasPreferred = isPreferred;
      } else if (itsCategory === category) {
        hasPreferred ||= isPreferred;
      } else if (itsCategory === 'S') {
        category = 'S';
        hasPreferred = isPreferred;
      } else {
        // remembered, but a string category may still come and win
        conflict = true;
      }
    }
    if (conflict && category !== 'S') {
      resolvedUnknowns = false;
      break;
    }
    slotCategory[i] = category ?? '';
    slotHasPreferred[i] = hasPreferred;
  }
  if (resolvedUnknowns) {
    const kept = current.filter((candidate) =>
      inputs.every((type, i) => {
        if (type !== T.unknown) return true;
        const row = catalog.type(candidate.args[i]);
        if (row?.typcategory !== slotCategory[i]) return false;
        return !slotHasPreferred[i] || row.typispreferred;
      }),
    );
    if (kept.length > 0) current = kept;
    if (current.length === 1) return current[0];
  }

  // last resort: assume unknowns have the type of the known inputs
  if (unknowns < inputs.length) {
    const known = inputs.filter((type) => type !== T.unknown);
    if (known.every((type) => type === known[0])) {
      const assumed = inputs.map(() => known[0]);
      const kept = current.filter((candidate) => canCoerceTypes(catalog, assumed, candidate.args, 'implicit'));
      if (kept.length === 1) return kept[0];
    }
  }
  return undefined;
}

interface OperatorCandidate extends Candidate { readonly operator: PgOperator }

/** Binary operator for the operand types. 42883/42725 with PostgreSQL's messages when there is none. */
export function resolveBinaryOperator(state: ParseState, names: readonly string[], left: Oid, right: Oid, location: number): PgOperator {
  const found = findBinaryOperator(state.env, names, left, right);
  if (found === 'ambiguous' || found === undefined) throw operatorError(state, names, left, right, found === 'ambiguous', location);
  return found;
}

/** The same without raising: undefined when none fits. */
export function findBinaryOperator(env: NameEnvironment, names: readonly string[], left: Oid, right: Oid): PgOperator | undefined | 'ambiguous' {
  const { catalog } = env;
  const named = operatorsNamed(env, names).filter((operator) => operator.oprkind === 'b');
  const exact = (l: Oid, r: Oid): PgOperator | undefined => named.find((operator) => operator.oprleft === l && operator.oprright === r);
  // binary_oper_exact: an unknown operand takes the other's type; domains are looked through
  let assumedLeft = left;
  let assumedRight = right;
  let wasUnknown = false;
  if (right === T.unknown && left !== T.unknown) {
    assumedRight = left;
    wasUnknown = true;
  } else if (left === T.unknown && right !== T.unknown) {
    assumedLeft = right;
    wasUnknown = true;
  }
  const direct = exact(assumedLeft, assumedRight);
  if (direct) return direct;
  if (wasUnknown) {
    const resolved = baseType(catalog, assumedLeft);
    if (resolved !== assumedLeft) {
      const byBase = exact(resolved, resolved);
      if (byBase) return byBase;
    }
  }
  const candidates: OperatorCandidate[] = named.map((operator) => ({ operator, args: [operator.oprleft, operator.oprright] }));
  const matched = matchArgTypes(catalog, [left, right], candidates);
  if (matched.length === 0) return undefined;
  if (matched.length === 1) return matched[0].operator;
  return selectCandidate(catalog, [left, right], matched)?.operator ?? 'ambiguous';
}

export function resolvePrefixOperator(state: ParseState, names: readonly string[], right: Oid, location: number): PgOperator {
  const { catalog } = state;
  const named = operatorsNamed(state.env, names).filter((operator) => operator.oprkind === 'l');
  const exact = named.find((operator) => operator.oprright === right);
  if (exact) return exact;
  const candidates: OperatorCandidate[] = named.map((operator) => ({ operator, args: [operator.oprright] }));
  const matched = matchArgTypes(catalog, [right], candidates);
  if (matched.length === 1) return matched[0].operator;
  const chosen = matched.length ? selectCandidate(catalog, [right], matched)?.operator : undefined;
  if (chosen) return chosen;
  throw operatorError(state, names, 0, right, matched.length > 0, location);
}

function operatorError(state: ParseState, names: readonly string[], left: Oid, right: Oid, ambiguous: boolean, location: number) {
  const { catalog } = state;
  const name = names.join('.');
  const signature = left ? `${formatType(catalog, left)} ${name} ${formatType(catalog, right)}` : `${name} ${formatType(catalog, right)}`;
  if (ambiguous) {
    return state.error('42725', `operator is not unique: ${signature}`, location, {
      hint: 'Could not choose a best candidate operator. You might need to add explicit type casts.',
    });
  }
  return state.error('42883', `operator does not exist: ${signature}`, location, {
    hint: left
      ? 'No operator matches the given name and argument types. You might need to add explicit type casts.'
      : 'No operator matches the given name and argument type. You might need to add an explicit type cast.',
  });
}

/** Ordering and equality operators of a type's default btree class: for ORDER BY, GROUP BY, DISTINCT, set operations. */
export interface SortOperators {
  readonly lessThan: Oid;
  readonly equals: Oid;
  readonly greaterThan: Oid;
  readonly hashable: boolean;
}

const sortCache = new WeakMap<Catalog, Map<Oid, SortOperators | null>>();

/** get_sort_group_operators without the error. Containers and composites follow from anyarray/record. */
export function sortOperators(catalog: Catalog, type: Oid): SortOperators | null {
  let cache = sortCache.get(catalog);
  if (!cache) sortCache.set(catalog, (cache = new Map()));
  const cached = cache.get(type);
  if (cached !== undefined) return cached;
  const made = findSortOperators(catalog, baseType(catalog, type));
  cache.set(type, made);
  return made;
}

/** Types whose default operator classes also serve binary-coercible ones: varchar by text, the reg* types by oid. */
const SERVING_TYPES: readonly Oid[] = [T.text, T.oid, 869, T.varbit, T.bpchar];

/** GetDefaultOpClass: the type's own, or the one of a type it is binary-coercible to (anyarray, anyenum, record, text, ...). */
export function defaultOperatorClass(catalog: Catalog, accessMethod: Oid, type: Oid): PgOpclass | undefined {
  const resolved = baseType(catalog, type);
  const own = catalog.defaultOpclass(accessMethod, resolved);
  if (own) return own;
  for (const general of [T.anyarray, T.anyenum, T.anyrange, T.anymultirange, T.record, ...SERVING_TYPES]) {
    if (general === T.anymultirange ? catalog.type(resolved)?.typtype === 'm' : isBinaryCoercible(catalog, resolved, general)) {
      const opclass = catalog.defaultOpclass(accessMethod, general);
      if (opclass) return opclass;
    }
  }
  return undefined;
}

function findSortOperators(catalog: Catalog, type: Oid): SortOperators | null {
  const opclass = defaultOperatorClass(catalog, 403, type);
  if (!opclass) {
    const hash = defaultOperatorClass(catalog, 405, type);
    const equals = hash && (catalog.amop(hash.opcfamily, type, type, 1) ?? catalog.amop(hash.opcfamily, hash.opcintype, hash.opcintype, 1));
    return equals ? { lessThan: 0, equals: equals.amopopr, greaterThan: 0, hashable: true } : null;
  }
  const operatorOf = (strategy: number): Oid =>
    (catalog.amop(opclass.opcfamily, type, type, strategy) ?? catalog.amop(opclass.opcfamily, opclass.opcintype, opclass.opcintype, strategy))?.amopopr ?? 0;
  if (opclass.opcintype === T.anyarray) {
    const element = catalog.type(type)?.typelem ?? 0;
    if (element && !sortOperators(catalog, element)) return null;
  }
  const equals = operatorOf(3);
  return { lessThan: operatorOf(1), equals, greaterThan: operatorOf(5), hashable: catalog.operator(equals)?.oprcanhash ?? false };
}
