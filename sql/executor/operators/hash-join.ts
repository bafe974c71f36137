/**
 * The inner side in a hash table, the outer side probes it batch by batch. Right and full joins
 * remember which inner rows met a match. Chains keep the inner order: head per key, next per row.
 *
 * An inner side that takes more than work_mem * hash_mem_multiplier is divided into files by the hash of its key, and
 * the outer side with it; pairs of parts are joined one after the other.
 */
import type { Pending } from '../../../engine/pending.js';
import type { Expr } from '../../analyzer/query-tree.js';
import type { HashJoinNode } from '../../planner/plan-node.js';
import type { DataType } from '../../types/data-type.js';
import type { Datum } from '../../types/datum.js';
import type { Batch, Vector } from '../batch.js';
import type { Open, PlanCompiler } from '../compile-plan.js';
import type { ExecState } from '../exec-state.js';
import { compileAll } from '../expressions/compile.js';
import { Frame } from '../expressions/frame.js';
import { TIME_SLICE } from '../interrupts.js';
import { parameterCache, type ParameterCache } from '../parameter-cache.js';
import { joinKey, type RowKey } from '../row-key.js';
import { datumBytes, hashMemory } from '../spill/memory.js';
import { MAX_LEVEL, PARTITIONS, Partitions, partitionOf } from '../spill/partitions.js';
import type { RowReader } from '../spill/row-file.js';
import { canSpill } from '../spill/temp-file.js';
import { anyVector, datumBatch, readVector, rowAt } from '../vectors.js';
import { compileJoin, flush, passes, type CompiledJoin, type ReadSide } from './join-common.js';
import { GeneratorOperator, pull, type Run } from './operator.js';
import { MAX_ROWS_IN_MEMORY, tooManyRows } from './sort.js';

interface HashTable { readonly side: ReadSide; readonly heads: Map<unknown, number>; readonly next: Int32Array }

/** One hash join of a plan. */
interface Compiled {
  readonly node: HashJoinNode;
  readonly join: CompiledJoin;
  readonly outerKey: RowKey;
  readonly innerKey: RowKey;
  readonly outerTypes: readonly DataType[];
  readonly innerTypes: readonly DataType[];
}

export function compileHashJoin(node: HashJoinNode, compiler: PlanCompiler): Open {
  const outer = compiler.open(node.outer);
  const inner = compiler.open(node.inner);
  const typesOf = (exprs: readonly Expr[]): DataType[] => exprs.map((expr) => compiler.catalog.dataType(expr.type));
  const compiled: Compiled = {
    node, join: compileJoin(node, compiler),
    outerKey: joinKey(compileAll(node.keys.map((key) => key.outer), compiler.scope(node.outer.output)), typesOf(node.keys.map((key) => key.outer))),
    innerKey: joinKey(compileAll(node.keys.map((key) => key.inner), compiler.scope(node.inner.output)), typesOf(node.keys.map((key) => key.inner))),
    outerTypes: typesOf(node.outer.output), innerTypes: typesOf(node.inner.output),
  };
  const cache = parameterCache<HashTable>(node.inner, compiler);
  return (state) => new GeneratorOperator(run(compiled, outer, inner, cache, state));
}

/** Batches, and what they wait for, up to null. */
type Input = Generator<Pending, Batch | null>;

function* run(compiled: Compiled, outer: Open, inner: Open, cache: ParameterCache<HashTable>, state: ExecState): Run {
  const { node } = compiled;
  let table = cache.get(state);
  if (!table) {
    const read = yield* readInner(compiled, inner, state);
    if (read instanceof Partitions) {
      yield* joinParts(compiled, read, outer, state);
      return;
    }
    table = yield* link(compiled, read, state);
    cache.set(state, table);
  }
  if (table.side.count === 0 && !keepsOuter(node)) return;
  const outerInput = outer(state);
  try {
    yield* probe(compiled, table, () => pull(outerInput), state);
  } finally {
    outerInput.close();
  }
}

/** The inner side in memory, or divided over files. */
function* readInner({ node, innerKey, innerTypes }: Compiled, inner: Open, state: ExecState): Generator<Pending, ReadSide | Partitions> {
  const memory = canSpill(state) ? hashMemory(state) : Infinity;
  let columns: Datum[][] = node.inner.output.map(() => []);
  let count = 0;
  let bytes = 0;
  let parts: Partitions | null = null;
  const put = (rows: readonly Vector[], row: number, frame: Frame): void => {
    frame.row = row;
    parts!.add(partOf(innerKey(frame), 0), (c) => readVector(rows[c]!, row));
  };
  const input = inner(state);
  try {
    for (let batch = yield* pull(input); batch !== null; batch = yield* pull(input)) {
      if (parts) {
        const frame = new Frame(state).batch(batch);
        for (let i = 0; i < batch.length; i++) put(batch.columns, rowAt(batch, i), frame);
      } else {
        for (let c = 0; c < columns.length; c++) {
          const vector = batch.columns[c]!;
          const column = columns[c]!;
          for (let i = 0; i < batch.length; i++) column.push(readVector(vector, rowAt(batch, i)));
          // A sample is enough to know what rows take.
          for (let i = count; i < column.length; i += WEIGHED_EVERY) bytes += datumBytes(column[i]!) * Math.min(WEIGHED_EVERY, column.length - i);
        }
        count += batch.length;
        bytes += batch.length * ENTRY_BYTES;
        if (count > MAX_ROWS_IN_MEMORY) throw tooManyRows('A hash table');
        if (bytes > memory) {
          parts = new Partitions(state, innerTypes);
          const frame = new Frame(state);
          const vectors = columns.map(anyVector);
          frame.columns = vectors;
          for (let row = 0; row < count; row++) {
            put(vectors, row, frame);
            if ((row & 255) === 0 && state.shouldYield()) yield TIME_SLICE;
          }
          columns = [];
        }
      }
      if (state.shouldYield()) yield TIME_SLICE;
    }
  } finally {
    input.close();
  }
  parts?.finish();
  return parts ?? { vectors: columns.map(anyVector), count };
}

/** What a row takes in the table beside its values. */
const ENTRY_BYTES = 48;
const WEIGHED_EVERY = 8;

/** Rows without a key match nothing, wherever they are. */
function partOf(key: unknown, level: number): number {
  return key === undefined ? 0 : partitionOf(key, level);
}

function* joinParts(compiled: Compiled, inner: Partitions, outer: Open, state: ExecState): Run {
  const outerParts = new Partitions(state, compiled.outerTypes);
  const input = outer(state);
  try {
    yield* divide(() => pull(input), outerParts, compiled.outerKey, 0, state);
  } finally {
    input.close();
  }
  const figures = { batches: 0, peak: 0 };
  yield* joinDivided(compiled, inner, outerParts, 0, figures, state);
  if (state.instrument) {
    const { details } = state.instrument(compiled.node);
    details.set('Hash Batches', figures.batches);
    details.set('Peak Memory Usage', Math.ceil(figures.peak / 1024));
  }
}

function* divide(next: () => Input, into: Partitions, key: RowKey, level: number, state: ExecState): Generator<Pending, void> {
  for (let batch = yield* next(); batch !== null; batch = yield* next()) {
    const frame = new Frame(state).batch(batch);
    const { columns } = batch;
    for (let i = 0; i < batch.length; i++) {
      const row = rowAt(batch, i);
      frame.row = row;
      into.add(partOf(key(frame), level), (c) => readVector(columns[c]!, row));
    }
    if (state.shouldYield()) yield TIME_SLICE;
  }
  into.finish();
}

function* joinDivided(compiled: Compiled, inner: Partitions, outer: Partitions, level: number, figures: { batches: number; peak: number }, state: ExecState): Run {
  const { node, innerTypes, outerTypes } = compiled;
  const memory = hashMemory(state);
  for (let part = 0; part < PARTITIONS; part++) {
    const innerRows = inner.rows(part);
    const outerRows = outer.rows(part);
    const needed = outerRows > 0 ? innerRows > 0 || keepsOuter(node) : innerRows > 0 && keepsInner(node);
    const bytes = inner.size(part) * HEAP_PER_BYTE + innerRows * ENTRY_BYTES;
    if (needed && bytes > memory && level + 1 < MAX_LEVEL && innerRows > 1) {
      const deeper = { inner: new Partitions(state, innerTypes), outer: new Partitions(state, outerTypes) };
      yield* divide(blocks(inner.reader(part)), deeper.inner, compiled.innerKey, level + 1, state);
      yield* divide(blocks(outer.reader(part)), deeper.outer, compiled.outerKey, level + 1, state);
      inner.remove(part);
      outer.remove(part);
      yield* joinDivided(compiled, deeper.inner, deeper.outer, level + 1, figures, state);
      continue;
    }
    if (needed) {
      figures.batches++;
      figures.peak = Math.max(figures.peak, bytes);
      const columns: Datum[][] = innerTypes.map(() => []);
      let count = 0;
      const reader = inner.reader(part);
      for (let block = reader?.next() ?? null; block !== null; block = reader!.next()) {
        for (let c = 0; c < columns.length; c++) for (const value of block.columns[c]!) columns[c]!.push(value);
        count += block.length;
        if (state.shouldYield()) yield TIME_SLICE;
      }
      const table = yield* link(compiled, { vectors: columns.map(anyVector), count }, state);
      yield* probe(compiled, table, blocks(outer.reader(part)), state);
    }
    inner.remove(part);
    outer.remove(part);
  }
}

/** Values in V8's heap for a byte of them in a file. */
const HEAP_PER_BYTE = 3;

function blocks(reader: RowReader | null): () => Input {
  // eslint-disable-next-line require-yield
  return function* () {
    const block = reader?.next() ?? null;
    return block && datumBatch(block.columns, block.length);
  };
}

function keepsOuter({ joinType }: HashJoinNode): boolean {
  return joinType === 'left' || joinType === 'full' || joinType === 'anti';
}

function keepsInner({ joinType }: HashJoinNode): boolean {
  return joinType === 'right' || joinType === 'full';
}

function* link({ innerKey }: Compiled, side: ReadSide, state: ExecState): Generator<Pending, HashTable> {
  const heads = new Map<unknown, number>();
  const next = new Int32Array(side.count).fill(-1);
  const frame = new Frame(state);
  frame.columns = side.vectors;
  // Backwards, so that chains run in inner order.
  for (let row = side.count - 1; row >= 0; row--) {
    frame.row = row;
    const k = innerKey(frame);
    if (k !== undefined) {
      const head = heads.get(k);
      if (head !== undefined) next[row] = head;
      heads.set(k, row);
    }
    if ((row & 255) === 0 && state.shouldYield()) yield TIME_SLICE;
  }
  return { side, heads, next };
}

function* probe({ node, join, outerKey }: Compiled, { side, heads, next }: HashTable, outer: () => Input, state: ExecState): Run {
  const { joinType } = node;
  const matchedInner = keepsInner(node) ? new Uint8Array(side.count) : null;
  const keepOuter = keepsOuter(node);
  const stopAtFirst = joinType === 'semi' || joinType === 'anti';
  const output = join.newOutput();
  for (let batch = yield* outer(); batch !== null; batch = yield* outer()) {
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
  if (!matchedInner) return;
  for (let row = 0; row < side.count; row++) {
    if (matchedInner[row] === 0) output.add([], -1, side.vectors, row);
    if (output.full) yield* flush(output, join, node, state);
  }
  yield* flush(output, join, node, state);
}
