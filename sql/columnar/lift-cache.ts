/**
 * Results of expressions over the texts of large dictionaries, kept with the dictionary: a statement that runs
 * again asks the same of the same segments. Only for immutable functions; few per dictionary, the oldest goes.
 */
import type { Expr } from '../analyzer/query-tree.js';
import { childrenOf } from '../analyzer/tree-walk.js';
import type { Catalog } from '../catalog/catalog.js';
import type { Datum } from '../types/datum.js';
import type { Dictionary } from './dictionary.js';

/** What the results depend on beside the texts: the expression of a kept plan, and the constants in it. */
export interface LiftKey { readonly expr: Expr; readonly constants: readonly Datum[]; readonly nullable: boolean }

export interface Results { readonly texts: readonly string[] | null; readonly table: unknown; readonly bytes: number }

const MAX_KEPT = 4;
/** Smaller dictionaries are computed sooner than found. */
export const MIN_KEPT_TEXTS = 256;

const kept = new WeakMap<Dictionary, { key: LiftKey; results: Results }[]>();

export function keptResults(dictionary: Dictionary, key: LiftKey): Results | undefined {
  return kept.get(dictionary)?.find(({ key: other }) => other.expr === key.expr && other.nullable === key.nullable && other.constants.length === key.constants.length
    && other.constants.every((value, i) => value === key.constants[i]))?.results;
}

export function keepResults(dictionary: Dictionary, key: LiftKey, results: Results): void {
  if (dictionary.length < MIN_KEPT_TEXTS) return;
  let list = kept.get(dictionary);
  if (!list) kept.set(dictionary, (list = []));
  if (list.length >= MAX_KEPT) list.shift();
  list.push({ key, results });
}

/** The key of an expression that gives the same whenever it is asked; null where settings or time have a say. */
export function liftKey(expr: Expr, constants: ReadonlyMap<Expr, Datum>, nullable: boolean, catalog: Catalog): LiftKey | null {
  const values: Datum[] = [];
  const immutable = (node: Expr): boolean => {
    if (constants.has(node)) {
      const value = constants.get(node)!;
      values.push(value);
      return value === null || typeof value !== 'object';
    }
    switch (node.kind) {
      case 'Const': case 'Var': return true;
      case 'RelabelType': case 'BoolExpr': case 'NullTest': case 'ArrayExpr': case 'CaseExpr': case 'CoalesceExpr': break;
      case 'OpExpr': case 'FuncExpr': case 'ScalarArrayOpExpr': {
        const func = 'func' in node && node.func !== 0 ? node.func : node.kind === 'FuncExpr' ? 0 : (catalog.operator(node.operator)?.oprcode ?? 0);
        if (catalog.proc(func)?.provolatile !== 'i') return false;
        break;
      }
      default: return false;
    }
    return childrenOf(node).every(immutable);
  };
  return immutable(expr) ? { expr, constants: values, nullable } : null;
}
