/** Rows of a pipeline kept as columns and put in order: what windows and DISTINCT ON go over. */
import type { Pending } from '../../engine/pending.js';
import type { Expr } from '../analyzer/query-tree.js';
import { equalExpr } from '../analyzer/tree-walk.js';
import { compareBy } from '../executor/compare.js';
import type { PlanNode, SortKey, SortNode } from '../planner/plan-node.js';
import { kernelMemory } from './kernel-memory.js';
import { Pipeline, type Sink } from './pipeline.js';
import type { PipelineRun } from './pipeline-run.js';
import { tableColumn, type ResultColumn } from './result-source.js';
import { converter } from './rows.js';
import { NotColumnar } from './segment.js';
import { inSlices } from './sliced.js';
import { orderOf, type OrderKey } from './sort-order.js';
import type { Stage } from './stage.js';
import { appendRow, ColumnTable } from './table.js';
import { threadedRows } from './threaded-rows.js';
import { pickResults } from './union-source.js';

/** What a node over sorted rows reads: the sort is taken over where there is one, otherwise the rows come as they are wanted. */
export function sortBelow(child: PlanNode): { sort: SortNode | null; input: PlanNode } {
  return child.kind === 'Sort' && child.bound === null ? { sort: child, input: child.child } : { sort: null, input: child };
}

/** Expressions to be kept of each row, each once. */
export class KeptExpressions {
  readonly exprs: Expr[] = [];

  add(expr: Expr): number {
    const found = this.exprs.findIndex((other) => other === expr || (other.kind !== 'Const' && equalExpr(other, expr)));
    return found >= 0 ? found : this.exprs.push(expr) - 1;
  }
}

export class OrderedRows {
  private readonly picked = new Map<number, ResultColumn>();

  private constructor(private readonly run: PipelineRun, private readonly table: ColumnTable, /** Rows of the table in order; null: as they stand. */ private readonly order: ArrayLike<number> | null) {}

  get count(): number {
    return this.table.count;
  }

  /** Runs the stage; `exprs` are the columns that are kept. Throws NotColumnar where they do not fit. */
  static *collect(run: PipelineRun, stage: Stage, exprs: readonly Expr[], sort: SortNode | null): Generator<Pending, OrderedRows> {
    const { state, arrays } = run;
    const keep = new KeptExpressions();
    for (const expr of exprs) keep.add(expr);
    const keyColumns = (sort?.keys ?? []).map((key) => keep.add(key.expr));
    yield* run.evaluateConstants(keep.exprs, [stage.layout]);
    const table = new ColumnTable(arrays, stage.node.cost.rows);
    const memory = kernelMemory(state);
    const sink: Sink = {
      emit(kernel, lowering) {
        const values = keep.exprs.map((expr) => lowering.value(expr));
        if (table.columns.length === 0) for (const value of values) table.addColumn(value);
        appendRow(kernel, table, values.map((value, c) => (table.columns[c]!.shape.kind === 'any' ? { code: lowering.datum(value), isNull: null } : value)));
      },
      threaded: () => threadedRows(table, state),
      drain() {
        if (table.bytes > memory) throw new NotColumnar();
      },
    };
    yield* new Pipeline(run, stage, sink).execute();
    if (!sort || table.count === 0) return new OrderedRows(run, table, null);
    const began = state.context.runtime.clock.monotonicMs();
    const order = yield* orderOf(sort.keys.map((key, k) => orderKey(key, table, keyColumns[k]!, run)), table.count, run.interner, state);
    if (state.instrument) {
      const figures = state.instrument(sort);
      figures.loops++;
      figures.rows += table.count;
      figures.totalMs += state.context.runtime.clock.monotonicMs() - began;
      figures.details.set('Sort Method', 'quicksort');
      figures.details.set('Sort Space Used', Math.max(25, Math.ceil(table.bytes / 1024)));
    }
    return new OrderedRows(run, table, order);
  }

  /** A kept column in order. */
  column(position: number): ResultColumn {
    if (this.table.columns.length === 0) return { kind: 'datums', data: [], type: 0 };
    let found = this.picked.get(position);
    if (!found) {
      const whole = tableColumn(this.table.columns[position]!);
      this.picked.set(position, (found = this.order === null ? whole : pickResults(whole, this.order)));
    }
    return found;
  }

  /** Tells for each position after the first whether its row has the same values in these columns as the row before it: 1, else 0. */
  *sameAsBefore(columns: readonly { readonly position: number; readonly expr: Expr }[]): Generator<Pending, Uint8Array> {
    const { count, run, table } = this;
    const same = new Uint8Array(count).fill(1);
    if (count > 0) same[0] = 0;
    for (const { position, expr } of columns) {
      if (table.columns.length === 0) break;
      const kept = table.columns[position]!;
      const { kind, padded } = kept.shape;
      const column = this.column(position);
      // Texts have one number each; padded ones and floats have other ideas of equality.
      const byNumber = (kind === 'int' || kind === 'decimal' || kind === 'bool' || (kind === 'ref' && !kept.places && (expr.type !== BPCHAR || padded === true))) && column.kind !== 'lazy' && column.kind !== 'datums';
      if (byNumber) {
        const { data, nulls } = column;
        yield* inSlices(count, run.state, (from, to) => {
          for (let i = Math.max(1, from); i < to; i++) {
            const isNull = nulls !== null && nulls[i] === 1;
            if (nulls !== null && isNull !== (nulls[i - 1] === 1)) same[i] = 0;
            else if (!isNull && data[i] !== data[i - 1]) same[i] = 0;
          }
        });
        continue;
      }
      const compare = compareBy({ type: expr.type, descending: false, nullsFirst: false }, run.state.catalog);
      const convert = converter(kept, run.interner);
      const datum = column.kind === 'datums' ? (i: number) => column.data[i]! : column.kind === 'lazy' ? column.datum : (i: number) => (column.nulls && column.nulls[i] === 1 ? null : convert(column.data[i]!));
      yield* inSlices(count, run.state, (from, to) => {
        for (let i = Math.max(1, from); i < to; i++) if (same[i] === 1 && compare(datum(i - 1), datum(i)) !== 0) same[i] = 0;
      }, 1024);
    }
    return same;
  }
}

const BPCHAR = 1042;

function orderKey(key: SortKey, table: ColumnTable, position: number, run: PipelineRun): OrderKey {
  const column = table.columns[position]!;
  return { key, column, compare: compareBy({ type: key.expr.type, descending: key.descending, nullsFirst: key.nullsFirst }, run.state.catalog), convert: converter(column, run.interner) };
}
