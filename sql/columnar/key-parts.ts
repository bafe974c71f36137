/**
 * Parts of the rows by a hash of their keys. What does not fit in memory as a whole is computed part by part, each in a pass
 * of its own over the columns: reading them again costs less than writing rows to files and reading those.
 */
import { planExpressions } from '../planner/plan-expressions.js';
import { planChildren } from '../planner/plan-walk.js';
import { isVolatile } from '../planner/logical.js';
import type { PlanNode } from '../planner/plan-node.js';
import type { PlanCompiler } from '../executor/compile-plan.js';
import type { Kernel } from './kernel.js';
import type { Value } from './value.js';

/** Keys whose hash modulo `of`, a power of two, is `index`. */
export interface KeyPart { readonly index: number; readonly of: number }

export const WHOLE: KeyPart = { index: 0, of: 1 };
const DIVISOR = 4;
/** What a part of so many is not divided further: keys that take that much memory are one key's rows. */
const MOST = 4096;

/** The part in smaller ones; null when that would be of no use. */
export function divided({ index, of }: KeyPart): KeyPart[] | null {
  return of >= MOST ? null : Array.from({ length: DIVISOR }, (_, n) => ({ index: index + n * of, of: of * DIVISOR }));
}

/** Writes the leaving of rows whose keys are of other parts. Keys with a NULL are of the first part. */
export function emitPart(kernel: Kernel, keys: readonly Value[], { index, of }: KeyPart): void {
  if (of === 1) return;
  const hash = kernel.name('h');
  kernel.line(`let ${hash} = 0;`);
  const tests: string[] = [];
  for (const { code, halves, isNull } of keysOf(keys)) {
    if (isNull !== null) tests.push(isNull);
    const [low, high] = halves ? [halves.low, halves.high] : [`(${code()} | 0)`, `((${code()} / 4294967296) | 0)`];
    kernel.line(`${hash} = Math.imul(${hash} ^ ${isNull === null ? low : `(${isNull} ? 0 : ${low})`}, -1640531535) ^ ${isNull === null ? high : `(${isNull} ? 0 : ${high})`}; ${hash} ^= ${hash} >>> 15;`);
  }
  const part = `(Math.imul(${hash}, -2048144789) >>> 13 & ${kernel.outside(of - 1)})`;
  kernel.line(`if (${tests.length === 0 ? part : `(${tests.join(' || ')} ? 0 : ${part})`} !== ${kernel.outside(index)}) continue;`);
}

/** A text's number is written only when it is asked for. */
function keysOf(keys: readonly Value[]): { code: () => string; halves: Value['halves']; isNull: string | null }[] {
  return keys.map((key) => ({ code: () => key.code, halves: key.halves, isNull: key.isNull }));
}

/** Whether the plan gives the same rows each time it runs in a statement. */
export function repeatable(node: PlanNode, compiler: PlanCompiler): boolean {
  if (node.kind === 'SeqScan' && node.sample !== null) return false;
  if (node.kind === 'LockRows' || node.kind === 'ModifyTable' || node.kind === 'WorkTableScan') return false;
  return !planExpressions(node).some((expr) => isVolatile(expr, compiler.catalog)) && planChildren(node).every((child) => repeatable(child, compiler));
}
