/**
 * Both sides sorted by the keys. The inner side is read group by group of equal keys; each outer row
 * meets the group that equals it. NULL keys match nothing; they sort where the order puts them.
 */
import type { Pending } from '../../../engine/pending.js';
import type { MergeJoinNode, PlanNode } from '../../planner/plan-node.js';
import type { Datum } from '../../types/datum.js';
import type { Batch, Operator, Vector } from '../batch.js';
import type { Open, PlanCompiler } from '../compile-plan.js';
import { compareBy, type CompareDatums } from '../compare.js';
import type { ExecState } from '../exec-state.js';
import { compileAll } from '../expressions/compile.js';
import { Frame, type Scalar } from '../expressions/frame.js';
import { anyVector, readVector, rowAt } from '../vectors.js';
import { compileJoin, flush, passes, type CompiledJoin } from './join-common.js';
import { GeneratorOperator, pull, type Run } from './operator.js';

export function compileMergeJoin(node: MergeJoinNode, compiler: PlanCompiler): Open {
  const join = compileJoin(node, compiler);
  const outer = compiler.open(node.outer);
  const inner = compiler.open(node.inner);
  const outerKeys = compileAll(node.keys.map((key) => key.outer), compiler.scope(node.outer.output));
  const innerKeys = compileAll(node.keys.map((key) => key.inner), compiler.scope(node.inner.output));
  const compares = node.keys.map((key, i) => compareBy({ type: key.inner.type === 20 ? 20 : key.outer.type, descending: node.descending[i]!, nullsFirst: node.nullsFirst[i]! }, compiler.catalog));
  return (state) => new GeneratorOperator(run(node, join, outer, inner, outerKeys, innerKeys, compares, state));
}

/** One side, row by row. */
class Side {
  batch: Batch | null = null;
  private at = -1;
  row = 0;
  key: Datum[] = [];
  done = false;
  private readonly frame: Frame;

  constructor(private readonly input: Operator, private readonly keys: readonly Scalar[], state: ExecState) {
    this.frame = new Frame(state);
  }

  *advance(): Generator<Pending, boolean> {
    this.at++;
    while (this.batch === null || this.at >= this.batch.length) {
      this.batch = yield* pull(this.input);
      this.at = 0;
      if (this.batch === null) {
        this.done = true;
        return false;
      }
    }
    this.row = rowAt(this.batch, this.at);
    this.frame.columns = this.batch.columns;
    this.frame.row = this.row;
    this.key = this.keys.map((key) => key(this.frame));
    return true;
  }
}

/** Inner rows with equal keys, copied. */
class Group {
  key: Datum[] | null = null;
  columns: Datum[][] = [];
  vectors: Vector[] = [];
  count = 0;
  matched: boolean[] = [];

  *read(side: Side, node: PlanNode, same: (a: readonly Datum[], b: readonly Datum[]) => boolean): Generator<Pending, void> {
    this.key = side.key;
    this.columns = node.output.map(() => []);
    this.count = 0;
    this.matched = [];
    do {
      this.columns.forEach((column, c) => column.push(readVector(side.batch!.columns[c]!, side.row)));
      this.count++;
      this.matched.push(false);
    } while ((yield* side.advance()) && same(side.key, this.key));
    this.vectors = this.columns.map(anyVector);
  }
}

function* run(node: MergeJoinNode, join: CompiledJoin, outerOpen: Open, innerOpen: Open, outerKeys: readonly Scalar[], innerKeys: readonly Scalar[], compares: readonly CompareDatums[], state: ExecState): Run {
  const output = join.newOutput();
  const { joinType } = node;
  const keepOuter = joinType === 'left' || joinType === 'full' || joinType === 'anti';
  const keepInner = joinType === 'right' || joinType === 'full';
  const stopAtFirst = joinType === 'semi' || joinType === 'anti';
  const compareKeys = (a: readonly Datum[], b: readonly Datum[]): number => {
    for (let k = 0; k < compares.length; k++) {
      const order = compares[k]!(a[k]!, b[k]!);
      if (order !== 0) return order;
    }
    return 0;
  };
  const outerInput = outerOpen(state);
  const innerInput = innerOpen(state);
  try {
    const outer = new Side(outerInput, outerKeys, state);
    const inner = new Side(innerInput, innerKeys, state);
    const group = new Group();
    const frame = new Frame(state);
    yield* inner.advance();
    const dropGroup = function* (): Run {
      if (keepInner && group.key) {
        for (let i = 0; i < group.count; i++) {
          if (!group.matched[i]) output.add([], -1, group.vectors, i);
          if (output.full) yield* flush(output, join, node, state);
        }
      }
      group.key = null;
    };
    while (yield* outer.advance()) {
      while (group.key === null || compareKeys(group.key, outer.key) < 0) {
        yield* dropGroup();
        if (inner.done) break;
        yield* group.read(inner, node.inner, (a, b) => compareKeys(a, b) === 0);
      }
      let matched = false;
      if (group.key !== null && !outer.key.includes(null) && compareKeys(group.key, outer.key) === 0) {
        frame.outerColumns = outer.batch!.columns;
        frame.outerRow = outer.row;
        frame.columns = group.vectors;
        for (let i = 0; i < group.count; i++) {
          frame.row = i;
          if (!(yield* passes(join.test, frame))) continue;
          matched = true;
          group.matched[i] = true;
          if (joinType !== 'anti') output.add(outer.batch!.columns, outer.row, group.vectors, i);
          if (output.full) yield* flush(output, join, node, state);
          if (stopAtFirst) break;
        }
      }
      if (!matched && keepOuter) output.add(outer.batch!.columns, outer.row, [], -1);
      if (output.full) yield* flush(output, join, node, state);
      if (inner.done && group.key === null && !keepOuter) break;
    }
    if (keepInner) {
      yield* dropGroup();
      while (!inner.done) {
        yield* group.read(inner, node.inner, (a, b) => compareKeys(a, b) === 0);
        yield* dropGroup();
      }
    }
    yield* flush(output, join, node, state);
  } finally {
    outerInput.close();
    innerInput.close();
  }
}
