/** A SELECT with nothing in it, to be filled by rewrites. */
import type { Query } from '../analyzer/query-tree.js';

export function emptyFromClause(like: Query): Query {
  return {
    ...like, commandType: 'select', rangeTable: [], jointree: { kind: 'fromExpr', from: [], quals: null }, targetList: [], resultRelation: 0, hasAggs: false, hasWindowFuncs: false,
    hasTargetSRFs: false, hasSubLinks: false, groupClause: [], groupDistinct: false, groupingSets: null, having: null, windowClause: [], distinctClause: [], hasDistinctOn: false,
    sortClause: [], limitOffset: null, limitCount: null, withTies: false, rowMarks: [], setOperations: null, ctes: [], hasRecursive: false, returning: [], onConflict: null, mergeActions: [],
  };
}
