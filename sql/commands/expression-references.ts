/** What an analyzed expression or query refers to: for pg_depend, conkey, and the rules on volatility. */
import type { Expr } from '../analyzer/query-tree.js';
import { ClassOid } from '../catalog/class-oids.js';
import type { Catalog, Oid } from '../catalog/catalog.js';
import { address, recordDependency, type ObjectAddress } from '../catalog/dependency.js';
import type { CatalogTransaction } from '../catalog/catalog-store.js';

export interface References {
  /** Attribute numbers of the one relation that the expression is about. */
  readonly columns: ReadonlySet<number>;
  readonly functions: ReadonlySet<Oid>;
  readonly objects: readonly ObjectAddress[];
  readonly hasSubLink: boolean;
}

const REGCLASS = 2205;

/** Walks any tree of plain nodes; knows only what it looks for, so new kinds of nodes need nothing here. */
export function references(expr: Expr): References {
  const columns = new Set<number>();
  const functions = new Set<Oid>();
  const objects: ObjectAddress[] = [];
  let hasSubLink = false;
  const visit = (node: unknown): void => {
    if (node === null || typeof node !== 'object') return;
    if (Array.isArray(node)) {
      for (const item of node) visit(item);
      return;
    }
    const typed = node as { kind?: string; attno?: number; func?: number; operator?: number; type?: number; value?: unknown; sequence?: number };
    switch (typed.kind) {
      case 'Var': columns.add(typed.attno!); return;
      case 'Const':
        if (typed.type === REGCLASS && typeof typed.value === 'number') objects.push(address(ClassOid.pg_class, typed.value));
        else if (typed.type) objects.push(address(ClassOid.pg_type, typed.type));
        return;
      case 'SubLink': hasSubLink = true; break;
      case 'NextValueExpr': objects.push(address(ClassOid.pg_class, typed.sequence!)); return;
      default:
    }
    if (typed.func) {
      functions.add(typed.func);
      objects.push(address(ClassOid.pg_proc, typed.func));
    }
    if (typed.type) objects.push(address(ClassOid.pg_type, typed.type));
    for (const key in node) if (key !== 'kind') visit((node as Record<string, unknown>)[key]);
  };
  visit(expr);
  return { columns, functions, objects, hasSubLink };
}

/** Byte offset of the first mention of a column; -1 unknown. */
export function columnLocation(expr: Expr, attnum: number): number {
  let found = -1;
  const visit = (node: unknown): void => {
    if (found >= 0 || node === null || typeof node !== 'object') return;
    const { kind, attno, location } = node as { kind?: string; attno?: number; location?: number };
    if (kind === 'Var') {
      if (attno === attnum) found = location ?? -1;
      return;
    }
    for (const value of Object.values(node)) visit(value);
  };
  visit(expr);
  return found;
}

/** Anything in it that may answer differently on each row. */
export function isVolatile(catalog: Catalog, expr: Expr): boolean {
  if (JSON.stringify(expr, bigintAsText).includes('"kind":"NextValueExpr"')) return true;
  return [...references(expr).functions].some((oid) => catalog.proc(oid)?.provolatile === 'v');
}

/** Immutable all through: what index expressions and generated columns must be. */
export function isImmutable(catalog: Catalog, expr: Expr): boolean {
  const text = JSON.stringify(expr, bigintAsText);
  if (text.includes('"kind":"NextValueExpr"') || text.includes('"kind":"SQLValueFunction"')) return false;
  return [...references(expr).functions].every((oid) => (catalog.proc(oid)?.provolatile ?? 'v') === 'i');
}

function bigintAsText(_key: string, value: unknown): unknown {
  return typeof value === 'bigint' ? value.toString() : value;
}

/** Records what the dependent needs because of an expression over `relation`; columns with `columnKind`. */
export function recordExpressionDependencies(changes: CatalogTransaction, dependent: ObjectAddress, expr: Expr, relation: Oid, columnKind: 'n' | 'a'): void {
  const found = references(expr);
  for (const attnum of found.columns) {
    if (attnum > 0) recordDependency(changes, dependent, address(ClassOid.pg_class, relation, attnum), columnKind);
  }
  const seen = new Set<string>();
  for (const object of found.objects) {
    const key = `${object.classId}:${object.objectId}`;
    if (seen.has(key)) continue;
    seen.add(key);
    recordDependency(changes, dependent, object, 'n');
  }
}
