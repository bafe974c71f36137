/** What the expression compiler needs to know about its surroundings. */
import { DatabaseError, notSupported } from '../../../engine/errors.js';
import type { Expr, SubLink } from '../../analyzer/query-tree.js';
import type { Catalog, PgProc } from '../../catalog/catalog.js';
import type { FunctionCall, SqlFunction } from '../../functions/function.js';
import type { DataType } from '../../types/data-type.js';
import { implementationOf } from '../function-lookup.js';
import type { Scalar, WaitingScalar } from './frame.js';

/** Where values come from: says how to read an expression that the input already has, undefined if it must be computed. */
export interface Layout {
  resolve(expr: Expr): Scalar | undefined;
}

/** How the compiled plan runs a SubLink; `waiting` when it may suspend. */
export interface SubLinkRunner {
  scalar(link: SubLink, scope: CompileScope): Scalar;
  waiting(link: SubLink, scope: CompileScope): WaitingScalar;
  mayWait(link: SubLink): boolean;
}

export interface CompileScope {
  readonly catalog: Catalog;
  readonly layout: Layout;
  readonly subLinks: SubLinkRunner | null;
}

export const EMPTY_LAYOUT: Layout = { resolve: () => undefined };

export function procOf(scope: CompileScope, oid: number): PgProc {
  const proc = scope.catalog.proc(oid);
  if (!proc) throw new DatabaseError('42883', `function with OID ${oid} does not exist`);
  return proc;
}

/** 'name(type, type)' as error messages write it. */
export function signatureText(catalog: Catalog, proc: PgProc): string {
  return `${proc.proname}(${proc.proargtypes.map((oid) => catalog.type(oid)?.typname ?? String(oid)).join(', ')})`;
}

export function implementation(scope: CompileScope, proc: PgProc): SqlFunction {
  const found = implementationOf(proc, scope.catalog);
  if (!found) throw notSupported(`function ${signatureText(scope.catalog, proc)}`);
  return found;
}

export function functionCall(scope: CompileScope, argTypes: readonly number[], resultType: number, collation: number, variadicArray: boolean, columns?: FunctionCall['columns']): FunctionCall {
  return { argTypes, resultType, collation, variadicArray, ...(columns ? { columns } : {}), type: (oid): DataType => scope.catalog.dataType(oid) };
}

/** The operator's function: OpExpr.func when the analyzer filled it in, else oprcode. */
export function operatorFunction(scope: CompileScope, operator: number, func = 0): number {
  if (func !== 0) return func;
  const found = scope.catalog.operator(operator);
  if (!found) throw new DatabaseError('42883', `operator with OID ${operator} does not exist`);
  return found.oprcode;
}
