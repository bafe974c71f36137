/** INTERSECT and EXCEPT, with and without ALL, by counting rows in a hash table. */
import type { SetOpNode } from '../../planner/plan-node.js';
import type { Datum } from '../../types/datum.js';
import { MAX_BATCH_ROWS } from '../batch.js';
import type { Open, PlanCompiler } from '../compile-plan.js';
import type { ExecState } from '../exec-state.js';
import { TIME_SLICE } from '../interrupts.js';
import { valuesKey } from '../row-key.js';
import { readRow, rowAt, rowsToBatch } from '../vectors.js';
import { GeneratorOperator, pull, type Run } from './operator.js';

interface Counted { readonly row: Datum[]; left: number; right: number }

export function compileSetOp(node: SetOpNode, compiler: PlanCompiler): Open {
  const key = valuesKey(node.types.map((type) => compiler.catalog.dataType(type)));
  const left = compiler.open(node.left);
  const right = compiler.open(node.right);
  return (state) => new GeneratorOperator((function* (): Run {
    const table = new Map<unknown, Counted>();
    yield* count(left, state, table, key, true);
    yield* count(right, state, table, key, false);
    let rows: Datum[][] = [];
    for (const group of table.values()) {
      for (let n = copies(node, group); n > 0; n--) {
        rows.push(group.row);
        if (rows.length === MAX_BATCH_ROWS) {
          yield rowsToBatch(rows, node.output.length);
          rows = [];
        }
      }
    }
    if (rows.length > 0) yield rowsToBatch(rows, node.output.length);
  })());
}

function copies(node: SetOpNode, group: Counted): number {
  if (node.op === 'intersect') return node.all ? Math.min(group.left, group.right) : group.left > 0 && group.right > 0 ? 1 : 0;
  return node.all ? Math.max(0, group.left - group.right) : group.left > 0 && group.right === 0 ? 1 : 0;
}

function* count(open: Open, state: ExecState, table: Map<unknown, Counted>, key: (values: readonly Datum[]) => unknown, isLeft: boolean): Run {
  const input = open(state);
  try {
    for (let batch = yield* pull(input); batch !== null; batch = yield* pull(input)) {
      for (let i = 0; i < batch.length; i++) {
        const row = readRow(batch, rowAt(batch, i));
        const k = key(row);
        let group = table.get(k);
        if (!group) {
          if (!isLeft) continue;
          table.set(k, (group = { row, left: 0, right: 0 }));
        }
        if (isLeft) group.left++;
        else group.right++;
      }
      if (state.shouldYield()) yield TIME_SLICE;
    }
  } finally {
    input.close();
  }
}
