/** Pairs of rows read in place: the outer side from frame.outerColumns, the inner from frame.columns. */
import type { Expr } from '../analyzer/query-tree.js';
import type { Scalar } from './expressions/frame.js';
import type { Layout } from './expressions/scope.js';
import { slot, type OutputLayout } from './layout.js';
import { readVector } from './vectors.js';

export class JoinLayout implements Layout {
  constructor(private readonly outer: OutputLayout, private readonly inner: OutputLayout) {}

  resolve(expr: Expr): Scalar | undefined {
    const innerIndex = this.inner.indexOf(expr);
    if (innerIndex >= 0) return slot(innerIndex);
    const outerIndex = this.outer.indexOf(expr);
    if (outerIndex < 0) return undefined;
    return (frame) => readVector(frame.outerColumns[outerIndex]!, frame.outerRow);
  }
}
