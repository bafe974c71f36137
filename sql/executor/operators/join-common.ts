/** What the three joins share: testing pairs, emitting output, reading a side whole. */
import type { Pending } from '../../../engine/pending.js';
import type { Expr } from '../../analyzer/query-tree.js';
import type { HashJoinNode, MergeJoinNode, NestLoopNode, PlanNode } from '../../planner/plan-node.js';
import type { Datum } from '../../types/datum.js';
import type { Batch, Operator, Vector } from '../batch.js';
import type { PlanCompiler } from '../compile-plan.js';
import type { ExecState } from '../exec-state.js';
import { andOf } from '../expressions/boolean.js';
import { compileAll } from '../expressions/compile.js';
import type { Frame, Scalar, WaitingScalar } from '../expressions/frame.js';
import { compileWaiting, mayWait } from '../expressions/waiting.js';
import { TIME_SLICE } from '../interrupts.js';
import { JoinLayout } from '../join-layout.js';
import { compileFilter, type RowFilter } from '../row-filter.js';
import { anyVector, readVector, rowAt } from '../vectors.js';
import { JoinOutput } from './join-output.js';
import { pull, type Run } from './operator.js';
import { countRemoved } from './seq-scan.js';
import { MAX_ROWS_IN_MEMORY, tooManyRows } from './sort.js';

export type JoinNode = NestLoopNode | HashJoinNode | MergeJoinNode;

/** The test of a pair beyond the join keys; null when every pair passes. */
export interface PairTest { readonly now: Scalar | null; readonly waiting: WaitingScalar | null }

export interface CompiledJoin {
  readonly test: PairTest;
  readonly filter: RowFilter | null;
  readonly outerOnly: boolean;
  newOutput(): JoinOutput;
}

export function pairScope(node: JoinNode, compiler: PlanCompiler) {
  return compiler.scopeOf(new JoinLayout(compiler.layout(node.outer.output), compiler.layout(node.inner.output)));
}

export function compileJoin(node: JoinNode, compiler: PlanCompiler): CompiledJoin {
  const scope = pairScope(node, compiler);
  const outerOnly = node.joinType === 'semi' || node.joinType === 'anti';
  const quals: readonly Expr[] = node.joinQuals;
  let test: PairTest = { now: null, waiting: null };
  if (quals.length > 0) {
    if (quals.some((qual) => mayWait(qual, scope))) {
      const tests = quals.map((qual) => compileWaiting(qual, scope));
      test = {
        now: null,
        *waiting(frame) {
          for (const one of tests) if ((yield* one(frame)) !== true) return false;
          return true;
        },
      };
    } else {
      test = { now: andOf(compileAll(quals, scope)), waiting: null };
    }
  }
  const joined = outerOnly ? node.outer.output : [...node.outer.output, ...node.inner.output];
  return {
    test, outerOnly,
    filter: compileFilter(node.filter, compiler.scope(joined)),
    newOutput: () => new JoinOutput(node.outer.output.length, outerOnly ? 0 : node.inner.output.length),
  };
}

export function* passes(test: PairTest, frame: Frame): Generator<Pending, boolean> {
  if (test.now) return test.now(frame) === true;
  if (test.waiting) return (yield* test.waiting(frame)) === true;
  return true;
}

/** Yields what was collected, after the join's filter. */
export function* flush(output: JoinOutput, join: CompiledJoin, node: JoinNode, state: ExecState): Run {
  const batch = output.take();
  if (batch) {
    const kept: Batch | null = join.filter ? yield* join.filter.apply(batch, state) : batch;
    if (state.instrument && join.filter) countRemoved(state, node, batch.length - (kept?.length ?? 0));
    if (kept) yield kept;
  }
  if (state.shouldYield()) yield TIME_SLICE;
}

/** A side of a join read whole, as vectors. */
export interface ReadSide { readonly vectors: Vector[]; readonly count: number }

export function* readSide(input: Operator, node: PlanNode, state: ExecState): Generator<Pending, ReadSide> {
  const columns: Datum[][] = node.output.map(() => []);
  let count = 0;
  for (let batch = yield* pull(input); batch !== null; batch = yield* pull(input)) {
    for (let c = 0; c < columns.length; c++) {
      const vector = batch.columns[c]!;
      const column = columns[c]!;
      for (let i = 0; i < batch.length; i++) column.push(readVector(vector, rowAt(batch, i)));
    }
    count += batch.length;
    if (count > MAX_ROWS_IN_MEMORY) throw tooManyRows('A hash table');
    if (state.shouldYield()) yield TIME_SLICE;
  }
  return { vectors: columns.map(anyVector), count };
}
