/**
 * Window functions over partitions of sorted input: a partition is read whole, then every function
 * is computed for every row. Aggregates slide: they grow while the frame's start stands still, use
 * the inverse where it exists, and start anew otherwise.
 */
import { notSupported } from '../../../engine/errors.js';
import type { WindowFunc } from '../../analyzer/query-tree.js';
import type { BoundAggregate, WindowAccess } from '../../functions/function.js';
import type { WindowAggNode } from '../../planner/plan-node.js';
import type { Datum } from '../../types/datum.js';
import { MAX_BATCH_ROWS } from '../batch.js';
import { compareBy } from '../compare.js';
import type { Open, PlanCompiler } from '../compile-plan.js';
import type { ExecState } from '../exec-state.js';
import { compile, compileAll } from '../expressions/compile.js';
import { Frame, type Scalar } from '../expressions/frame.js';
import { functionCall, implementation, procOf, signatureText, type CompileScope } from '../expressions/scope.js';
import { TIME_SLICE } from '../interrupts.js';
import { rowKey } from '../row-key.js';
import { anyVector, readVector, rowAt } from '../vectors.js';
import { checkOffsets, exclusion, frameBounds, peersOf, rangeBound, type Bounds, type FrameOffsets, type Peers } from '../window-frame.js';
import { GeneratorOperator, pull, type Run } from './operator.js';

interface Partition {
  readonly count: number;
  readonly columns: Datum[][];
  readonly peers: Peers;
  readonly bounds: Bounds;
  readonly excluded: ((current: number, row: number) => boolean) | null;
}

/** Computes one function for all rows of a partition. */
type PartitionFunction = (partition: Partition, frame: Frame, state: ExecState) => Datum[];

export function compileWindowAgg(node: WindowAggNode, compiler: PlanCompiler): Open {
  const scope = compiler.scope(node.child.output);
  const functions = node.functions.map((func) => compileWindowFunction(func, scope));
  const partitionKey = node.partition.length > 0 ? rowKey(compileAll(node.partition, scope), node.partition.map((expr) => compiler.catalog.dataType(expr.type))) : null;
  const orderScalars = compileAll(node.order.map((key) => key.expr), scope);
  const orderCompares = node.order.map((key) => compareBy({ type: key.expr.type, descending: key.descending, nullsFirst: key.nullsFirst }, compiler.catalog));
  const startOffset = node.frame.startOffset && compile(node.frame.startOffset, compiler.scope());
  const endOffset = node.frame.endOffset && compile(node.frame.endOffset, compiler.scope());
  const [firstKey] = node.order;
  const range = node.frame.mode === 'range';
  const ranges = {
    start: range && node.frame.startOffset ? rangeBound(firstKey!, node.frame.startOffset.type, scope) : null,
    end: range && node.frame.endOffset ? rangeBound(firstKey!, node.frame.endOffset.type, scope) : null,
  };
  const child = compiler.open(node.child);
  const width = node.child.output.length;

  const finish = function* (columns: Datum[][], count: number, offsets: FrameOffsets, state: ExecState): Run {
    const frame = new Frame(state);
    frame.columns = columns.map(anyVector);
    const keys = orderScalars.map((scalar) => {
      const values = new Array<Datum>(count);
      for (let i = 0; i < count; i++) {
        frame.row = i;
        values[i] = scalar(frame);
      }
      return values;
    });
    const peers = peersOf(count, (a, b) => orderCompares.every((compare, k) => compare(keys[k]![a]!, keys[k]![b]!) === 0));
    const partition: Partition = {
      count, columns, peers,
      bounds: frameBounds(node.frame, offsets, peers, count, (row) => keys[0]![row]!, ranges, firstKey ?? null),
      excluded: exclusion(node.frame, peers),
    };
    const results: Datum[][] = [];
    for (const run of functions) {
      results.push(run(partition, frame, state));
      if (state.shouldYield()) yield TIME_SLICE;
    }
    const all = [...columns, ...results];
    for (let at = 0; at < count; at += MAX_BATCH_ROWS) {
      const length = Math.min(MAX_BATCH_ROWS, count - at);
      yield { columns: all.map((column) => anyVector(count <= MAX_BATCH_ROWS ? column : column.slice(at, at + length))), length, selection: null };
    }
  };

  return (state) => new GeneratorOperator((function* (): Run {
    const offsets: FrameOffsets = { start: startOffset ? startOffset(new Frame(state)) : null, end: endOffset ? endOffset(new Frame(state)) : null };
    checkOffsets(node.frame, offsets);
    let columns: Datum[][] = Array.from({ length: width }, () => []);
    let count = 0;
    let current: unknown;
    const input = child(state);
    try {
      for (let batch = yield* pull(input); batch !== null; batch = yield* pull(input)) {
        const frame = new Frame(state).batch(batch);
        for (let i = 0; i < batch.length; i++) {
          frame.row = rowAt(batch, i);
          if (partitionKey) {
            const key = partitionKey(frame);
            if (count > 0 && key !== current) {
              yield* finish(columns, count, offsets, state);
              columns = Array.from({ length: width }, () => []);
              count = 0;
            }
            current = key;
          }
          for (let c = 0; c < width; c++) columns[c]!.push(readVector(batch.columns[c]!, frame.row));
          count++;
        }
        if (state.shouldYield()) yield TIME_SLICE;
      }
    } finally {
      input.close();
    }
    if (count > 0) yield* finish(columns, count, offsets, state);
  })());
}

function compileWindowFunction(func: WindowFunc, scope: CompileScope): PartitionFunction {
  const proc = procOf(scope, func.func);
  const found = implementation(scope, proc);
  const args = compileAll(func.args, scope);
  const call = functionCall(scope, func.args.map((arg) => arg.type), func.type, func.inputCollation, false);
  if (found.kind === 'window') {
    const bound = found.bind(call);
    return (partition, frame) => windowFunction(bound, args, partition, frame);
  }
  if (found.kind !== 'aggregate') throw notSupported(`window function ${signatureText(scope.catalog, proc)}`);
  const filter = func.filter && compile(func.filter, scope);
  const bound = found.bind(call);
  return (partition, frame, state) => aggregateOverFrames(bound, args, filter, partition, frame, state);
}

function windowFunction(bound: { initial(): unknown; evaluate(state: unknown, window: WindowAccess): Datum }, args: readonly Scalar[], partition: Partition, frame: Frame): Datum[] {
  const state = bound.initial();
  const { peers, bounds, excluded } = partition;
  let current = 0;
  const access: WindowAccess = {
    partitionRows: partition.count,
    get currentRow() { return current; },
    get peerStart() { return peers.start[current]!; },
    get peerEnd() { return peers.end[current]!; },
    get frameStart() { return bounds.start[current]!; },
    get frameEnd() { return bounds.end[current]!; },
    excluded: (row) => excluded !== null && excluded(current, row),
    argument(index, row) {
      frame.row = row;
      return args[index]!(frame);
    },
  };
  const out = new Array<Datum>(partition.count);
  for (; current < partition.count; current++) out[current] = bound.evaluate(state, access);
  return out;
}

function aggregateOverFrames(bound: BoundAggregate, args: readonly Scalar[], filter: Scalar | null, partition: Partition, frame: Frame, state: ExecState): Datum[] {
  const { count, bounds, excluded } = partition;
  const out = new Array<Datum>(count);
  const valuesOf = (row: number): Datum[] | null => {
    frame.row = row;
    if (filter && filter(frame) !== true) return null;
    const values = args.map((arg) => arg(frame));
    return bound.skipNulls && values.includes(null) ? null : values;
  };
  const step = (value: unknown, row: number): unknown => {
    const values = valuesOf(row);
    return values === null ? value : bound.step(value, ...values);
  };
  let value = bound.initial();
  let from = 0;
  let to = 0;
  let result: Datum = null;
  let known = false;
  for (let i = 0; i < count; i++) {
    const start = bounds.start[i]!;
    const end = bounds.end[i]!;
    if (excluded) {
      let fresh = bound.initial();
      for (let row = start; row < end; row++) if (!excluded(i, row)) fresh = step(fresh, row);
      out[i] = bound.finish(fresh, state.context);
      continue;
    }
    if (known && start === from && end === to) {
      out[i] = result;
      continue;
    }
    if (start < from || end < to || (start > from && (!bound.inverse || start >= to))) {
      value = bound.initial();
      from = start;
      to = start;
    } else {
      for (; from < start; from++) {
        const values = valuesOf(from);
        if (values !== null) value = bound.inverse!(value, ...values);
      }
    }
    for (; to < end; to++) value = step(value, to);
    from = start;
    result = bound.finish(value, state.context);
    known = true;
    out[i] = result;
  }
  return out;
}
