/** Result, Project, Filter, SubqueryScan, Append, Materialize, Limit, Unique: operators of a few lines. */
import { DatabaseError } from '../../../engine/errors.js';
import type {
  AppendNode, FilterNode, LimitNode, MaterializeNode, ProjectNode, ResultNode, SubqueryScanNode, UniqueNode,
} from '../../planner/plan-node.js';
import type { Datum } from '../../types/datum.js';
import type { Expr } from '../../analyzer/query-tree.js';
import type { Batch, Vector } from '../batch.js';
import type { Open, PlanCompiler } from '../compile-plan.js';
import { compareBy } from '../compare.js';
import type { ExecState } from '../exec-state.js';
import { compile, compileAll } from '../expressions/compile.js';
import { Frame, type Scalar } from '../expressions/frame.js';
import { TIME_SLICE } from '../interrupts.js';
import { parameterCache } from '../parameter-cache.js';
import { compileProjection } from '../projection.js';
import { rowKey } from '../row-key.js';
import { compileFilter } from '../row-filter.js';
import { anyVector, headOfBatch, makeBatch, readRow, rowAt, tailOfBatch } from '../vectors.js';
import { wholeRowOf, type WholeRow } from './row-sources.js';
import { GeneratorOperator, pull, type Run } from './operator.js';
import { countRemoved } from './seq-scan.js';

export function compileResult(node: ResultNode, compiler: PlanCompiler): Open {
  const gate = node.empty ? null : compileFilter(node.oneTimeFilter, compiler.scope());
  const child = node.child && compiler.open(node.child);
  const childOutput = node.child ? node.child.output : [];
  const projection = node.child || node.empty ? null : compileProjection(node.output, compiler.scope(), compiler.layout(childOutput));
  return (state) => new GeneratorOperator((function* (): Run {
    if (node.empty) return;
    const oneRow = makeBatch([], 1);
    if (gate && (yield* gate.apply(oneRow, state)) === null) return;
    if (!child) {
      yield yield* projection!.apply(oneRow, state);
      return;
    }
    const input = child(state);
    try {
      for (let batch = yield* pull(input); batch !== null; batch = yield* pull(input)) yield batch;
    } finally {
      input.close();
    }
  })());
}

export function compileProject(node: ProjectNode, compiler: PlanCompiler): Open {
  const projection = compileProjection(node.output, compiler.scope(node.child.output), compiler.layout(node.child.output));
  const child = compiler.open(node.child);
  return (state) => new GeneratorOperator((function* (): Run {
    const input = child(state);
    try {
      for (let batch = yield* pull(input); batch !== null; batch = yield* pull(input)) {
        yield yield* projection.apply(batch, state);
        if (state.shouldYield()) yield TIME_SLICE;
      }
    } finally {
      input.close();
    }
  })());
}

export function compileFilterNode(node: FilterNode, compiler: PlanCompiler): Open {
  const filter = compileFilter(node.quals, compiler.scope(node.child.output));
  const child = compiler.open(node.child);
  return (state) => new GeneratorOperator((function* (): Run {
    const input = child(state);
    try {
      for (let batch = yield* pull(input); batch !== null; batch = yield* pull(input)) {
        const kept: Batch | null = filter ? yield* filter.apply(batch, state) : batch;
        if (state.instrument) countRemoved(state, node, batch.length - (kept?.length ?? 0));
        if (kept) yield kept;
        if (state.shouldYield()) yield TIME_SLICE;
      }
    } finally {
      input.close();
    }
  })());
}

/** The subquery's rows as values, at the positions where the batch has them. */
function wholeRows(source: Batch, whole: WholeRow, expr: Expr): Vector {
  const data: Datum[] = [];
  for (let i = 0; i < source.length; i++) {
    const row = rowAt(source, i);
    data[row] = whole(readRow(source, row), expr);
  }
  return anyVector(data);
}

export function compileSubqueryScan(node: SubqueryScanNode, compiler: PlanCompiler): Open {
  const whole = wholeRowOf(node.varno, compiler);
  const filter = compileFilter(node.filter, compiler.scope(node.output));
  const child = compiler.open(node.child);
  return (state) => new GeneratorOperator((function* (): Run {
    const input = child(state);
    try {
      for (let batch = yield* pull(input); batch !== null; batch = yield* pull(input)) {
        const source: Batch = batch;
        const renamed: Batch = { columns: node.columns.map((column, i) => (column >= 0 ? source.columns[column]! : wholeRows(source, whole, node.output[i]!))), length: source.length, selection: source.selection };
        const kept: Batch | null = filter ? yield* filter.apply(renamed, state) : renamed;
        if (state.instrument && filter) countRemoved(state, node, source.length - (kept?.length ?? 0));
        if (kept) yield kept;
        if (state.shouldYield()) yield TIME_SLICE;
      }
    } finally {
      input.close();
    }
  })());
}

export function compileAppend(node: AppendNode, compiler: PlanCompiler): Open {
  const children = node.children.map((child) => compiler.open(child));
  return (state) => new GeneratorOperator((function* (): Run {
    for (const child of children) {
      const input = child(state);
      try {
        for (let batch = yield* pull(input); batch !== null; batch = yield* pull(input)) yield batch;
      } finally {
        input.close();
      }
    }
  })());
}

/** Its child's rows, kept: a later opening with the same parameters reads them again. */
export function compileMaterialize(node: MaterializeNode, compiler: PlanCompiler): Open {
  const child = compiler.open(node.child);
  const cache = parameterCache<Batch[]>(node.child, compiler);
  return (state) => new GeneratorOperator((function* (): Run {
    const kept = cache.get(state);
    if (kept) {
      yield* kept;
      return;
    }
    const batches: Batch[] = [];
    const input = child(state);
    try {
      for (let batch = yield* pull(input); batch !== null; batch = yield* pull(input)) {
        batches.push(batch);
        yield batch;
      }
      cache.set(state, batches);
    } finally {
      input.close();
    }
  })());
}

function limitValue(scalar: Scalar | null, what: 'LIMIT' | 'OFFSET', state: ExecState): number | null {
  if (!scalar) return null;
  const value = scalar(new Frame(state));
  if (value === null) return null;
  const count = Number(value as number | bigint);
  if (count < 0) throw new DatabaseError(what === 'LIMIT' ? '2201W' : '2201X', `${what} must not be negative`);
  return count;
}

export function compileLimit(node: LimitNode, compiler: PlanCompiler): Open {
  const offset = node.offset && compile(node.offset, compiler.scope());
  const count = node.count && compile(node.count, compiler.scope());
  const child = compiler.open(node.child);
  const ties = node.tieKeys && {
    scalars: compileAll(node.tieKeys.map((key) => key.expr), compiler.scope(node.child.output)),
    compares: node.tieKeys.map((key) => compareBy({ type: key.expr.type, descending: false, nullsFirst: false }, compiler.catalog)),
  };
  return (state) => new GeneratorOperator((function* (): Run {
    let skip = limitValue(offset, 'OFFSET', state) ?? 0;
    const limit = limitValue(count, 'LIMIT', state);
    let left = limit ?? Infinity;
    if (left <= 0) return;
    const input = child(state);
    let last: Datum[] | null = null;
    try {
      for (let batch = yield* pull(input); batch !== null; batch = yield* pull(input)) {
        let rest: Batch = batch;
        if (skip > 0) {
          if (skip >= rest.length) {
            skip -= rest.length;
            continue;
          }
          rest = tailOfBatch(rest, skip);
          skip = 0;
        }
        const keyAt = (i: number): Datum[] => {
          const frame = new Frame(state).batch(rest);
          frame.row = rowAt(rest, i);
          return ties!.scalars.map((scalar) => scalar(frame));
        };
        let take = Math.min(left, rest.length);
        left -= take;
        if (ties && left <= 0) {
          last ??= keyAt(take - 1);
          while (take < rest.length && keyAt(take).every((value, k) => ties.compares[k]!(value, last![k]!) === 0)) take++;
        }
        if (take > 0) yield headOfBatch(rest, take);
        if (take < rest.length || (left <= 0 && !ties)) return;
      }
    } finally {
      input.close();
    }
  })());
}

/** Drops rows equal to the row before in all keys; the input is sorted by them. */
export function compileUnique(node: UniqueNode, compiler: PlanCompiler): Open {
  const scope = compiler.scope(node.child.output);
  const key = rowKey(compileAll(node.keys, scope), node.keys.map((expr) => compiler.catalog.dataType(expr.type)));
  const child = compiler.open(node.child);
  return (state) => new GeneratorOperator((function* (): Run {
    const input = child(state);
    let previous: unknown = undefined;
    try {
      for (let batch = yield* pull(input); batch !== null; batch = yield* pull(input)) {
        const frame = new Frame(state).batch(batch);
        const selection = new Int32Array(batch.length);
        let count = 0;
        for (let i = 0; i < batch.length; i++) {
          frame.row = rowAt(batch, i);
          const current = key(frame);
          if (current !== previous) selection[count++] = frame.row;
          previous = current;
        }
        if (count > 0) yield { columns: batch.columns, length: count, selection };
        if (state.shouldYield()) yield TIME_SLICE;
      }
    } finally {
      input.close();
    }
  })());
}
