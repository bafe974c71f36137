/**
 * From a plan's index conditions to ranges of one execution: leading equalities, IN lists multiplied
 * out in index order, then bounds on the next column. What the ranges cannot express (conditions
 * beyond the first range column) is left to the caller as a filter.
 */
import type { IndexCondition as KeyCondition } from '../../access/index-access.js';
import type { Catalog, Index } from '../../catalog/catalog.js';
import type { IndexCondition } from '../../planner/plan-node.js';
import type { ArrayValue, Datum } from '../../types/datum.js';
import { Frame, type Scalar } from '../expressions/frame.js';
import { compile } from '../expressions/compile.js';
import type { CompileScope } from '../expressions/scope.js';
import type { ExecState } from '../exec-state.js';
import { INTEGER_RANGES, outside } from '../integer-range.js';

interface Compiled { readonly column: number; readonly strategy: IndexCondition['strategy']; readonly value: Scalar | null }

export class IndexRanges {
  private readonly conditions: readonly Compiled[];

  constructor(conditions: readonly IndexCondition[], private readonly backward: boolean, scope: CompileScope) {
    this.conditions = conditions.map((condition) => ({ column: condition.column, strategy: condition.strategy, value: condition.value && compile(condition.value, scope) }));
  }

  /** Key conditions in scan order; empty when nothing can match (a NULL was compared). */
  evaluate(index: Index, catalog: Catalog, state: ExecState): KeyCondition[] {
    const frame = new Frame(state);
    let prefixes: Datum[][] = [[]];
    let column = 0;
    for (; column < index.keyColumns.length; column++) {
      const own = this.conditions.filter((condition) => condition.column === column);
      const equal = own.find((condition) => condition.strategy === '=' || condition.strategy === 'null');
      const any = own.find((condition) => condition.strategy === 'any');
      if (equal) {
        const value = equal.value ? equal.value(frame) : null;
        if (value === null && equal.strategy === '=') return [];
        const fits = INTEGER_RANGES[index.keyColumns[column]!.typeOid];
        if (value !== null && fits && outside(value, fits) !== 0) return [];
        for (const prefix of prefixes) prefix.push(value);
      } else if (any) {
        const values = this.sortedValues(any.value!(frame) as ArrayValue | null, index, column, catalog);
        if (values.length === 0) return [];
        prefixes = prefixes.flatMap((prefix) => values.map((value) => [...prefix, value]));
      } else {
        break;
      }
    }
    const last = this.rangeOn(column, index, catalog, frame);
    if (last === null) return [];
    return prefixes.map((equal) => ({ equal, ...last, reverse: this.backward }));
  }

  private sortedValues(array: ArrayValue | null, index: Index, column: number, catalog: Catalog): Datum[] {
    const key = index.keyColumns[column]!;
    const type = catalog.dataType(key.typeOid);
    const compareValues = type.compare!.bind(type) as (a: Datum, b: Datum) => number;
    const sign = (key.descending ? -1 : 1) * (this.backward ? -1 : 1);
    const fits = INTEGER_RANGES[key.typeOid];
    const values = (array?.elements ?? []).filter((value) => value !== null && (!fits || outside(value, fits) === 0)).sort((a, b) => sign * compareValues(a, b));
    return values.filter((value, i) => i === 0 || compareValues(value, values[i - 1]!) !== 0);
  }

  /** Bounds on the column; null when one is NULL. */
  private rangeOn(column: number, index: Index, catalog: Catalog, frame: Frame): Omit<KeyCondition, 'equal'> | null {
    let lower: KeyCondition['lower'];
    let upper: KeyCondition['upper'];
    let notNull = false;
    const type = column < index.keyColumns.length ? catalog.dataType(index.keyColumns[column]!.typeOid) : null;
    const compareValues = type?.compare?.bind(type) as ((a: Datum, b: Datum) => number) | undefined;
    for (const condition of this.conditions) {
      if (condition.column !== column) continue;
      if (condition.strategy === 'not null') {
        notNull = true;
        continue;
      }
      const value = condition.value!(frame);
      if (value === null) return null;
      const inclusive = condition.strategy.endsWith('=');
      const fits = INTEGER_RANGES[index.keyColumns[column]!.typeOid];
      const beyond = fits ? outside(value, fits) : 0;
      if (beyond !== 0) {
        // Beyond every value of the column: no bound at all, or nothing matches.
        if ((beyond < 0) === (condition.strategy[0] === '>')) {
          notNull = true;
          continue;
        }
        return null;
      }
      if (condition.strategy[0] === '>') {
        const order = lower ? compareValues!(value, lower.value) : 1;
        if (order > 0 || (order === 0 && !inclusive)) lower = { value, inclusive };
      } else {
        const order = upper ? compareValues!(value, upper.value) : -1;
        if (order < 0 || (order === 0 && !inclusive)) upper = { value, inclusive };
      }
    }
    return { lower, upper, notNull: notNull || lower !== undefined || upper !== undefined };
  }
}
