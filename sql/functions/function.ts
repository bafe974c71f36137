/**
 * The form of a function's implementation. What a function is (OID, argument and result types,
 * strictness, volatility, variadic, defaults) are facts in pg_proc; the analyzer resolves overloads
 * over those facts alone, so resolution is PostgreSQL's. An implementation is attached by
 * signature, `proname(argtypes)` with pg_type names, e.g. 'int4pl(int4,int4)'. A born function without one
 * raises 0A000 when it is called. Operators and casts point at functions, so they need no entry.
 */
import type { Datum } from '../types/datum.js';
import type { DataType } from '../types/data-type.js';
import type { Pending } from '../../engine/pending.js';
import type { EvalContext } from './context.js';

/** What is known at plan time about one call. */
export interface FunctionCall {
  /** Actual types after resolution (no polymorphic pseudo-types left). */
  readonly argTypes: readonly number[];
  readonly resultType: number;
  readonly collation: number;
  /** The column definition list of a call in FROM that returns record. */
  readonly columns?: readonly { readonly name: string; readonly typeOid: number; readonly typmod: number }[];
  /** A call written with VARIADIC array. */
  readonly variadicArray: boolean;
  type(oid: number): DataType;
}

/** Evaluates one call on non-null arguments if strict (pg_proc.proisstrict), else on any. */
export type Evaluate = (...args: never[]) => Datum;
/** May also answer Pending: then it is called again with the same arguments and `call state`. */
export type EvaluateMayWait = (...args: never[]) => Datum | Pending | Promise<Datum>;

export interface ScalarFunction {
  readonly kind: 'scalar';
  readonly signature: string | readonly string[];
  readonly evaluate?: Evaluate;
  /** Instead of evaluate, where the evaluation depends on the actual types. */
  readonly bind?: (call: FunctionCall) => Evaluate;
  /** The evaluation gets the EvalContext after its arguments. */
  readonly needsContext?: true;
  /**
   * JavaScript source for the call on non-null arguments, where it is a simple expression; `args` are
   * identifiers or simple expressions, never user text. May use the names in KERNEL_HELPERS only.
   */
  readonly inline?: (args: readonly string[]) => string;
  readonly doc?: string;
  readonly example?: string;
}

/** Locks, sleeps: only expressions that contain one use the row-by-row awaiting evaluator. */
export interface WaitingFunction {
  readonly kind: 'waiting';
  readonly signature: string | readonly string[];
  readonly evaluate: EvaluateMayWait;
  readonly needsContext?: true;
  readonly doc?: string;
}

/** Set-returning: yields one datum a row, or an array of datums for several OUT columns. */
export interface SetFunction {
  readonly kind: 'set';
  readonly signature: string | readonly string[];
  readonly rows?: (...args: never[]) => Iterable<Datum | readonly Datum[]>;
  readonly bind?: (call: FunctionCall) => (...args: never[]) => Iterable<Datum | readonly Datum[]>;
  readonly needsContext?: true;
  readonly doc?: string;
}

/** One aggregate bound to its argument types. State is any JS value; `step` returns the new state. */
export interface BoundAggregate<S = unknown> {
  initial(): S;
  /** Called with nulls unless `skipNulls`. Extra arguments as the aggregate has. */
  step(state: S, ...args: Datum[]): S;
  /** Ordered-set aggregates: `step` got the aggregated arguments in their order, `directArgs` are those before WITHIN GROUP. */
  finish(state: S, context: EvalContext, ...directArgs: Datum[]): Datum;
  /** Merges two partial states (parallel aggregation). */
  combine?(left: S, right: S): S;
  /** Moving-aggregate inverse, where exact. */
  inverse?(state: S, ...args: Datum[]): S;
  /** Rows with a null in any argument are skipped (strict transition function). */
  readonly skipNulls: boolean;
  /** Result over no rows is finish(initial()). */
}

export interface AggregateFunction {
  readonly kind: 'aggregate';
  readonly signature: string | readonly string[];
  readonly bind: (call: FunctionCall) => BoundAggregate;
  readonly doc?: string;
}

/** Window functions proper (row_number, lag, ...), after PostgreSQL's WindowObject API. */
export interface WindowAccess {
  readonly partitionRows: number;
  /** 0-based position of the current row in its partition. */
  readonly currentRow: number;
  /** First row of the current row's peer group, and one past its last. */
  readonly peerStart: number;
  readonly peerEnd: number;
  /** Frame bounds [start, end) after frame clause and exclusion start; */
  readonly frameStart: number;
  readonly frameEnd: number;
  /** Is the row excluded from the frame by an EXCLUDE clause? */
  excluded(row: number): boolean;
  /** Value of argument `index` evaluated at partition row `row`. */
  argument(index: number, row: number): Datum;
}

export interface WindowFunction {
  readonly kind: 'window';
  readonly signature: string | readonly string[];
  /** Called per row, in order; `state` is fresh for each partition. */
  readonly bind: (call: FunctionCall) => { initial(): unknown; evaluate(state: unknown, window: WindowAccess): Datum };
  readonly doc?: string;
}

export type SqlFunction = ScalarFunction | WaitingFunction | SetFunction | AggregateFunction | WindowFunction;
