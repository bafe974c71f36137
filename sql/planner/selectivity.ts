/** Estimated fraction of rows that satisfy a qual, from ANALYZE's statistics. After selfuncs.c and clausesel.c. */
import type { Expr, OpExpr, ScalarArrayOpExpr, Var } from '../analyzer/query-tree.js';
import type { ColumnStatistics, PgOperator, Relation } from '../catalog/catalog.js';
import type { ArrayValue, Datum } from '../types/datum.js';
import { contains } from '../analyzer/tree-walk.js';
import { compileExpression, evaluateConstant } from '../executor/compile-expression.js';
import { Numeric } from '../types/numeric.js';
import { expressionStatistics, jointDistinct, jointSelectivity } from './extended-statistics.js';
import { foldConstants } from './fold.js';
import { isVolatile } from './logical.js';
import type { Planner } from './planner-state.js';

const DEFAULT_EQ = 0.005;
const DEFAULT_INEQ = 1 / 3;
const DEFAULT_RANGE = 0.005;
const DEFAULT_MATCH = 0.005;
const DEFAULT_DISTINCT = 200;
const DEFAULT_UNKNOWN = 0.005;

export interface VariableStats { readonly variable: Var; readonly relation: Relation | undefined; readonly stats: ColumnStatistics | undefined; readonly rows: number; readonly unique: boolean }

export function clamp(value: number): number {
  return value < 0 ? 0 : value > 1 ? 1 : value;
}

/** Of all quals together, ANDed, with what statistics objects know of several of them. */
export function selectivityOf(quals: readonly Expr[], planner: Planner): number {
  const simple = (some: readonly Expr[]): number => independentSelectivity(some, planner);
  const { selectivity: joint, rest } = jointSelectivity(quals, planner, simple);
  return clamp(joint * simple(rest));
}

/** As if they were independent, except that two bounds on one column make a range. */
function independentSelectivity(quals: readonly Expr[], planner: Planner): number {
  let result = 1;
  const ranges = new Map<string, { low?: number; high?: number; nulls: number }>();
  for (const qual of quals) {
    const bound = rangeBound(qual, planner);
    if (bound) {
      const key = `${bound.variable.varno}.${bound.variable.attno}`;
      const range = ranges.get(key) ?? { nulls: 0 };
      range[bound.side] = Math.min(range[bound.side] ?? 1, bound.selectivity);
      range.nulls = variableStats(bound.variable, planner).stats?.nullFraction ?? 0;
      ranges.set(key, range);
    } else {
      result *= selectivity(qual, planner);
    }
  }
  for (const { low, high, nulls } of ranges.values()) {
    if (low === undefined || high === undefined) result *= low ?? high!;
    else if (low === DEFAULT_INEQ || high === DEFAULT_INEQ) result *= DEFAULT_RANGE;
    else {
      const both = low + high - 1 + nulls;
      result *= both > 0 ? both : both < -0.01 ? DEFAULT_RANGE : 1e-10;
    }
  }
  return clamp(result);
}

function rangeBound(qual: Expr, planner: Planner): { variable: Var; side: 'low' | 'high'; selectivity: number } | null {
  if (qual.kind !== 'OpExpr' || qual.args.length !== 2) return null;
  const operator = planner.catalog.operator(qual.operator);
  if (!operator || !/^scalar(lt|le|gt|ge)sel$/.test(operator.oprrest)) return null;
  const split = variableAndValue(qual, planner);
  if (!split) return null;
  const less = operator.oprrest.startsWith('scalarl') !== split.swapped;
  return { variable: split.variable, side: less ? 'high' : 'low', selectivity: selectivity(qual, planner) };
}

export function selectivity(expr: Expr, planner: Planner): number {
  switch (expr.kind) {
    case 'Const':
      return expr.value === true ? 1 : 0;
    case 'Var':
      return booleanColumn(expr, planner);
    case 'BoolExpr':
      if (expr.op === 'not') return 1 - selectivity(expr.args[0]!, planner);
      if (expr.op === 'and') return selectivityOf(expr.args, planner);
      // What it says of one relation alone has been made a qual of that relation and counts there.
      return clamp(planner.orCorrection(expr) * expr.args.reduce((sum, arg) => {
        const s = selectivity(arg, planner);
        return sum + s - sum * s;
      }, 0));
    case 'NullTest': {
      const variable = plainVar(expr.arg);
      const nulls = (variable && variableStats(variable, planner).stats?.nullFraction) ?? DEFAULT_UNKNOWN;
      return expr.negated ? 1 - nulls : nulls;
    }
    case 'BooleanTest': {
      const s = selectivity(expr.arg, planner);
      if (expr.test === 'true' || expr.test === 'not false') return s;
      if (expr.test === 'false' || expr.test === 'not true') return 1 - s;
      return expr.test === 'unknown' ? DEFAULT_UNKNOWN : 1 - DEFAULT_UNKNOWN;
    }
    case 'OpExpr':
      return operatorSelectivity(expr, planner);
    case 'DistinctExpr':
      return 1 - DEFAULT_EQ;
    case 'ScalarArrayOpExpr':
      return arraySelectivity(expr, planner);
    case 'SubLink':
      return 0.5;
    case 'RelabelType':
      return selectivity(expr.arg, planner);
    case 'FuncExpr':
      return 1 / 3;
    default:
      return 0.5;
  }
}

function booleanColumn(variable: Var, planner: Planner): number {
  const { stats } = variableStats(variable, planner);
  if (!stats) return 0.5;
  const at = stats.mostCommonValues.indexOf(true);
  if (at >= 0) return stats.mostCommonFrequencies[at]!;
  const other = stats.mostCommonValues.indexOf(false);
  return other >= 0 ? 1 - stats.mostCommonFrequencies[other]! - stats.nullFraction : 0.5;
}

export function plainVar(expr: Expr): Var | null {
  if (expr.kind === 'Var') return expr;
  return expr.kind === 'RelabelType' ? plainVar(expr.arg) : null;
}

/** Vars that stand for expressions which ANALYZE has looked at, with what it found. */
const standIns = new WeakMap<Var, VariableStats>();

/** The column that an operand is, or one that stands for an expression with statistics of its own. */
function variableOf(operand: Expr, planner: Planner): Var | null {
  const plain = plainVar(operand);
  if (plain) return plain;
  const found = expressionStatistics(operand, planner);
  if (!found) return null;
  const variable: Var = { kind: 'Var', varno: found.varno, attno: NO_COLUMN, levelsUp: 0, type: operand.type, typmod: -1, collation: operand.collation, location: -1 };
  standIns.set(variable, { variable, relation: found.relation, stats: found.stats, rows: relationRows(found.relation, planner), unique: false });
  return variable;
}

const NO_COLUMN = -1000;

export function variableStats(variable: Var, planner: Planner): VariableStats {
  const known = standIns.get(variable);
  if (known) return known;
  const relation = planner.relationOf(variable.varno);
  const unique = relation !== undefined && relation.indexes.some((index) => index.unique && index.predicateText === null && index.keyColumns.length === 1 && index.keyColumns[0]!.attnum === variable.attno);
  return { variable, relation, stats: relation && variable.attno > 0 ? relation.statistics(variable.attno) : undefined, rows: relation ? relationRows(relation, planner) : 1000, unique };
}

/** Live rows of a relation, from the engine's own count. */
export function relationRows(relation: Relation, planner: Planner): number {
  if (relation.isCatalog) return Math.max(1, relation.reltuples > 0 ? relation.reltuples : 100);
  const storage = planner.context.storage as typeof planner.context.storage | undefined;
  const counted = storage && (relation.storage as number) !== 0 ? storage.rowCount(relation.storage) : 0;
  return counted > 0 ? counted : relation.reltuples > 0 ? relation.reltuples : 0;
}

/** Number of distinct combinations of expressions, as many as there are rows at most. */
export function distinctCombinations(exprs: readonly Expr[], planner: Planner, rows: number): number {
  let left = exprs;
  let product = 1;
  for (let joint = jointDistinct(left, planner); joint; joint = jointDistinct(left, planner)) {
    const { used, count } = joint;
    product *= count;
    left = left.filter((expr) => !used.has(expr));
  }
  return Math.max(1, Math.min(rows, left.reduce((all, expr) => all * distinctValues(expr, planner, rows), product)));
}

/** Number of distinct values of an expression. */
export function distinctValues(expr: Expr, planner: Planner, rows: number): number {
  if (expr.kind === 'Const' || expr.kind === 'Param') return 1;
  if (expr.type === 16) return Math.min(2, Math.max(1, rows));
  const variable = variableOf(expr, planner);
  if (variable) {
    const { stats, rows: total, unique } = variableStats(variable, planner);
    if (unique || variable.attno === -1) return Math.max(1, total);
    if (stats && stats.distinct !== 0) return Math.max(1, stats.distinct > 0 ? stats.distinct : -stats.distinct * total);
    return Math.max(1, Math.min(DEFAULT_DISTINCT, total > 0 ? total : DEFAULT_DISTINCT));
  }
  return Math.max(1, Math.min(DEFAULT_DISTINCT, rows));
}

interface Split { readonly variable: Var; readonly value: Datum | undefined; readonly valueType: number; readonly swapped: boolean }

/** `column op value`, either way round; the value if it can be known now. */
function variableAndValue(expr: { readonly args: readonly Expr[] }, planner: Planner): Split | null {
  const [left, right] = expr.args as [Expr, Expr];
  const leftVar = variableOf(left, planner);
  if (leftVar && !plainVar(right)) return { variable: leftVar, value: estimate(right, planner), valueType: right.type, swapped: false };
  const rightVar = variableOf(right, planner);
  if (rightVar && !leftVar) return { variable: rightVar, value: estimate(left, planner), valueType: left.type, swapped: true };
  return null;
}

/** The value of a constant or of a stable expression (now(), current_date) as of now. */
function estimate(expr: Expr, planner: Planner): Datum | undefined {
  let folded: Expr;
  try {
    folded = foldConstants(expr, planner);
  } catch {
    return undefined;
  }
  if (folded.kind === 'Const') return folded.value;
  if (folded.kind === 'SQLValueFunction' || (folded.kind === 'OpExpr' || folded.kind === 'FuncExpr')) {
    // Of a column or a parameter nothing is known: evaluated here it would be NULL.
    if (isVolatile(folded, planner.catalog) || contains(folded, ({ kind }) => kind === 'Var' || kind === 'Param' || kind === 'SubLink' || kind === 'Aggref')) return undefined;
    try {
      return evaluateConstant(folded, planner.context);
    } catch {
      return undefined;
    }
  }
  return undefined;
}

function operatorSelectivity(expr: OpExpr, planner: Planner): number {
  const operator = planner.catalog.operator(expr.operator);
  if (!operator || expr.args.length !== 2) return 0.5;
  const leftVar = plainVar(expr.args[0]!);
  const rightVar = plainVar(expr.args[1]!);
  if (leftVar && rightVar && leftVar.varno !== rightVar.varno) return joinSelectivity(operator, leftVar, rightVar, planner);
  const split = variableAndValue(expr, planner);
  switch (operator.oprrest) {
    case 'eqsel':
      return split ? equalSelectivity(split, planner) : bothExpressions(expr, planner);
    case 'neqsel':
      return split ? clamp(1 - equalSelectivity(split, planner) - (variableStats(split.variable, planner).stats?.nullFraction ?? 0)) : 1 - DEFAULT_EQ;
    case 'scalarltsel': case 'scalarlesel':
      return split ? inequalitySelectivity(split, !split.swapped, planner) : DEFAULT_INEQ;
    case 'scalargtsel': case 'scalargesel':
      return split ? inequalitySelectivity(split, split.swapped, planner) : DEFAULT_INEQ;
    case 'likesel': case 'iclikesel': case 'regexeqsel': case 'icregexeqsel': case 'prefixsel':
      return patternSelectivity(expr, operator, split, planner);
    case 'nlikesel': case 'icnlikesel': case 'regexnesel': case 'icregexnesel':
      return 1 - patternSelectivity(expr, operator, split, planner);
    case 'contsel':
      return 0.001;
    case 'areasel':
      return 0.005;
    default:
      return operator.oprjoin === 'eqjoinsel' ? DEFAULT_EQ : 0.5;
  }
}

function bothExpressions(expr: OpExpr, planner: Planner): number {
  // An expression over columns compared with a value: one of its distinct values.
  return 1 / Math.max(...expr.args.map((arg) => distinctValues(arg, planner, DEFAULT_DISTINCT)), 1);
}

function equalSelectivity(split: Split, planner: Planner): number {
  const { stats, rows, unique } = variableStats(split.variable, planner);
  if (split.value === null) return 0;
  if (unique && rows >= 1) return 1 / rows;
  if (!stats) return 1 / distinctValues(split.variable, planner, rows);
  const distinct = distinctValues(split.variable, planner, rows);
  const compare = comparison(split, planner);
  const equal = (a: Datum, b: Datum): boolean => (compare ? compare(a, b) === 0 : a === b);
  if (split.value !== undefined) {
    let at = -1;
    try {
      at = stats.mostCommonValues.findIndex((value) => equal(value, split.value!));
    } catch {
      // Types without a common scale.
    }
    if (at >= 0) return stats.mostCommonFrequencies[at]!;
    const common = stats.mostCommonFrequencies.reduce((sum, f) => sum + f, 0);
    const others = distinct - stats.mostCommonValues.length;
    const rest = clamp(1 - common - stats.nullFraction) / Math.max(others, 1);
    const least = stats.mostCommonFrequencies[stats.mostCommonFrequencies.length - 1];
    return clamp(least !== undefined && rest > least ? least : rest);
  }
  return clamp((1 - stats.nullFraction) / distinct);
}

function inequalitySelectivity(split: Split, less: boolean, planner: Planner): number {
  const { stats } = variableStats(split.variable, planner);
  if (split.value === null) return 0;
  if (!stats || split.value === undefined) return DEFAULT_INEQ;
  const compare = comparison(split, planner);
  if (!compare) return DEFAULT_INEQ;
  let common = 0;
  let commonMatching = 0;
  try {
    stats.mostCommonValues.forEach((value, i) => {
      common += stats.mostCommonFrequencies[i]!;
      const order = compare(value, split.value!);
      if (less ? order < 0 : order > 0) commonMatching += stats.mostCommonFrequencies[i]!;
    });
    const rest = clamp(1 - common - stats.nullFraction);
    const { histogram } = stats;
    let fraction = DEFAULT_INEQ;
    if (histogram.length > 1) {
      let low = 0;
      let high = histogram.length;
      while (low < high) {
        const middle = (low + high) >> 1;
        if (compare(histogram[middle]!, split.value) < 0) low = middle + 1;
        else high = middle;
      }
      const bins = histogram.length - 1;
      if (low === 0) fraction = 0;
      else if (low > bins) fraction = 1;
      else fraction = (low - 1 + within(histogram[low - 1]!, histogram[low]!, split)) / bins;
      fraction = Math.min(Math.max(fraction, 0.0001), 0.9999);
      if (!less) fraction = 1 - fraction;
    } else if (stats.mostCommonValues.length > 0) {
      return clamp(commonMatching + rest * DEFAULT_INEQ);
    }
    return clamp(commonMatching + rest * fraction);
  } catch {
    return DEFAULT_INEQ;
  }
}

/** Compares a column's value with the given one, which may be of another type; undefined when they cannot be. */
function comparison(split: Split, planner: Planner): ((a: Datum, b: Datum) => number) | undefined {
  const type = planner.catalog.dataType(split.variable.type);
  const { variable, valueType } = split;
  if (valueType === variable.type || TEXTS.has(variable.type)) return type.compare?.bind(type) as ((a: Datum, b: Datum) => number) | undefined;
  return (a, b) => {
    const [x, y] = [scalar(a, variable.type), scalar(b, valueType)];
    if (x === null || y === null) throw new Error('not on one scale');
    return x - y;
  };
}

const TEXTS = new Set([18, 19, 25, 1042, 1043]);
const DATE = 1082;
const DAY_MICROS = 86_400_000_000;

/** The value on a scale of numbers that related types share (convert_to_scalar); null when it has no place there. */
function scalar(value: Datum, type: number): number | null {
  if (value instanceof Numeric) return value.isFinite ? Number(value.coefficient) / 10 ** value.scale : null;
  if (typeof value === 'bigint') return Number(value);
  if (typeof value !== 'number') return null;
  return type === DATE ? value * DAY_MICROS : value;
}

/** Position of a value within a bin, where it can be measured. */
function within(low: Datum, high: Datum, { value, variable, valueType }: Split): number {
  const [l, h, v] = [scalar(low, variable.type), scalar(high, variable.type), scalar(value ?? null, valueType)];
  if (l === null || h === null || v === null || !(h > l)) return 0.5;
  return clamp((v - l) / (h - l));
}

/** As patternsel: matching values among the most common ones and in the histogram, the rule of thumb where there are few. */
function patternSelectivity(expr: OpExpr, operator: PgOperator, split: Split | null, planner: Planner): number {
  if (!split || typeof split.value !== 'string') return DEFAULT_MATCH;
  const measured = split.swapped ? null : measuredSelectivity(expr, operator, split, planner);
  if (measured !== null) return measured;
  const pattern = split.value;
  const isLike = operator.oprrest.includes('like');
  const wild = isLike ? pattern.search(/[%_\\]/) : pattern.search(/[.^$*+?()[\]{}|\\]/);
  if (wild < 0) return isLike ? equalSelectivity(split, planner) : 0.01;
  const fixed = pattern.replace(/[%_.*^$]/g, '').length;
  return Math.min(1, Math.max(Math.pow(0.2, Math.min(fixed, 4)) * (pattern.startsWith('%') ? 2 : 1), 0.0001));
}

/** Histogram entries needed before their matches say something (histogram_selectivity). */
const MIN_HISTOGRAM = 10;
const NEGATED = /^n|nesel$/;

function measuredSelectivity(expr: OpExpr, operator: PgOperator, split: Split, planner: Planner): number | null {
  const { stats } = variableStats(split.variable, planner);
  if (!stats || (stats.histogram.length < MIN_HISTOGRAM && stats.mostCommonValues.length === 0)) return null;
  const column: Var = { ...split.variable, varno: 1, attno: 1 };
  const value: Expr = { kind: 'Const', value: split.value!, type: split.valueType, typmod: -1, collation: 0, location: -1 };
  const relabeled: Expr = column.type === expr.args[0]!.type ? column : { kind: 'RelabelType', arg: column, form: 'implicit cast', type: expr.args[0]!.type, typmod: -1, collation: expr.args[0]!.collation, location: -1 };
  const test = compileExpression({ ...expr, args: [relabeled, value] }, planner.catalog);
  const negated = NEGATED.test(operator.oprrest);
  const matches = (candidate: Datum): boolean => (test([candidate], planner.context) === true) !== negated;
  try {
    let common = 0;
    let matching = 0;
    stats.mostCommonValues.forEach((candidate, i) => {
      common += stats.mostCommonFrequencies[i]!;
      if (matches(candidate)) matching += stats.mostCommonFrequencies[i]!;
    });
    const inner = stats.histogram.slice(1, -1);
    let rest = DEFAULT_MATCH;
    if (stats.histogram.length >= MIN_HISTOGRAM) rest = Math.min(0.9999, Math.max(0.0001, inner.filter(matches).length / inner.length));
    return clamp(matching + rest * clamp(1 - common - stats.nullFraction));
  } catch {
    return null;
  }
}

function joinSelectivity(operator: PgOperator, left: Var, right: Var, planner: Planner): number {
  if (operator.oprjoin === 'eqjoinsel') {
    const a = variableStats(left, planner);
    const b = variableStats(right, planner);
    const most = Math.max(distinctValues(left, planner, a.rows), distinctValues(right, planner, b.rows));
    return clamp(((1 - (a.stats?.nullFraction ?? 0)) * (1 - (b.stats?.nullFraction ?? 0))) / most);
  }
  if (operator.oprjoin === 'neqjoinsel') return 1 - DEFAULT_EQ;
  return /^scalar(lt|le|gt|ge)joinsel$/.test(operator.oprjoin) ? DEFAULT_INEQ : 0.5;
}

function arraySelectivity(expr: ScalarArrayOpExpr, planner: Planner): number {
  const [left, right] = expr.args;
  const elements = right.kind === 'Const' && right.value !== null ? (right.value as ArrayValue).elements.map((value) => ({ ...right, value, type: left.type }) as Expr)
    : right.kind === 'ArrayExpr' ? right.elements : Array.from({ length: 10 }, () => null);
  let result = expr.useOr ? 0 : 1;
  // Equal to one of several values: these exclude each other.
  const disjoint = expr.useOr && planner.catalog.operator(expr.operator)?.oprrest === 'eqsel';
  let sum = 0;
  for (const element of elements) {
    const s = element === null ? DEFAULT_EQ : operatorSelectivity({ kind: 'OpExpr', operator: expr.operator, func: expr.func, args: [left, element], type: 16, typmod: -1, collation: 0, location: -1, inputCollation: expr.inputCollation }, planner);
    result = expr.useOr ? result + s - result * s : result * s;
    sum += s;
  }
  return clamp(disjoint && sum <= 1 ? sum : result);
}
