/**
 * Expressions to kernel source. Arithmetic, comparisons, logic and CASE over numbers are written
 * out, as long as the known ranges prove that they stay exact. An expression over one text column is
 * computed once per dictionary entry, one over an integer of few values once per value, both by the
 * row executor's own closures. Everything else calls such a closure with datums, row by row. So what
 * PostgreSQL's functions do is written in one place only.
 */
import { DatabaseError } from '../../engine/errors.js';
import type { Expr } from '../analyzer/query-tree.js';
import { childrenOf, contains, equalExpr } from '../analyzer/tree-walk.js';
import { compile } from '../executor/expressions/compile.js';
import { Frame, type Scalar } from '../executor/expressions/frame.js';
import type { ExecState } from '../executor/exec-state.js';
import type { Datum } from '../types/datum.js';
import { Numeric } from '../types/numeric.js';
import { castValue, combineValues, compareValues, isArithmetic, isCast, isComparison, type Comparison } from './arithmetic.js';
import { columnClass, isTextType } from './column-class.js';
import type { Interner } from './interner.js';
import type { Kernel } from './kernel.js';
import { liftKey } from './lift-cache.js';
import { likePattern, type LikePattern } from './like.js';
import type { MemberSet } from './member-set.js';
import { fromTable, narrowed, integerShape, keepableTable, keptTable, resultShape, tableOf } from './result-table.js';
import type { Source } from './source.js';
import { anyOf, anyValue, boolValue, changed, intValue, rangeOf, type Deferred, type Value } from './value.js';

/** Finds an expression among what the input has; undefined if it must be computed. */
export type Resolve = (expr: Expr) => Value | undefined;

export type Later = (expr: Expr) => Deferred | undefined;

export interface LoweringInput {
  readonly kernel: Kernel;
  readonly state: ExecState;
  readonly interner: Interner;
  /** The source that the kernel loops over. */
  readonly source: Source;
  /** Values of the maximal sub-expressions without columns. */
  readonly constants: ReadonlyMap<Expr, Datum>;
  /** Subqueries' values, by the sublink that asks for them. */
  readonly members: ReadonlyMap<Expr, MemberSet>;
  /** Most rows that the kernel can hand to its sink; Infinity when that is not known. */
  readonly maxRows: number;
}

/** Most texts, by their numbers, for which an expression over what another kernel made is computed in advance. */
const MAX_KNOWN_TEXTS = 4096;
/** Most values of an integer for which an expression is computed in advance. */
const MAX_DOMAIN = 65536;

export class Lowering {
  /** `later` finds expressions that need not be computed row by row. */
  constructor(private readonly input: LoweringInput, private readonly resolve: Resolve, private readonly later: Later = () => undefined) {}

  get maxRows(): number {
    return this.input.maxRows;
  }

  /** Rows that the kernel reads. */
  get sourceRows(): number {
    return this.input.source.rows;
  }

  /** The same over other inputs of the same kernel. */
  over(resolve: Resolve, later?: Later): Lowering {
    return new Lowering(this.input, resolve, later);
  }

  /** The expression by its row's position in the source, where it is a column of that. */
  deferred(expr: Expr): Deferred | undefined {
    return this.later(expr);
  }

  // ---- conditions

  /** Source of: the expression is true. */
  isTrue(expr: Expr): string {
    return this.condition(expr, true);
  }

  /** Sources of tests that all must be true for the expression to be true. */
  tests(expr: Expr): string[] {
    if (expr.kind === 'BoolExpr' && expr.op === 'and' && !this.input.constants.has(expr) && !this.resolve(expr) && !this.liftsWhole(expr)) return expr.args.flatMap((arg) => this.tests(arg));
    return [this.isTrue(expr)];
  }

  private condition(expr: Expr, wanted: boolean): string {
    const { constants, members } = this.input;
    if (constants.has(expr)) return constants.get(expr) === wanted ? 'true' : 'false';
    const member = members.get(expr);
    if (member) {
      const { code, isNull } = this.member(member);
      return guard(isNull, wanted ? code : `!${code}`);
    }
    if (expr.kind === 'Const') return expr.value === wanted ? 'true' : 'false';
    if (!this.resolve(expr) && !this.liftsWhole(expr)) {
      if (expr.kind === 'BoolExpr') {
        if (expr.op === 'not') return this.condition(expr.args[0]!, !wanted);
        const all = (expr.op === 'and') === wanted;
        return `(${expr.args.map((arg) => this.condition(arg, wanted)).join(all ? ' && ' : ' || ')})`;
      }
      if (expr.kind === 'NullTest' && !expr.argIsRow) {
        const { isNull } = this.value(expr.arg);
        if (isNull === null) return expr.negated === wanted ? 'true' : 'false';
        return expr.negated === wanted ? `!(${isNull})` : `(${isNull})`;
      }
      const compared = this.comparison(expr);
      if (compared) return guard(compared.isNull, wanted ? compared.whenTrue : compared.whenFalse);
    }
    const value = this.value(expr);
    if (value.kind === 'any') return `${value.code} === ${String(wanted)}`;
    // In a table of results 2 is NULL, and neither true nor false.
    return guard(value.isNull === `${value.code} === 2` ? null : value.isNull, `${value.code} === ${wanted ? 1 : 0}`);
  }

  /** Whether the value is in a set; NULL where SQL cannot say. */
  private member({ left, keys, keyOf, bits, hasNull, empty }: MemberSet): { code: string; isNull: string | null } {
    if (empty) return { code: 'false', isNull: null };
    const { kernel } = this.input;
    const value = this.value(left);
    const found = bits && value.kind === 'int'
      ? `(${kernel.outside(bits.table, 'b')}[${value.code} - ${kernel.outside(bits.min)}] === 1)`
      : `${kernel.outside((datum: Datum) => datum !== null && keys.has(keyOf(datum)), 'f')}(${this.datum(value)})`;
    const isNull = value.kind === 'any' ? `${value.code} === null` : value.isNull;
    return { code: found, isNull: anyOf(isNull, hasNull ? `!${found}` : null) };
  }

  private comparison(expr: Expr): Comparison | null {
    if (expr.kind !== 'OpExpr' || expr.args.length !== 2) return null;
    const name = this.functionName(expr);
    return isComparison(name) ? compareValues(name, this.value(expr.args[0]!), this.value(expr.args[1]!), this.input.kernel) : null;
  }

  // ---- values

  value(expr: Expr): Value {
    const present = this.resolve(expr);
    if (present) return present;
    const { constants } = this.input;
    if (constants.has(expr)) return this.constant(constants.get(expr)!, expr.type);
    if (expr.kind === 'Const') return this.constant(expr.value, expr.type);
    if (this.liftsWhole(expr)) return this.lifted(expr) ?? this.called(expr);
    return this.written(expr) ?? this.lifted(expr) ?? this.called(expr);
  }

  constant(value: Datum, type: number): Value {
    const { kernel, interner } = this.input;
    const found = columnClass(type, -1);
    if (value === null) {
      if (found !== null && found.kind === 'text') return { kind: 'ref', code: '-1', isNull: 'true', scale: 0, min: 0, max: 0, type };
      if (found !== null) return { ...intValue('0', 'true', type, 0, 0), kind: found.kind };
      return anyValue('null', type);
    }
    if (typeof value === 'number' && found?.kind === 'int' && Number.isFinite(value)) return intValue(kernel.outside(value), null, type, value, value);
    if (typeof value === 'number' && found?.kind === 'float') return { ...intValue(kernel.outside(value), null, type, -Infinity, Infinity), kind: 'float' };
    if (typeof value === 'boolean') return boolValue(value ? '1' : '0', null);
    if (typeof value === 'string' && found?.kind === 'text') {
      const id = interner.id(value);
      return { kind: 'ref', code: kernel.outside(id), isNull: null, scale: 0, min: id, max: id, type };
    }
    if (value instanceof Numeric && value.isFinite && typeof value.coefficient === 'number') {
      return { ...intValue(kernel.outside(value.coefficient), null, type, value.coefficient, value.coefficient), kind: 'decimal', scale: value.scale };
    }
    if (typeof value === 'bigint' && type === INT8) {
      const halves = { high: kernel.outside(Number(BigInt.asIntN(32, value >> 32n))), low: kernel.outside(Number(BigInt.asIntN(32, value))) };
      return { ...anyValue(kernel.outside(value, 'd'), type), isNull: null, halves };
    }
    return anyValue(kernel.outside(value, 'd'), type);
  }

  /** What is written out as JavaScript; null for what is not. */
  private written(expr: Expr): Value | null {
    switch (expr.kind) {
      case 'RelabelType':
      case 'CollateExpr':
        return changed(this.value(expr.arg), { type: expr.type });
      case 'BoolExpr':
      case 'NullTest':
        return this.logical(expr);
      case 'OpExpr':
        return this.comparison(expr) ? this.logical(expr) : this.arithmetic(this.functionName(expr), expr);
      case 'FuncExpr':
        return this.arithmetic(this.functionName(expr), expr);
      case 'CaseExpr':
        return expr.arg === null ? this.conditional(expr) : null;
      default:
        return null;
    }
  }

  private logical(expr: Expr): Value {
    const whenTrue = this.condition(expr, true);
    const whenFalse = this.condition(expr, false);
    return boolValue(`(${whenTrue} ? 1 : 0)`, `!(${whenTrue} || ${whenFalse})`);
  }

  private arithmetic(name: string, expr: Extract<Expr, { kind: 'OpExpr' | 'FuncExpr' }>): Value | null {
    const [first, second] = expr.args;
    const { kernel } = this.input;
    if (second !== undefined) return expr.args.length === 2 && isArithmetic(name) ? combineValues(name, this.value(first!), this.value(second), expr.type, kernel) : null;
    return first !== undefined && isCast(name) ? castValue(name, this.value(first), expr.type, kernel) : null;
  }

  private conditional(expr: Extract<Expr, { kind: 'CaseExpr' }>): Value | null {
    const results = [...expr.whens.map((when) => this.value(when.result)), expr.otherwise ? this.value(expr.otherwise) : this.constant(null, expr.type)];
    const live = results.filter((result) => result.isNull !== 'true');
    const first = live[0];
    if (!first || live.some((result) => result.kind !== first.kind || result.kind === 'any')) return null;
    // The scale that a sum shows is that of the rows it met: branches of several scales keep theirs apart.
    if (first.kind === 'decimal' && live.some((result) => result.scale !== first.scale && !(result.min === 0 && result.max === 0))) return null;
    const scale = Math.max(...live.map((result) => result.scale));
    const tests = expr.whens.map((when) => this.condition(when.condition, true));
    const choose = (pick: (result: Value) => string): string => tests.reduceRight((rest, test, n) => `(${test} ? ${pick(results[n]!)} : ${rest})`, pick(results[results.length - 1]!));
    const isNull = results.some((result) => result.isNull !== null) ? choose((result) => result.isNull ?? 'false') : null;
    const { min, max } = rangeOf(live.flatMap((result) => [result.min, result.max]));
    const value: Value = { kind: first.kind, code: choose((result) => result.code), isNull, scale, min, max, type: expr.type };
    if (live.every((result) => result.scale === scale)) return value;
    return { ...value, shownScale: choose((result) => String(result.scale)) };
  }

  // ---- once per dictionary entry or value

  /** The columns that an expression is made of, outermost first. */
  private leaves(expr: Expr, into: { expr: Expr; value: Value }[]): void {
    const value = this.resolve(expr);
    if (value) {
      if (!into.some((leaf) => equalExpr(leaf.expr, expr))) into.push({ expr, value });
      return;
    }
    if (this.input.constants.has(expr)) return;
    for (const child of childrenOf(expr)) this.leaves(child, into);
  }

  private leavesOf(expr: Expr): { expr: Expr; value: Value }[] {
    const leaves: { expr: Expr; value: Value }[] = [];
    this.leaves(expr, leaves);
    return leaves;
  }

  /** Over one text column and nothing else: the whole is a look-up by dictionary code. */
  private liftsWhole(expr: Expr): boolean {
    if (expr.kind === 'Var' || expr.kind === 'Const' || this.resolve(expr)) return false;
    if (this.input.members.size > 0 && contains(expr, (node) => this.input.members.has(node))) return false;
    const leaves = this.leavesOf(expr);
    return leaves.length === 1 && leaves[0]!.value.kind === 'ref';
  }

  private lifted(expr: Expr): Value | null {
    const leaves = this.leavesOf(expr);
    if (leaves.length !== 1) return null;
    const [leaf] = leaves as [{ expr: Expr; value: Value }];
    const { kernel, source, interner } = this.input;
    const scalar = this.closure(expr, [leaf.expr]);
    const frame = new Frame(this.input.state);
    const values: Datum[] = [null];
    frame.values = values;
    const evaluate = (value: Datum): Datum => {
      values[0] = value;
      return scalar(frame);
    };
    if (leaf.value.kind === 'ref') {
      if (!leaf.value.column) return this.liftedReference(expr, leaf.value, evaluate);
      const { column } = leaf.value.column;
      const shape = resultShape(expr.type);
      const lifted = source.liftText(kernel, column, {
        expr, evaluate, pattern: this.patternOf(expr, leaf.expr),
        make: (results) => keepableTable(results, shape), unmake: (results) => keptTable(results, interner),
        keyOf: (nullable) => liftKey(expr, this.input.constants, nullable, this.input.state.catalog),
      });
      return lifted && narrowed(fromTable(`${lifted.table}[${lifted.index}]`, shape, expr.type), shape, lifted.tables);
    }
    const { min, max, isNull, kind } = leaf.value;
    if (kind !== 'int' || !INTEGER_DATUMS.has(leaf.value.type) || !(max - min < Math.min(MAX_DOMAIN, source.rows * 2))) return null;
    const results = evaluatedDomain(min, max, evaluate);
    if (results === null) return null;
    const shape = integerShape(results) ?? resultShape(expr.type);
    const table = kernel.outside(tableOf(results, shape, interner), 't');
    const offset = kernel.outside(min);
    const index = `${leaf.value.code} - ${offset}`;
    const value = fromTable(`${table}[${isNull ? `(${isNull} ? ${String(results.length - 1)} : ${index})` : index}]`, shape, expr.type);
    if (shape.kind !== 'int' && shape.kind !== 'decimal') return value;
    const numbers = results.slice(0, -1).filter((result) => result !== null).map((result) => (result instanceof Numeric ? result.coefficient : result) as number);
    return { ...value, ...rangeOf(numbers.length > 0 ? numbers : [0]), isNull: results.slice(0, isNull ? undefined : -1).includes(null) ? value.isNull : null };
  }

  /** `text LIKE 'pattern'` over the column itself. */
  private patternOf(expr: Expr, column: Expr): LikePattern | null {
    if (expr.kind !== 'OpExpr' || expr.args.length !== 2) return null;
    const name = this.functionName(expr);
    if (name !== 'textlike' && name !== 'textnlike') return null;
    let [text, pattern] = expr.args as [Expr, Expr];
    while (text.kind === 'RelabelType' && text !== column) text = text.arg;
    // A bpchar is cut of its blanks before it is a text.
    if (!equalExpr(text, column) || (column.type !== TEXT && column.type !== VARCHAR)) return null;
    const value = this.input.constants.has(pattern) ? this.input.constants.get(pattern) : pattern.kind === 'Const' ? pattern.value : undefined;
    return typeof value === 'string' ? likePattern(value, name === 'textnlike') : null;
  }

  /** Over a text that another kernel made a number of: computed when a number is first met. */
  private liftedReference(expr: Expr, text: Value, evaluate: (value: Datum) => Datum): Value {
    const { kernel, interner } = this.input;
    const table = this.referenceTable(expr, text, evaluate);
    if (table) return table;
    const known: Datum[] = [];
    const whenNull = evaluate(null);
    const find = (id: number): Datum => {
      const found = known[id];
      return found !== undefined ? found : (known[id] = evaluate(interner.texts[id]!));
    };
    const call = `${kernel.outside(find, 'f')}(${text.code})`;
    return unboxed(text.isNull ? `(${text.isNull} ? ${kernel.outside(whenNull, 'd')} : ${call})` : call, expr.type, this.input);
  }

  /** The same for few texts, all in advance. */
  private referenceTable(expr: Expr, { code, isNull, max }: Value, evaluate: (value: Datum) => Datum): Value | null {
    const { kernel, interner } = this.input;
    const shape = resultShape(expr.type);
    if (!(max < MAX_KNOWN_TEXTS) || max >= interner.texts.length || shape.kind === 'any' || shape.kind === 'float') return null;
    const results: Datum[] = [];
    try {
      for (let id = 0; id <= max; id++) results.push(evaluate(interner.texts[id]!));
      results.push(evaluate(null));
    } catch (error) {
      // Only rows may raise it.
      if (error instanceof DatabaseError) return null;
      throw error;
    }
    const values = tableOf(results, shape, interner);
    const index = isNull === null ? code : `(${isNull} ? ${results.length - 1} : ${code})`;
    return narrowed(fromTable(`${kernel.outside(values, 't')}[${index}]`, shape, expr.type), shape, [values]);
  }

  // ---- row by row

  /** The row executor's closure, called with the columns' datums. */
  private called(expr: Expr): Value {
    const { kernel, state } = this.input;
    const leaves = this.leavesOf(expr);
    const scalar = this.closure(expr, leaves.map((leaf) => leaf.expr));
    const frame = new Frame(state);
    const values: Datum[] = [];
    frame.values = values;
    const call = (...datums: Datum[]): Datum => {
      for (let i = 0; i < datums.length; i++) values[i] = datums[i]!;
      return scalar(frame);
    };
    const code = `${kernel.outside(call, 'f')}(${leaves.map((leaf) => this.datum(leaf.value)).join(', ')})`;
    // Not hoisted: where CASE or AND leave it out it must not be computed.
    return anyValue(code, expr.type);
  }

  private closure(expr: Expr, columns: readonly Expr[]): Scalar {
    const { state, constants } = this.input;
    return compile(expr, {
      catalog: state.catalog,
      subLinks: null,
      layout: {
        resolve: (wanted) => {
          if (constants.has(wanted)) {
            const value = constants.get(wanted)!;
            return () => value;
          }
          const at = columns.findIndex((column) => equalExpr(column, wanted));
          return at < 0 ? undefined : (frame) => frame.values[at]!;
        },
      },
    });
  }

  /** Source of an expression's value as a datum. */
  plainDatum(expr: Expr): string {
    return this.datum(this.value(expr));
  }

  /** Source of the value as a datum. */
  datum(value: Value): string {
    const code = datumCode(value, this.input);
    return value.isNull === null || value.kind === 'any' ? code : `(${value.isNull} ? null : ${code})`;
  }

  private functionName(expr: Extract<Expr, { kind: 'OpExpr' | 'FuncExpr' }>): string {
    const { catalog } = this.input.state;
    const func = expr.func !== 0 ? expr.func : expr.kind === 'OpExpr' ? (catalog.operator(expr.operator)?.oprcode ?? 0) : 0;
    const proc = catalog.proc(func);
    return proc && proc.oid < FIRST_OWN_OID ? proc.proname : '';
  }
}

const INT8 = 20;
const TEXT = 25;
const VARCHAR = 1043;

/** Functions of users may have the name of a born one. */
const FIRST_OWN_OID = 16384;

function guard(isNull: string | null, test: string): string {
  return isNull === null ? `(${test})` : `(!(${isNull}) && ${test})`;
}

/** Types whose datum is the kernel's integer itself. */
const INTEGER_DATUMS = new Set([20, 21, 23, 26, 1082, 1083, 1114, 1184]);

/** Results for min..max and, last, for NULL; null when one of them is an error, which only rows may raise. */
function evaluatedDomain(min: number, max: number, evaluate: (value: Datum) => Datum): Datum[] | null {
  const results: Datum[] = [];
  try {
    for (let value = min; value <= max; value++) results.push(evaluate(value));
    results.push(evaluate(null));
  } catch (error) {
    if (error instanceof DatabaseError) return null;
    throw error;
  }
  return results;
}

/** A datum in a kernel as the kind that its type allows. */
function unboxed(code: string, type: number, { kernel, interner }: LoweringInput): Value {
  if (type === 16) return boolValue(`(${code} === true ? 1 : 0)`, `${code} === null`);
  if (isTextType(type)) {
    const intern = kernel.outside(internText(interner), 'f');
    return { kind: 'ref', code: `${intern}(${code})`, isNull: `${code} === null`, scale: 0, min: 0, max: Infinity, type };
  }
  return anyValue(code, type);
}

const internFunctions = new WeakMap<Interner, (text: string | null) => number>();

export function internText(interner: Interner): (text: string | null) => number {
  let found = internFunctions.get(interner);
  if (!found) internFunctions.set(interner, (found = (text) => (text === null ? -1 : interner.id(text))));
  return found;
}

/** Source of a value known not to be NULL as a datum. */
export function datumCode(value: Value, { kernel, interner }: Pick<LoweringInput, 'kernel' | 'interner'>): string {
  switch (value.kind) {
    case 'bool': return `(${value.code} === 1)`;
    case 'int': return `(${value.code} + 0)`;
    case 'decimal': return `${kernel.outside(Numeric.of, 'f')}(${value.code} + 0, ${value.shownScale ? `${value.shownScale}` : String(value.scale)})`;
    case 'ref': return value.place === undefined ? `${kernel.outside(interner.texts, 'd')}[${value.code}]` : `${kernel.outside(interner.textAt, 'f')}(${value.place})`;
    default: return value.code;
  }
}
