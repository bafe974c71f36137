/** FROM items that are no relations: functions, VALUES lists, WITH queries, the work table of a recursion. */
import { DatabaseError, notSupported } from '../../../engine/errors.js';
import type { Expr, FuncExpr } from '../../analyzer/query-tree.js';
import { implementationOf } from '../function-lookup.js';
import type { CteScanNode, FunctionScanNode, PlannedCte, RecursiveUnionNode, ValuesScanNode, WorkTableScanNode } from '../../planner/plan-node.js';
import type { Datum, RecordValue } from '../../types/datum.js';
import { MAX_BATCH_ROWS, type Batch, type Operator } from '../batch.js';
import type { Open, PlanCompiler } from '../compile-plan.js';
import type { ExecState } from '../exec-state.js';
import { compile, compileAll } from '../expressions/compile.js';
import { Frame, type Scalar } from '../expressions/frame.js';
import type { CompileScope } from '../expressions/scope.js';
import { functionCall } from '../expressions/scope.js';
import { TIME_SLICE } from '../interrupts.js';
import { compileFilter, type RowFilter } from '../row-filter.js';
import { usedParameters } from '../parameter-cache.js';
import { valuesKey } from '../row-key.js';
import { makeBatch, readRow, rowAt, rowsToBatch, anyVector } from '../vectors.js';
import { GeneratorOperator, pull, type Run } from './operator.js';

/** Yields one datum a row, or an array of datums for several columns. */
export type SetEvaluator = (frame: Frame) => Iterable<Datum | readonly Datum[]>;

/** A set-returning call; a scalar expression gives its one value. */
export function compileSet(expr: Expr, scope: CompileScope): SetEvaluator {
  if (expr.kind !== 'FuncExpr' || !expr.returnsSet) {
    const scalar = compile(expr, scope);
    return (frame) => [scalar(frame)];
  }
  const proc = scope.catalog.proc(expr.func)!;
  const found = implementationOf(proc, scope.catalog);
  if (!found || found.kind !== 'set') throw notSupported(`function ${proc.proname}`);
  const rows = (found.bind ? found.bind(functionCall(scope, expr.args.map((a) => a.type), expr.type, expr.inputCollation, expr.variadic, expr.columnDefinitions)) : found.rows!) as (...args: unknown[]) => Iterable<Datum | readonly Datum[]>;
  const args = compileAll(expr.args, scope);
  return (frame) => {
    const values: unknown[] = args.map((arg) => arg(frame));
    if (proc.proisstrict && values.includes(null)) return [];
    if (found.needsContext) values.push(frame.state.context);
    return rows(...values);
  };
}

/** Spreads a function's row over `count` columns. */
function spread(value: Datum | readonly Datum[], count: number, composite: boolean): readonly Datum[] {
  if (Array.isArray(value)) return value as readonly Datum[];
  if (composite && value !== null) return (value as RecordValue).values;
  if (count === 1) return [value as Datum];
  return new Array<Datum>(count).fill(null);
}

export function compileFunctionScan(node: FunctionScanNode, compiler: PlanCompiler): Open {
  const scope = compiler.scope();
  const functions = node.functions.map((expr) => compileSet(expr, scope));
  const composite = node.functions.map((expr) => isComposite(expr, compiler));
  const filter = compileFilter(node.filter, compiler.scope(node.output));
  const columns = positions(node.output);
  const whole = wholeRowOf(node.varno, compiler);
  return (state) => new GeneratorOperator((function* (): Run {
    const frame = new Frame(state);
    const iterators = functions.map((run) => run(frame)[Symbol.iterator]());
    let ordinal = 0;
    let rows: Datum[][] = [];
    for (;;) {
      let any = false;
      const row: Datum[] = [];
      iterators.forEach((iterator, f) => {
        const step = iterator.next();
        const count = node.columnCounts[f]!;
        if (step.done) for (let c = 0; c < count; c++) row.push(null);
        else {
          any = true;
          row.push(...spread(step.value, count, composite[f]! ));
        }
      });
      if (!any) break;
      if (node.ordinality) row.push(++ordinal);
      rows.push(row);
      if (rows.length === MAX_BATCH_ROWS) {
        yield* emit(rows, columns, filter, state, node.output, whole);
        rows = [];
        if (state.shouldYield()) yield TIME_SLICE;
      }
    }
    if (rows.length > 0) yield* emit(rows, columns, filter, state, node.output, whole);
  })());
}

function isComposite(expr: Expr, compiler: PlanCompiler): boolean {
  return expr.type === 2249 || compiler.catalog.type(expr.type)?.typtype === 'c';
}

/** 0-based source column of each output Var; -1 for the whole row. */
function positions(output: readonly Expr[]): number[] {
  return output.map((expr) => (expr.kind === 'Var' ? expr.attno - 1 : -1));
}

function* emit(rows: Datum[][], columns: readonly number[], filter: RowFilter | null, state: ExecState, output: readonly Expr[], whole: WholeRow): Run {
  const vectors = columns.map((column, i) => anyVector(rows.map((row) => (column >= 0 ? row[column] ?? null : whole(row, output[i]!)))));
  const batch = makeBatch(vectors, rows.length);
  const kept = filter ? yield* filter.apply(batch, state) : batch;
  if (kept) yield kept;
}

export type WholeRow = (row: readonly Datum[], expr: Expr) => Datum;

/** Makes the row of a range table entry as one value. */
export function wholeRowOf(varno: number, compiler: PlanCompiler): WholeRow {
  const entry = compiler.plan.rangeTable[varno - 1];
  const columns = (entry?.columns ?? []).filter((column) => column.name !== '' || column.type !== 0);
  const names = columns.map((column) => column.name);
  const types = columns.map((column) => column.type);
  return (row, expr) => {
    // A function with one scalar column: its whole row is the value.
    if (expr.type !== 2249 && row.length === 1 && compiler.catalog.type(expr.type)?.typtype !== 'c') return row[0] ?? null;
    return { typeOid: expr.type, types, values: row, names };
  };
}

export function compileValuesScan(node: ValuesScanNode, compiler: PlanCompiler): Open {
  const scope = compiler.scope();
  const rows: Scalar[][] = node.rows.map((row) => compileAll(row, scope));
  const filter = compileFilter(node.filter, compiler.scope(node.output));
  const columns = positions(node.output);
  const whole = wholeRowOf(node.varno, compiler);
  return (state) => new GeneratorOperator((function* (): Run {
    const frame = new Frame(state);
    for (let at = 0; at < rows.length; at += MAX_BATCH_ROWS) {
      const values = rows.slice(at, at + MAX_BATCH_ROWS).map((row) => row.map((scalar) => scalar(frame)));
      yield* emit(values, columns, filter, state, node.output, whole);
      if (state.shouldYield()) yield TIME_SLICE;
    }
  })());
}

/** One WITH query's rows, computed as far as any of its readers has asked. */
interface CteStore { readonly batches: Batch[]; operator: Operator | null; done: boolean }

export function cteStore(id: number, compiler: PlanCompiler, state: ExecState): CteStore {
  const cte = compiler.plan.ctes.find((planned) => planned.id === id)!;
  const known = state.shared.get(cte) as (CteStore & { readonly under: readonly Datum[] }) | undefined;
  const ids = cteParameters(cte, compiler);
  // Inside a correlated sub-plan a WITH query is computed anew when what it reads outside changes.
  if (known && ids.every((param, i) => state.exec[param] === known.under[i])) return known;
  const operator = compiler.open(cte.plan)(state);
  const store = { batches: [], operator, done: false, under: ids.map((param) => state.exec[param]!) };
  state.cleanups.push(() => operator.close());
  state.shared.set(cte, store);
  return store;
}

const parametersOf = new WeakMap<PlannedCte, readonly number[]>();

function cteParameters(cte: PlannedCte, compiler: PlanCompiler): readonly number[] {
  let ids = parametersOf.get(cte);
  if (!ids) parametersOf.set(cte, (ids = [...(usedParameters(cte.plan, compiler.plan) ?? [])]));
  return ids;
}

/** The `at`th batch of the store, null past its end. */
function* batchOf(store: CteStore, at: number): Generator<import('../../../engine/pending.js').Pending, Batch | null> {
  while (at >= store.batches.length) {
    if (store.done) return null;
    const batch = yield* pull(store.operator!);
    if (batch === null) store.done = true;
    else store.batches.push(batch);
  }
  return store.batches[at]!;
}

/** Runs a data-modifying WITH query to its end, whether or not anything read it. */
export function* finishCte(id: number, compiler: PlanCompiler, state: ExecState): Run {
  const store = cteStore(id, compiler, state);
  for (let at = store.batches.length; (yield* batchOf(store, at)) !== null; at++);
}

export function compileCteScan(node: CteScanNode, compiler: PlanCompiler): Open {
  const filter = compileFilter(node.filter, compiler.scope(node.output));
  const columns = positions(node.output);
  const whole = wholeRowOf(node.varno, compiler);
  return (state) => new GeneratorOperator((function* (): Run {
    const store = cteStore(node.cte.id, compiler, state);
    for (let at = 0; ; at++) {
      const batch = yield* batchOf(store, at);
      if (batch === null) return;
      yield* renamed(batch, columns, node.output, filter, state, whole);
      if (state.shouldYield()) yield TIME_SLICE;
    }
  })());
}

function* renamed(batch: Batch, columns: readonly number[], output: readonly Expr[], filter: RowFilter | null, state: ExecState, whole: WholeRow): Run {
  if (columns.includes(-1)) {
    const rows: Datum[][] = [];
    for (let i = 0; i < batch.length; i++) rows.push(readRow(batch, rowAt(batch, i)));
    yield* emit(rows, columns, filter, state, output, whole);
    return;
  }
  const view: Batch = { columns: columns.map((column) => batch.columns[column]!), length: batch.length, selection: batch.selection };
  const kept = filter ? yield* filter.apply(view, state) : view;
  if (kept) yield kept;
}

interface WorkTable { rows: Datum[][] }

function workTable(recursion: number, state: ExecState): WorkTable {
  let table = state.shared.get(recursion) as WorkTable | undefined;
  if (!table) state.shared.set(recursion, (table = { rows: [] }));
  return table;
}

export function compileWorkTableScan(node: WorkTableScanNode, compiler: PlanCompiler): Open {
  const filter = compileFilter(node.filter, compiler.scope(node.output));
  const columns = positions(node.output);
  const whole = wholeRowOf(node.varno, compiler);
  return (state) => new GeneratorOperator((function* (): Run {
    const { rows } = workTable(node.recursion, state);
    for (let at = 0; at < rows.length; at += MAX_BATCH_ROWS) {
      yield* emit(rows.slice(at, at + MAX_BATCH_ROWS), columns, filter, state, node.output, whole);
      if (state.shouldYield()) yield TIME_SLICE;
    }
  })());
}

/** WITH RECURSIVE: the recursive term runs over the rows that the step before added, until none are. */
export function compileRecursiveUnion(node: RecursiveUnionNode, compiler: PlanCompiler): Open {
  const initial = compiler.open(node.initial);
  const recursive = compiler.open(node.recursive);
  const key = node.distinct ? valuesKey(node.types.map((type) => compiler.catalog.dataType(type))) : null;
  return (state) => new GeneratorOperator((function* (): Run {
    const seen = new Set<unknown>();
    const table = workTable(node.recursion, state);
    let open = initial;
    for (;;) {
      const added: Datum[][] = [];
      const input = open(state);
      try {
        for (let batch = yield* pull(input); batch !== null; batch = yield* pull(input)) {
          const rows: Datum[][] = [];
          for (let i = 0; i < batch.length; i++) {
            const row = readRow(batch, rowAt(batch, i));
            if (key) {
              const k = key(row);
              if (seen.has(k)) continue;
              seen.add(k);
            }
            rows.push(row);
          }
          if (rows.length > 0) {
            added.push(...rows);
            yield rowsToBatch(rows, node.output.length);
          }
          if (state.shouldYield()) yield TIME_SLICE;
        }
      } finally {
        input.close();
      }
      if (added.length === 0) return;
      table.rows = added;
      // What the recursive term kept from the step before (materialised parts that do not read the work table) stays.
      open = recursive;
      if (state.shouldYield()) yield TIME_SLICE;
    }
  })());
}

/** Raised for calls that are sets where no set can be. */
export function setInWrongPlace(expr: FuncExpr): DatabaseError {
  return new DatabaseError('0A000', 'set-valued function called in context that cannot accept a set', { position: expr.location + 1 || undefined });
}
