/**
 * What statistics objects say about several conditions together, and about groups by several columns. After extended_stats.c,
 * mcv.c, dependencies.c and estimate_multivariate_ndistinct: first the most common combinations, then dependencies.
 */
import type { Expr, OpExpr, ScalarArrayOpExpr } from '../analyzer/query-tree.js';
import { childrenOf, equalExpr } from '../analyzer/tree-walk.js';
import type { ColumnStatistics, ExtendedStatistics, Relation } from '../catalog/catalog.js';
import { compile } from '../executor/expressions/compile.js';
import { Frame } from '../executor/expressions/frame.js';
import { ExecState } from '../executor/exec-state.js';
import { NO_INTERRUPTS } from '../executor/interrupts.js';
import type { Datum } from '../types/datum.js';
import { storedExpression } from './index-match.js';
import type { Planner } from './planner-state.js';

/** A statistics object as a query's conditions see it. */
interface Known { readonly object: ExtendedStatistics; /** Attribute numbers, then -1, -2, ... */ readonly dimensions: readonly number[]; readonly expressions: readonly Expr[] }

function knownFor(varno: number, planner: Planner): Known[] {
  const relation = planner.relationOf(varno);
  if (!relation) return [];
  return relation.extendedStatistics().map((object) => ({
    object, dimensions: [...object.columns, ...object.expressions.map((_, i) => -1 - i)],
    expressions: object.expressions.map((text) => storedExpression(text, relation, varno, planner)),
  }));
}

function strip(expr: Expr): Expr {
  return expr.kind === 'RelabelType' ? strip(expr.arg) : expr;
}

/** The only relation an expression reads; null when there is none or another beside it. */
function onlyVarno(expr: Expr): number | null {
  let found: number | null = null;
  let several = false;
  const visit = (node: Expr): void => {
    if (node.kind === 'Var') {
      if (found !== null && found !== node.varno) several = true;
      found = node.varno;
    } else if (node.kind === 'SubLink') several = true;
    else childrenOf(node).forEach(visit);
  };
  visit(expr);
  return several ? null : found;
}

/** The dimension that an operand is; undefined when the object does not know it. */
function dimensionOf(operand: Expr, known: Known, varno: number): number | undefined {
  const plain = strip(operand);
  if (plain.kind === 'Var') return plain.varno === varno && known.object.columns.includes(plain.attno) ? plain.attno : undefined;
  const at = known.expressions.findIndex((expr) => equalExpr(strip(expr), plain));
  return at < 0 ? undefined : -1 - at;
}

const COMPARED = /^(eqsel|neqsel|scalar(lt|le|gt|ge)sel)$/;

/** `operand op constant`, either way round. */
function comparedOperand(qual: OpExpr | ScalarArrayOpExpr, planner: Planner): { operand: Expr; equality: boolean } | null {
  const restriction = planner.catalog.operator(qual.operator)?.oprrest ?? '';
  if (!COMPARED.test(restriction) || qual.args.length !== 2) return null;
  const [left, right] = qual.args as [Expr, Expr];
  const isValue = (expr: Expr): boolean => expr.kind === 'Const' || (expr.kind === 'ArrayExpr' && expr.elements.every(isValue)) || (expr.kind === 'RelabelType' && isValue(expr.arg));
  const operand = isValue(right) ? left : qual.kind === 'OpExpr' && isValue(left) ? right : null;
  return operand && { operand, equality: restriction === 'eqsel' };
}

/** Dimensions that a condition is about, if combinations can be tested by it. */
function testable(qual: Expr, known: Known, varno: number, planner: Planner): Set<number> | null {
  switch (qual.kind) {
    case 'BoolExpr': {
      const parts = qual.args.map((arg) => testable(arg, known, varno, planner));
      return parts.includes(null) ? null : new Set(parts.flatMap((part) => [...part!]));
    }
    case 'NullTest': {
      const dimension = qual.argIsRow ? undefined : dimensionOf(qual.arg, known, varno);
      return dimension === undefined ? null : new Set([dimension]);
    }
    case 'OpExpr': case 'ScalarArrayOpExpr': {
      const compared = comparedOperand(qual, planner);
      const dimension = compared ? dimensionOf(compared.operand, known, varno) : undefined;
      return dimension === undefined ? null : new Set([dimension]);
    }
    case 'Var': {
      const dimension = qual.type === 16 ? dimensionOf(qual, known, varno) : undefined;
      return dimension === undefined ? null : new Set([dimension]);
    }
    default: return null;
  }
}

/** The dimension that a condition says is equal to one of some constants. */
function fixed(qual: Expr, known: Known, varno: number, planner: Planner): number | undefined {
  switch (qual.kind) {
    case 'OpExpr': case 'ScalarArrayOpExpr': {
      const compared = qual.kind === 'ScalarArrayOpExpr' && !qual.useOr ? null : comparedOperand(qual, planner);
      return compared?.equality ? dimensionOf(compared.operand, known, varno) : undefined;
    }
    case 'BoolExpr': {
      if (qual.op === 'and') return undefined;
      const parts = new Set(qual.args.map((arg) => fixed(arg, known, varno, planner)));
      return parts.size === 1 ? [...parts][0] : undefined;
    }
    case 'Var': return qual.type === 16 ? dimensionOf(qual, known, varno) : undefined;
    default: return undefined;
  }
}

type Simple = (quals: readonly Expr[]) => number;

/** Selectivity of the conditions that statistics objects know together, and the others. `simple`: as if they were independent. */
export function jointSelectivity(quals: readonly Expr[], planner: Planner, simple: Simple): { selectivity: number; rest: readonly Expr[] } {
  const unchanged = { selectivity: 1, rest: quals };
  if (quals.length < 2) return unchanged;
  const byRelation = new Map<number, Expr[]>();
  for (const qual of quals) {
    const varno = onlyVarno(qual);
    if (varno !== null) byRelation.set(varno, [...(byRelation.get(varno) ?? []), qual]);
  }
  let selectivity = 1;
  let rest = quals;
  for (const [varno, own] of byRelation) {
    if (own.length < 2) continue;
    const known = knownFor(varno, planner);
    if (known.length === 0) continue;
    const used = new Set<Expr>();
    selectivity *= byCommon(own, used, known, varno, planner, simple);
    selectivity *= byDependencies(own.filter((qual) => !used.has(qual)), used, known, varno, planner, simple);
    if (used.size > 0) rest = rest.filter((qual) => !used.has(qual));
  }
  return rest === quals ? unchanged : { selectivity, rest };
}

/** With the most common combinations of the object that knows most of the conditions, as long as one knows two of them. */
function byCommon(quals: readonly Expr[], used: Set<Expr>, known: readonly Known[], varno: number, planner: Planner, simple: Simple): number {
  let selectivity = 1;
  for (;;) {
    let best: { known: Known; quals: Expr[]; matched: number } | null = null;
    for (const one of known) {
      if (one.object.common.length === 0) continue;
      const covered = quals.filter((qual) => !used.has(qual)).flatMap((qual) => {
        const dimensions = testable(qual, one, varno, planner);
        return dimensions ? [{ qual, dimensions }] : [];
      });
      const matched = new Set(covered.flatMap(({ dimensions }) => [...dimensions])).size;
      if (matched < 2 || covered.length < 2) continue;
      if (!best || matched > best.matched || (matched === best.matched && one.dimensions.length < best.known.dimensions.length)) best = { known: one, quals: covered.map(({ qual }) => qual), matched };
    }
    if (!best) return selectivity;
    const found = commonSelectivity(best.quals, best.known, varno, planner);
    for (const qual of best.quals) used.add(qual);
    if (!found) {
      selectivity *= simple(best.quals);
      continue;
    }
    const others = Math.min(clamp(simple(best.quals) - found.base), 1 - found.total);
    selectivity *= clamp(found.matching + others);
  }
}

/** Combinations that pass, what they would be if the columns were independent, and all of them. */
function commonSelectivity(quals: readonly Expr[], known: Known, varno: number, planner: Planner): { matching: number; base: number; total: number } | null {
  const { catalog, context } = planner;
  const types = known.dimensions.map((dimension) => (dimension > 0 ? planner.relationOf(varno)!.attributes[dimension - 1]!.atttypid : known.expressions[-1 - dimension]!.type));
  try {
    const scalars = quals.map((qual) => compile(qual, {
      catalog, subLinks: null,
      layout: {
        resolve: (expr) => {
          const dimension = expr.kind === 'Const' || expr.kind === 'RelabelType' ? undefined : dimensionOf(expr, known, varno);
          const at = dimension === undefined ? -1 : known.dimensions.indexOf(dimension);
          return at < 0 ? undefined : (frame) => frame.values[at]!;
        },
      },
    }));
    const frame = new Frame(new ExecState(context, [], context.transaction, null as never, NO_INTERRUPTS));
    const found = { matching: 0, base: 0, total: 0 };
    for (const { values, frequency, baseFrequency } of known.object.common) {
      found.total += frequency;
      frame.values = values.map((value, i): Datum => (value === null ? null : catalog.dataType(types[i]!).input(value, -1, context)));
      if (!scalars.every((scalar) => scalar(frame) === true)) continue;
      found.matching += frequency;
      found.base += baseFrequency;
    }
    return found;
  } catch {
    // A condition that cannot be computed for one of them says nothing here.
    return null;
  }
}

/** With functional dependencies among columns that are all fixed: P(a, b) = f * min(P(a), P(b)) + (1 - f) * P(a) * P(b). */
function byDependencies(quals: readonly Expr[], used: Set<Expr>, known: readonly Known[], varno: number, planner: Planner, simple: Simple): number {
  // The same expression has another number in each object: dimensions are told apart by what they are.
  const keys: Expr[] = [];
  const keyOf = (one: Known, dimension: number): string => {
    if (dimension > 0) return `c${dimension}`;
    const expr = one.expressions[-1 - dimension]!;
    let at = keys.findIndex((key) => equalExpr(key, expr));
    if (at < 0) at = keys.push(expr) - 1;
    return `e${at}`;
  };
  const conditions = new Map<string, Expr[]>();
  for (const qual of quals) {
    for (const one of known) {
      const dimension = one.object.dependencies.length > 0 ? fixed(qual, one, varno, planner) : undefined;
      if (dimension === undefined) continue;
      const key = keyOf(one, dimension);
      conditions.set(key, [...(conditions.get(key) ?? []), qual]);
      break;
    }
  }
  if (conditions.size < 2) return 1;
  const dependencies = known.flatMap((one) => one.object.dependencies.map(({ columns, degree }) => ({ keys: columns.map((column) => keyOf(one, column)), degree })));
  const left = new Set(conditions.keys());
  const applied: typeof dependencies = [];
  for (;;) {
    const candidates = left.size < 2 ? [] : dependencies.filter(({ keys: wanted }) => wanted.every((key) => left.has(key)));
    if (candidates.length === 0) break;
    const strongest = candidates.reduce((best, one) => (one.keys.length > best.keys.length || (one.keys.length === best.keys.length && one.degree > best.degree) ? one : best));
    applied.push(strongest);
    left.delete(strongest.keys.at(-1)!);
  }
  if (applied.length === 0) return 1;
  const covered = new Set(applied.flatMap(({ keys: members }) => members));
  const single = new Map([...covered].map((key) => [key, simple(conditions.get(key)!)]));
  for (const key of covered) for (const qual of conditions.get(key)!) used.add(qual);
  for (const { keys: members, degree } of applied.reverse()) {
    const implied = members.at(-1)!;
    const s1 = members.slice(0, -1).reduce((product, key) => product * single.get(key)!, 1);
    const s2 = single.get(implied)!;
    single.set(implied, s1 <= s2 ? degree + (1 - degree) * s2 : (degree * s2) / s1 + (1 - degree) * s2);
  }
  return clamp([...single.values()].reduce((product, one) => product * one, 1));
}

function clamp(value: number): number {
  return value < 0 ? 0 : value > 1 ? 1 : value;
}

/** Distinct combinations of some of these expressions of one relation, where an object knows at least two of them; the most it knows. */
export function jointDistinct(exprs: readonly Expr[], planner: Planner): { used: ReadonlySet<Expr>; count: number } | null {
  const varnos = new Set(exprs.map(onlyVarno));
  let best: { used: Expr[]; count: number } | null = null;
  for (const varno of varnos) {
    if (varno === null) continue;
    for (const one of knownFor(varno, planner)) {
      if (one.object.distinct.length === 0) continue;
      const matched = exprs.flatMap((expr) => {
        const dimension = dimensionOf(expr, one, varno);
        return dimension === undefined ? [] : [{ expr, dimension }];
      });
      const wanted = new Set(matched.map(({ dimension }) => dimension));
      if (wanted.size < 2 || (best && wanted.size <= best.used.length)) continue;
      const item = one.object.distinct.find(({ columns }) => columns.length === wanted.size && columns.every((column) => wanted.has(column)));
      if (item) best = { used: matched.map(({ expr }) => expr), count: item.count };
    }
  }
  return best && { used: new Set(best.used), count: best.count };
}

/** What is known of an expression by itself. */
export function expressionStatistics(expr: Expr, planner: Planner): { stats: ColumnStatistics; relation: Relation; varno: number } | null {
  if (expr.kind === 'Const' || expr.kind === 'Var' || expr.kind === 'Param') return null;
  const varno = onlyVarno(expr);
  const relation = varno === null ? undefined : planner.relationOf(varno);
  if (!relation || varno === null) return null;
  for (const one of knownFor(varno, planner)) {
    const dimension = one.expressions.length > 0 ? dimensionOf(expr, one, varno) : undefined;
    const stats = dimension !== undefined && dimension < 0 ? one.object.expressionStatistics[-1 - dimension] : undefined;
    if (stats) return { stats, relation, varno };
  }
  return null;
}
