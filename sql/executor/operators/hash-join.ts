/**
 * The inner side in a hash table, the outer side probes it batch by batch. Right and full joins
 * remember which inner rows met a match. Chains keep the inner order: head per key, next per row.
 */
import type { HashJoinNode } from '../../planner/plan-node.js';
import type { Open, PlanCompiler } from '../compile-plan.js';
import type { ExecState } from '../exec-state.js';
import { compileAll } from '../expressions/compile.js';
import { Frame } from '../expressions/frame.js';
import { TIME_SLICE } from '../interrupts.js';
import { joinKey, type RowKey } from '../row-key.js';
import { parameterCache, type ParameterCache } from '../parameter-cache.js';
import { rowAt } from '../vectors.js';
import { compileJoin, flush, passes, readSide, type CompiledJoin, type ReadSide } from './join-common.js';
import { GeneratorOperator, pull, type Run } from './operator.js';
import type { Pending } from '../../../engine/pending.js';

interface HashTable { readonly side: ReadSide; readonly heads: Map<unknown, number>; readonly next: Int32Array }

export function compileHashJoin(node: HashJoinNode, compiler: PlanCompiler): Open {
  const join = compileJoin(node, compiler);
  const outer = compiler.open(node.outer);
  const inner = compiler.open(node.inner);
  const types = node.keys.map((key) => compiler.catalog.dataType(key.inner.type));
  const outerTypes = node.keys.map((key) => compiler.catalog.dataType(key.outer.type));
  const outerKey = joinKey(compileAll(node.keys.map((key) => key.outer), compiler.scope(node.outer.output)), outerTypes);
  const innerKey = joinKey(compileAll(node.keys.map((key) => key.inner), compiler.scope(node.inner.output)), types);
  const cache = parameterCache<HashTable>(node.inner, compiler);
  return (state) => new GeneratorOperator(run(node, join, outer, inner, outerKey, innerKey, cache, state));
}

function* build(node: HashJoinNode, inner: Open, key: RowKey, state: ExecState): Generator<Pending, HashTable> {
  const input = inner(state);
  let side: ReadSide;
  try {
    side = yield* readSide(input, node.inner, state);
  } finally {
    input.close();
  }
  const heads = new Map<unknown, number>();
  const next = new Int32Array(side.count).fill(-1);
  const frame = new Frame(state);
  frame.columns = side.vectors;
  // Backwards, so that chains run in inner order.
  for (let row = side.count - 1; row >= 0; row--) {
    frame.row = row;
    const k = key(frame);
    if (k !== undefined) {
      const head = heads.get(k);
      if (head !== undefined) next[row] = head;
      heads.set(k, row);
    }
    if ((row & 255) === 0 && state.shouldYield()) yield TIME_SLICE;
  }
  return { side, heads, next };
}

function* run(node: HashJoinNode, join: CompiledJoin, outer: Open, inner: Open, outerKey: RowKey, innerKey: RowKey, cache: ParameterCache<HashTable>, state: ExecState): Run {
  let table = cache.get(state);
  if (!table) {
    table = yield* build(node, inner, innerKey, state);
    cache.set(state, table);
  }
  const { side, heads, next } = table;
  const { joinType } = node;
  const matchedInner = joinType === 'right' || joinType === 'full' ? new Uint8Array(side.count) : null;
  const keepOuter = joinType === 'left' || joinType === 'full' || joinType === 'anti';
  const stopAtFirst = joinType === 'semi' || joinType === 'anti';
  const output = join.newOutput();
  if (side.count === 0 && !keepOuter) return;
  const outerInput = outer(state);
  try {
    for (let batch = yield* pull(outerInput); batch !== null; batch = yield* pull(outerInput)) {
      const keyFrame = new Frame(state).batch(batch);
      const frame = new Frame(state);
      frame.columns = side.vectors;
      frame.outerColumns = batch.columns;
      for (let i = 0; i < batch.length; i++) {
        const row = rowAt(batch, i);
        keyFrame.row = row;
        frame.outerRow = row;
        const k = outerKey(keyFrame);
        let matched = false;
        if (k !== undefined) {
          for (let candidate = heads.get(k) ?? -1; candidate >= 0; candidate = next[candidate]!) {
            frame.row = candidate;
            if (join.test.now ? join.test.now(frame) !== true : join.test.waiting ? !(yield* passes(join.test, frame)) : false) continue;
            matched = true;
            if (matchedInner) matchedInner[candidate] = 1;
            if (joinType !== 'anti') output.add(batch.columns, row, side.vectors, candidate);
            if (output.full) yield* flush(output, join, node, state);
            if (stopAtFirst) break;
          }
        }
        if (!matched && keepOuter) output.add(batch.columns, row, side.vectors, -1);
        if (output.full) yield* flush(output, join, node, state);
      }
      yield* flush(output, join, node, state);
    }
  } finally {
    outerInput.close();
  }
  if (!matchedInner) return;
  for (let row = 0; row < side.count; row++) {
    if (matchedInner[row] === 0) output.add([], -1, side.vectors, row);
    if (output.full) yield* flush(output, join, node, state);
  }
  yield* flush(output, join, node, state);
}
