/** Keys of joins as numbers that both sides share, and the one condition beside them that a key set answers. */
import type { Expr } from '../analyzer/query-tree.js';
import type { Catalog } from '../catalog/catalog.js';
import type { Datum } from '../types/datum.js';
import { Numeric } from '../types/numeric.js';
import type { Kernel } from './kernel.js';
import type { BesideOperator } from './key-set.js';
import type { Lowering } from './lower-expression.js';
import type { JoinStage } from './stage.js';
import type { Value } from './value.js';

/** Whether the number alone says what equals what; decimals are brought to one scale. */
export function joinsByNumber(value: Value): boolean {
  return value.kind === 'int' || value.kind === 'ref' || value.kind === 'decimal';
}

export const NUMERIC = 1700;

/** A numeric as a whole multiple of 10^-scale; one that is none matches nothing, like a NULL. */
export function scaledKey(value: Value, scale: number, rows: Lowering, kernel: Kernel): Value {
  if (value.kind === 'decimal' && value.shownScale === undefined && value.scale === scale) return value;
  const code = kernel.name('v');
  if (value.kind === 'decimal' && value.shownScale === undefined && value.scale < scale) {
    const by = 10 ** (scale - value.scale);
    return { ...value, code: `(${value.code} * ${String(by)})`, min: value.min * by, max: value.max * by, scale };
  }
  const toScale = (datum: Datum): number => {
    if (!(datum instanceof Numeric) || !datum.isFinite || typeof datum.coefficient !== 'number') return NaN;
    const number = datum.scale <= scale ? datum.coefficient * 10 ** (scale - datum.scale) : datum.coefficient / 10 ** (datum.scale - scale);
    return Number.isSafeInteger(number) && (datum.scale <= scale || datum.coefficient % 10 ** (datum.scale - scale) === 0) ? number : NaN;
  };
  kernel.line(`const ${code} = ${kernel.outside(toScale, 'f')}(${rows.datum(value)});`);
  return { kind: 'decimal', code, isNull: `${code} !== ${code}`, scale, min: -Infinity, max: Infinity, type: NUMERIC };
}

/** A number whose order is the type's own, and without NaN. */
export function isPlainNumber(value: Value): boolean {
  return value.kind === 'int';
}

const BESIDE = /^(?:int2|int4|int8|int24|int42|int28|int82|int48|int84|date|timestamp|timestamptz)_?(ne|lt|le|gt|ge)$/;
const TURNED: Readonly<Record<BesideOperator, BesideOperator>> = { ne: 'ne', lt: 'gt', le: 'ge', gt: 'lt', ge: 'le' };

/** The only condition of a join beside its keys, where it compares a number of each side: as `inner operator outer`. */
export function besideKeys({ node, outer, inner }: JoinStage, catalog: Catalog): { inner: Expr; outer: Expr; operator: BesideOperator } | null {
  const [qual] = node.joinQuals;
  if (node.joinQuals.length !== 1 || qual?.kind !== 'OpExpr' || qual.args.length !== 2) return null;
  const func = qual.func !== 0 ? qual.func : (catalog.operator(qual.operator)?.oprcode ?? 0);
  const proc = catalog.proc(func);
  const found = proc && proc.oid < FIRST_OWN_OID ? BESIDE.exec(proc.proname) : null;
  if (!found) return null;
  const operator = found[1] as BesideOperator;
  const [left, right] = qual.args as [Expr, Expr];
  if (inner.layout.indexOf(left) >= 0 && outer.layout.indexOf(right) >= 0) return { inner: left, outer: right, operator };
  if (outer.layout.indexOf(left) >= 0 && inner.layout.indexOf(right) >= 0) return { inner: right, outer: left, operator: TURNED[operator] };
  return null;
}

/** Functions of users may have the name of a born one. */
const FIRST_OWN_OID = 16384;
