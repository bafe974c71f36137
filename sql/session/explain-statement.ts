/** EXPLAIN: plans of SELECT and DML as text or JSON. */
import type { ExecuteStmt, ExplainStmt, Node } from '@pgsql/types';
import { DatabaseError, notSupported } from '../../engine/errors.js';
import type { NodeInstrumentation } from '../executor/exec-state.js';
import { explainPlan, type ExplainOptions } from '../executor/explain/explain.js';
import { newInstrumentation, useInstrumentClock } from '../executor/instrument.js';
import type { ResultColumn } from '../executor/row-source.js';
import { startPlan } from '../executor/execute.js';
import { nodeTag } from '../parser/parse.js';
import type { PlanNode } from '../planner/plan-node.js';
import { planQuery } from '../planner/plan.js';
import type { Datum } from '../types/datum.js';
import { ArrayRows, textColumn } from './array-rows.js';
import { drain } from './driver.js';
import { planEnvironment } from './execute-query.js';
import { checkPermissions } from './permissions.js';
import { executeArguments, innerStatement } from './prepare-statement.js';
import { ensureAnalyzed, type PreparedStatement } from './prepared.js';
import type { Session } from './session.js';
import type { UtilityResult } from './utility.js';

const JSON_TYPE = 114;

export function describeExplain(_session: Session, node: ExplainStmt): readonly ResultColumn[] {
  return [textColumn('QUERY PLAN', optionsOf(node).format === 'json' ? JSON_TYPE : 25)];
}

interface Option { defname?: string; arg?: { String?: { sval?: string }; Integer?: { ival?: number }; Boolean?: { boolval?: boolean } } }

function booleanOf(option: Option): boolean {
  const { arg } = option;
  if (arg === undefined) return true;
  if (arg.Boolean) return arg.Boolean.boolval ?? false;
  if (arg.Integer) return (arg.Integer.ival ?? 0) !== 0;
  const text = arg.String?.sval?.toLowerCase() ?? '';
  if (text === 'true' || text === 'on') return true;
  if (text === 'false' || text === 'off') return false;
  throw new DatabaseError('42601', `${option.defname} requires a Boolean value`);
}

function optionsOf(node: ExplainStmt): ExplainOptions {
  let analyze = false;
  let verbose = false;
  let costs = true;
  let buffers = false;
  let wal = false;
  let timing: boolean | null = null;
  let summary: boolean | null = null;
  let format: string = 'text';
  for (const wrapped of node.options ?? []) {
    const option = (wrapped as { DefElem: Option }).DefElem;
    switch (option.defname) {
      case 'analyze': analyze = booleanOf(option); break;
      case 'verbose': verbose = booleanOf(option); break;
      case 'costs': costs = booleanOf(option); break;
      case 'buffers': buffers = booleanOf(option); break;
      case 'wal': wal = booleanOf(option); break;
      case 'settings': case 'generic_plan': booleanOf(option); break;
      case 'timing': timing = booleanOf(option); break;
      case 'summary': summary = booleanOf(option); break;
      case 'format': format = option.arg?.String?.sval?.toLowerCase() ?? 'text'; break;
      default: throw new DatabaseError('42601', `unrecognized EXPLAIN option "${option.defname}"`);
    }
  }
  void buffers;
  if (wal && !analyze) throw new DatabaseError('22023', 'EXPLAIN option WAL requires ANALYZE');
  if (timing && !analyze) throw new DatabaseError('22023', 'EXPLAIN option TIMING requires ANALYZE');
  if (format === 'xml' || format === 'yaml') throw notSupported(`EXPLAIN (FORMAT ${format.toUpperCase()})`);
  if (format !== 'text' && format !== 'json') throw new DatabaseError('22023', `unrecognized value for EXPLAIN option "format": "${format}"`);
  return { analyze, verbose, costs, timing: timing ?? analyze, summary: summary ?? analyze, format };
}

export async function explainStatement(session: Session, node: ExplainStmt, outer: PreparedStatement, outerParams: readonly Datum[]): Promise<UtilityResult> {
  const options = optionsOf(node);
  const inner = node.query as Node;
  let statement: PreparedStatement;
  let params = outerParams;
  if (nodeTag(inner) === 'ExecuteStmt') {
    const execute = (inner as { ExecuteStmt: ExecuteStmt }).ExecuteStmt;
    const prepared = session.prepared.get(execute.name ?? '');
    if (!prepared) throw new DatabaseError('26000', `prepared statement "${execute.name}" does not exist`);
    statement = prepared;
    ensureAnalyzed(statement, session.context);
    params = executeArguments(session, execute, statement, outer);
  } else {
    statement = innerStatement(outer, inner, outer.parameterTypes, true);
    ensureAnalyzed(statement, session.context);
  }
  if (!statement.query) throw notSupported('EXPLAIN of this statement');
  checkPermissions(statement.query.permissions, session.context);
  const { clock } = session.cluster.runtime;
  const begun = clock.monotonicMs();
  const plan = planQuery(statement.query, planEnvironment(session));
  const planningMs = clock.monotonicMs() - begun;
  const measured = new Map<PlanNode, NodeInstrumentation>();
  let executionMs = 0;
  if (options.analyze) {
    useInstrumentClock(() => clock.monotonicMs());
    const transaction = session.engineTransaction;
    const snapshot = transaction.takeSnapshot();
    const start = clock.monotonicMs();
    const source = startPlan(plan, {
      params, transaction, snapshot, context: session.context, interrupts: session.interrupts,
      instrument(of) {
        let figures = measured.get(of);
        if (!figures) measured.set(of, (figures = newInstrumentation()));
        return figures;
      },
    });
    try {
      await drain(source, 0, () => undefined, session.driver);
    } finally {
      source.close();
      snapshot.release();
    }
    executionMs = clock.monotonicMs() - start;
  }
  const lines = explainPlan(plan, session.context, options, { planningMs, executionMs, of: (planNode) => measured.get(planNode) });
  return { tag: () => 'EXPLAIN', rows: new ArrayRows(describeExplain(session, node), lines.map((line) => [line])) };
}
