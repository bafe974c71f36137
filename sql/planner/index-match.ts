/** Which quals an index can serve. After match_clause_to_indexcol (indxpath.c). */
import type { Expr } from '../analyzer/query-tree.js';
import { contains, equalExpr } from '../analyzer/tree-walk.js';
import type { Index, Relation } from '../catalog/catalog.js';
import { analyzeRelationExpression } from '../executor/relation-expression.js';
import { foldConstants, makeConst } from './fold.js';
import { conjuncts, isVolatile } from './logical.js';
import type { IndexCondition } from './plan-node.js';
import type { Planner } from './planner-state.js';
import { exprVarnos, mapDeep } from './query-vars.js';

const INTEGERS = new Set([20, 21, 23]);
const TEXTS = new Set([25, 1043]);
const STRATEGIES = ['<', '<=', '=', '>=', '>'] as const;
const MIRRORED = { '<': '>', '<=': '>=', '=': '=', '>=': '<=', '>': '<' } as const;

/** An index column as an expression over the relation's Vars. */
export function indexExpressions(index: Index, relation: Relation, varno: number, planner: Planner): Expr[] {
  return index.keyColumns.map((column) => {
    if (column.attnum > 0) return planner.var(varno, column.attnum);
    return storedExpression(column.expressionText!, relation, varno, planner);
  });
}

/** Conjuncts of a partial index's predicate. */
export function indexPredicate(index: Index, relation: Relation, varno: number, planner: Planner): Expr[] {
  return index.predicateText === null ? [] : conjuncts(storedExpression(index.predicateText, relation, varno, planner));
}

/** A stored expression over a relation, as the query's Vars say it. */
export function storedExpression(text: string, relation: Relation, varno: number, planner: Planner): Expr {
  const expr = analyzeRelationExpression(text, relation.oid, planner.catalog, planner.context);
  return foldConstants(mapDeep(expr, planner, (node) => (node.kind === 'Var' ? { ...node, varno } : undefined)), planner);
}

/** Do the quals say that every row they let pass is in the partial index? */
export function predicateImplied(predicate: readonly Expr[], quals: readonly Expr[], planner: Planner): boolean {
  return predicate.every((condition) => quals.some((qual) => equalExpr(qual, condition)) || notNullImplied(condition, quals, planner));
}

function notNullImplied(condition: Expr, quals: readonly Expr[], planner: Planner): boolean {
  if (condition.kind !== 'NullTest' || !condition.negated) return false;
  return quals.some((qual) => qual.kind === 'OpExpr' && planner.catalog.proc(qual.func)?.proisstrict && qual.args.some((arg) => equalExpr(strip(arg), strip(condition.arg))));
}

function strip(expr: Expr): Expr {
  return expr.kind === 'RelabelType' ? strip(expr.arg) : expr;
}

/** What the qual says about the index column, as conditions; empty if nothing. */
export function matchColumn(qual: Expr, index: Index, column: number, indexed: Expr, varno: number, planner: Planner): IndexCondition[] {
  const is = (expr: Expr): boolean => equalExpr(strip(expr), strip(indexed));
  const usable = (expr: Expr): boolean => !exprVarnos(expr, planner).has(varno) && !isVolatile(expr, planner.catalog) && !contains(expr, (node) => node.kind === 'SubLink' && (planner.subPlans.get(node.id)?.params.length ?? 1) > 0);
  const key = index.keyColumns[column]!;
  const { catalog } = planner;
  if (qual.kind === 'NullTest' && !qual.argIsRow && is(qual.arg)) {
    return [{ column, strategy: qual.negated ? 'not null' : 'null', value: null, original: qual }];
  }
  if (qual.kind === 'OpExpr' && qual.args.length === 2) {
    const [left, right] = qual.args as [Expr, Expr];
    const swapped = !is(left) && is(right);
    if (!is(left) && !swapped) return [];
    const value = swapped ? left : right;
    if (!usable(value)) return [];
    const prefix = swapped ? [] : likePrefix(qual.operator, value, indexed, column, planner);
    if (prefix.length > 0) return prefix;
    const strategy = strategyOf(qual.operator, key.opclass, planner);
    if (!strategy || !compatible(value.type, key.typeOid, planner)) return [];
    return [{ column, strategy: swapped ? MIRRORED[strategy] : strategy, value, original: qual }];
  }
  if (qual.kind === 'ScalarArrayOpExpr' && qual.useOr && is(qual.args[0])) {
    const [, array] = qual.args;
    const element = catalog.type(array.type)?.typelem ?? 0;
    if (!usable(array) || strategyOf(qual.operator, key.opclass, planner) !== '=' || !compatible(element, key.typeOid, planner)) return [];
    return [{ column, strategy: 'any', value: array, original: qual }];
  }
  return [];
}

function strategyOf(operator: number, opclass: number, planner: Planner): (typeof STRATEGIES)[number] | undefined {
  const family = planner.catalog.opclass(opclass)?.opcfamily;
  const member = planner.catalog.amopsOfOperator(operator).find((amop) => amop.amopfamily === family && amop.amoppurpose === 's');
  return member ? STRATEGIES[member.amopstrategy - 1] : undefined;
}

/** Values of the type can be encoded as keys of the index column's type. */
function compatible(type: number, keyType: number, planner: Planner): boolean {
  if (type === keyType) return true;
  const base = planner.catalog.type(type);
  if (base?.typtype === 'd') return compatible(base.typbasetype, keyType, planner);
  return (INTEGERS.has(type) && INTEGERS.has(keyType)) || (TEXTS.has(type) && TEXTS.has(keyType));
}

/** LIKE 'abc%' over text in C order: at least 'abc', less than 'abd'. The LIKE itself is tested too. */
function likePrefix(operator: number, pattern: Expr, indexed: Expr, column: number, planner: Planner): IndexCondition[] {
  const { catalog } = planner;
  const like = catalog.operator(operator);
  if (!like || like.oprname !== '~~' || like.oprleft !== 25 || pattern.kind !== 'Const' || typeof pattern.value !== 'string') return [];
  let prefix = '';
  for (let i = 0; i < pattern.value.length; i++) {
    const c = pattern.value[i]!;
    if (c === '%' || c === '_') break;
    if (c === '\\') i++;
    prefix += pattern.value[i] ?? '';
  }
  if (prefix === '') return [];
  const compare = (name: string, value: string): Expr => {
    const found = catalog.operatorsNamed(name).find((o) => o.oprleft === 25 && o.oprright === 25)!;
    return { kind: 'OpExpr', operator: found.oid, func: found.oprcode, args: [indexed, makeConst(value, pattern)], type: 16, typmod: -1, collation: 0, location: -1, inputCollation: indexed.collation };
  };
  const conditions: IndexCondition[] = [{ column, strategy: '>=', value: makeConst(prefix, pattern), original: compare('>=', prefix) }];
  const next = successor(prefix);
  if (next !== null) conditions.push({ column, strategy: '<', value: makeConst(next, pattern), original: compare('<', next) });
  return conditions;
}

/** The smallest string above every string with this prefix. */
function successor(prefix: string): string | null {
  const points = [...prefix];
  while (points.length > 0) {
    const last = points.pop()!.codePointAt(0)!;
    if (last < 0xd7ff || (last >= 0xe000 && last < 0x10ffff)) return points.join('') + String.fromCodePoint(last + 1);
  }
  return null;
}

/** A condition that does not replace its qual: the qual stays as a filter. */
export function isLossy(qual: Expr, conditions: readonly IndexCondition[]): boolean {
  return !conditions.some((condition) => condition.original === qual);
}
