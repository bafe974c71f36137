/** EXPLAIN: plans of SELECT and DML as text or JSON. */
import type { ExplainStmt } from '@pgsql/types';
import { notSupported } from '../../engine/errors.js';
import type { ResultColumn } from '../executor/row-source.js';
import { textColumn } from './array-rows.js';
import type { Session } from './session.js';
import type { UtilityResult } from './utility.js';

export function describeExplain(_session: Session, _node: ExplainStmt): readonly ResultColumn[] {
  return [textColumn('QUERY PLAN')];
}

export function explainStatement(): UtilityResult {
  throw notSupported('EXPLAIN');
}
