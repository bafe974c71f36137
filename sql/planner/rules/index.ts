/** The rewrite rules in the order in which they run. Each can be switched off by name. */
import type { Logical } from '../logical.js';
import type { Planner } from '../planner-state.js';
import { factorDisjunctions } from './factor-disjunctions.js';
import { foldQuery } from './fold-query.js';
import { pullUpSublinks } from './pull-up-sublinks.js';
import { pullUpSubqueries } from './pull-up-subqueries.js';
import { pushDownQuals } from './push-down-quals.js';
import { reduceOuterJoins } from './reduce-outer-joins.js';
import { unnestAggregates } from './unnest-aggregates.js';

export interface RewriteRule {
  readonly name: string;
  readonly apply: (logical: Logical, planner: Planner) => Logical;
}

/** Planned with it and without, because only the costs know which is better. */
export const UNNEST_AGGREGATES = 'unnest-aggregates';

export const REWRITE_RULES: readonly RewriteRule[] = [
  { name: 'pull-up-sublinks', apply: pullUpSublinks },
  { name: UNNEST_AGGREGATES, apply: unnestAggregates },
  { name: 'pull-up-subqueries', apply: pullUpSubqueries },
  { name: 'fold-constants', apply: foldQuery },
  { name: 'factor-disjunctions', apply: factorDisjunctions },
  { name: 'reduce-outer-joins', apply: reduceOuterJoins },
  { name: 'push-down-quals', apply: pushDownQuals },
];

export function rewrite(logical: Logical, planner: Planner): Logical {
  return REWRITE_RULES.reduce((current, rule) => (planner.ruleEnabled(rule.name) ? rule.apply(current, planner) : current), logical);
}
