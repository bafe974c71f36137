/**
 * What a compiled expression reads: one row of a batch (or of an array of values) plus the state
 * of the execution. Compiled closures capture only the plan; everything of one execution comes
 * from the frame, so a cached plan's closures are shared by all its executions.
 */
import type { Pending } from '../../../engine/pending.js';
import type { Datum } from '../../types/datum.js';
import type { Batch, Vector } from '../batch.js';
import type { ExecState } from '../exec-state.js';

export class Frame {
  columns: readonly Vector[] = NO_COLUMNS;
  row = 0;
  /** The outer side of a join, where both sides are read in place. */
  outerColumns: readonly Vector[] = NO_COLUMNS;
  outerRow = 0;
  /** For layouts over an array of values (constraints, index expressions). */
  values: readonly Datum[] = NO_VALUES;
  /** A second row given as values (the row proposed for insertion). */
  otherValues: readonly Datum[] = NO_VALUES;
  /** System columns of the row in `values`: by minus attribute number. */
  systemValues: readonly Datum[] = NO_VALUES;
  /** For layouts over a stored row. */
  tuple: Uint8Array = NO_TUPLE;
  /** Where in `tuple` it begins, and, where that was set, ends. */
  tupleAt = 0;
  tupleEnd = 0;
  caseValue: Datum = null;
  domainValue: Datum = null;
  /** Intermediate results of the awaiting evaluator. */
  temporaries: Datum[] = [];
  constructor(readonly state: ExecState) {}

  batch(batch: Batch): this {
    this.columns = batch.columns;
    return this;
  }
}

const NO_COLUMNS: readonly Vector[] = [];
const NO_VALUES: readonly Datum[] = [];
const NO_TUPLE = new Uint8Array(0);

/** A compiled expression. Never `undefined`; NULL is null. */
export type Scalar = (frame: Frame) => Datum;

/** A compiled expression that may have to wait: yields what it waits for, returns the value. */
export type WaitingScalar = (frame: Frame) => Generator<Pending, Datum>;
