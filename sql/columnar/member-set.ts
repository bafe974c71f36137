/** `x IN (subquery)` that stayed an expression: the subquery's values, fetched once, asked by kernels. */
import type { Expr, SubLink } from '../analyzer/query-tree.js';
import { childrenOf } from '../analyzer/tree-walk.js';
import type { PlanCompiler } from '../executor/compile-plan.js';
import { hashKeyOf } from '../executor/expressions/arrays.js';
import { allRows } from '../executor/sub-plan.js';
import type { ExecState } from '../executor/exec-state.js';
import type { Pending } from '../../engine/pending.js';
import type { Datum } from '../types/datum.js';

export interface MemberSet {
  readonly left: Expr;
  /** By the left side's type: what equal values share. */
  readonly keys: ReadonlySet<unknown>;
  readonly keyOf: (value: Datum) => unknown;
  /** For integers of a small range: 1 where one is in the set. */
  readonly bits: { readonly min: number; readonly table: Uint8Array } | null;
  readonly hasNull: boolean;
  readonly empty: boolean;
}

const MAX_BITS = 1 << 24;

/** The sublink's left side, where a kernel can ask a set for it; null for other sublinks. */
export function memberOf(expr: Expr, compiler: PlanCompiler): { link: SubLink; left: Expr } | null {
  if (expr.kind !== 'SubLink' || expr.subLinkType !== 'any') return null;
  const plan = compiler.plan.subPlans.get(expr.id);
  if (!plan?.hashed || plan.params.length > 0 || plan.hashed.left.length !== 1) return null;
  return { link: expr, left: plan.hashed.left[0]! };
}

/** The sublinks among the conditions that `memberOf` knows. */
export function membersIn(expr: Expr, compiler: PlanCompiler, into: Set<SubLink>): void {
  const found = memberOf(expr, compiler);
  if (found) into.add(found.link);
  else for (const child of childrenOf(expr)) membersIn(child, compiler, into);
}

export function* fetchMembers(link: SubLink, compiler: PlanCompiler, state: ExecState): Generator<Pending, MemberSet> {
  const plan = compiler.plan.subPlans.get(link.id)!;
  const keyOf = hashKeyOf(compiler.catalog.dataType(plan.plan.output[0]!.type));
  const keys = new Set<unknown>();
  let hasNull = false;
  let min = Infinity;
  let max = -Infinity;
  let integers = true;
  for (const [value] of yield* allRows(compiler.open(plan.plan)(state))) {
    if (value === null) hasNull = true;
    else {
      const key = keyOf(value!);
      keys.add(key);
      if (typeof key !== 'number' || !Number.isSafeInteger(key)) integers = false;
      else {
        if (key < min) min = key;
        if (key > max) max = key;
      }
    }
  }
  let bits: MemberSet['bits'] = null;
  if (integers && keys.size > 0 && max - min < MAX_BITS) {
    bits = { min, table: new Uint8Array(max - min + 1) };
    for (const key of keys) bits.table[(key as number) - min] = 1;
  }
  return { left: plan.hashed!.left[0]!, keys, keyOf, bits, hasNull, empty: keys.size === 0 && !hasNull };
}
