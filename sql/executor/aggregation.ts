/** One aggregate of a plan, compiled: how a row advances its state and how the state becomes the result. */
import { notSupported } from '../../engine/errors.js';
import type { Aggref } from '../analyzer/query-tree.js';
import type { BoundAggregate } from '../functions/function.js';
import type { Datum } from '../types/datum.js';
import { compareBy, type CompareDatums } from './compare.js';
import type { ExecState } from './exec-state.js';
import { compile, compileAll } from './expressions/compile.js';
import { Frame, type Scalar } from './expressions/frame.js';
import { functionCall, implementation, procOf, signatureText, type CompileScope } from './expressions/scope.js';
import { hypotheticalResult } from './hypothetical.js';

/** Accumulates one group's rows for one aggregate. */
export interface Accumulator {
  /** Advances by the frame's row. */
  add(frame: Frame): void;
  result(state: ExecState): Datum;
}

export type NewAccumulator = () => Accumulator;

export function compileAggregate(agg: Aggref, scope: CompileScope): NewAccumulator {
  const proc = procOf(scope, agg.func);
  const filter = agg.filter && compile(agg.filter, scope);
  const args = compileAll(agg.args.map((entry) => entry.expr), scope);
  const direct = compileAll(agg.directArgs, scope);
  const orderings = agg.orderBy.map((clause) => {
    const index = agg.args.findIndex((entry) => entry.sortGroupRef === clause.ref);
    return { index, compare: compareBy({ type: agg.args[index]!.expr.type, descending: clause.descending, nullsFirst: clause.nullsFirst }, scope.catalog) };
  });
  if (agg.aggKind === 'h') {
    const compares = orderings.map((ordering) => ordering.compare);
    return () => collecting(args, filter, (rows, state, frame) => hypotheticalResult(proc.proname, rows, direct.map((d) => d(frame)), compares, state));
  }
  const found = implementation(scope, proc);
  if (found.kind !== 'aggregate') throw notSupported(`aggregate ${signatureText(scope.catalog, proc)}`);
  const bound: BoundAggregate = found.bind(functionCall(scope, agg.argTypes, agg.type, agg.inputCollation, agg.variadic));
  const visible = agg.args.flatMap((entry, i) => (entry.junk ? [] : [i]));
  const pick = (row: readonly Datum[]): Datum[] => visible.map((i) => row[i]!);
  if (agg.distinct.length === 0 && orderings.length === 0) return simple(bound, args, filter);
  const distinct = agg.distinct.map((clause) => {
    const index = agg.args.findIndex((entry) => entry.sortGroupRef === clause.ref);
    const given = orderings.find((ordering) => ordering.index === index);
    return given ?? { index, compare: compareBy({ type: agg.args[index]!.expr.type, descending: clause.descending, nullsFirst: clause.nullsFirst }, scope.catalog) };
  });
  // DISTINCT sorts by the ORDER BY first (its columns are among the arguments), then by the others.
  const keys = [...orderings, ...distinct.filter((d) => !orderings.includes(d))];
  return () => collecting(args, filter, (rows, state, frame) => {
    rows.sort((a, b) => {
      for (const { index, compare } of keys) {
        const order = compare(a[index]!, b[index]!);
        if (order !== 0) return order;
      }
      return 0;
    });
    let value = bound.initial();
    let previous: Datum[] | null = null;
    const directValues = direct.map((d) => d(frame));
    for (const row of rows) {
      if (distinct.length > 0 && previous !== null && sameKeys(previous, row, distinct)) continue;
      previous = row;
      const values = pick(row);
      if (bound.skipNulls && values.includes(null)) continue;
      value = bound.step(value, ...values);
    }
    return bound.finish(value, state.context, ...directValues);
  });
}

function sameKeys(a: readonly Datum[], b: readonly Datum[], keys: readonly { index: number; compare: CompareDatums }[]): boolean {
  return keys.every(({ index, compare }) => compare(a[index]!, b[index]!) === 0);
}

function simple(bound: BoundAggregate, args: readonly Scalar[], filter: Scalar | null): NewAccumulator {
  const [first] = args;
  const { skipNulls } = bound;
  return () => {
    let value = bound.initial();
    const accumulator: Accumulator = {
      add: args.length === 0
        ? () => { value = bound.step(value); }
        : args.length === 1
          ? (frame) => {
              const argument = first!(frame);
              if (argument === null && skipNulls) return;
              value = bound.step(value, argument);
            }
          : (frame) => {
              const values = args.map((arg) => arg(frame));
              if (skipNulls && values.includes(null)) return;
              value = bound.step(value, ...values);
            },
      result: (state) => bound.finish(value, state.context),
    };
    return filter ? filtered(accumulator, filter) : accumulator;
  };
}

function filtered(accumulator: Accumulator, filter: Scalar): Accumulator {
  return { add: (frame) => filter(frame) === true && accumulator.add(frame), result: (state) => accumulator.result(state) };
}

/** Keeps the rows until the end: DISTINCT, ORDER BY, ordered-set aggregates. */
function collecting(args: readonly Scalar[], filter: Scalar | null, finish: (rows: Datum[][], state: ExecState, frame: Frame) => Datum): Accumulator {
  const rows: Datum[][] = [];
  let last: Frame | null = null;
  return {
    add(frame) {
      last = frame;
      if (filter && filter(frame) !== true) return;
      rows.push(args.map((arg) => arg(frame)));
    },
    result: (state) => finish(rows, state, last ?? emptyFrame(state)),
  };
}

function emptyFrame(state: ExecState): Frame {
  return new Frame(state);
}


