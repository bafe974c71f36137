/** What sql/commands may ask of the analyzer, the deparser and the executor. */
import type { Node } from '@pgsql/types';
import { Pending } from '../../engine/pending.js';
import { analyzeStatement, makeEnvironment } from '../analyzer/analyze.js';
import { coerceToBoolean, coerceToTargetType, resolveUnknown } from '../analyzer/coerce.js';
import { transformExpression } from '../analyzer/expression.js';
import { itemFor, relationEntry } from '../analyzer/from-clause.js';
import { formatType } from '../analyzer/names.js';
import { ParseState } from '../analyzer/parse-state.js';
import type { Expr } from '../analyzer/query-tree.js';
import type { CommandHooks, ExpressionRequest } from '../commands/command.js';
import type { Relation } from '../catalog/catalog.js';
import { deparseExpr, relationContext } from '../deparse/expression.js';
import { withCurrentNames } from '../deparse/current-names.js';
import { deparseQuery } from '../deparse/query.js';
import { compileExpression } from '../executor/compile-expression.js';
import { startPlan } from '../executor/execute.js';
import { readRow, rowAt } from '../executor/vectors.js';
import type { EvalContext } from '../functions/context.js';
import { parse, parseExpression, SourceText } from '../parser/parse.js';
import { planQuery } from '../planner/plan.js';
import { planEnvironment } from './execute-query.js';
import { queryColumns } from './prepared.js';
import type { Session } from './session.js';
import { base } from '../analyzer/make-nodes.js';

const CONSTRUCTS: Readonly<Partial<Record<ExpressionRequest['kind'], string>>> = { 'check constraint': 'CHECK', 'domain check': 'CHECK', 'index predicate': 'WHERE' };

function analyze(node: Node, request: ExpressionRequest, context: EvalContext, source: SourceText): Expr {
  const state = new ParseState(makeEnvironment({ catalog: context.catalog, context, source }), null);
  state.exprKind = request.kind;
  if (request.relation) {
    state.addRangeTableEntry(relationEntry(request.relation));
    state.namespace = [itemFor(state, 1, request.relation.oid)];
  }
  if (request.domainType) {
    const type = context.catalog.type(request.domainType.type);
    state.domainValue = { kind: 'CoerceToDomainValue', ...base(request.domainType.type, request.domainType.typmod, type?.typcollation ?? 0) };
  }
  const expr = transformExpression(state, node);
  const construct = CONSTRUCTS[request.kind];
  if (construct) return coerceToBoolean(state, expr, construct);
  if (request.target) {
    const coerced = coerceToTargetType(state, expr, request.target.type, request.target.typmod, 'assignment', 'implicit cast', -1);
    if (!coerced) {
      const what = request.kind === 'generated column' ? 'generation' : request.kind === 'alter column transform' ? 'using' : 'default';
      throw state.error('42804', `column "${request.target.columnName ?? ''}" is of type ${formatType(context.catalog, request.target.type)} but ${what} expression is of type ${formatType(context.catalog, expr.type)}`, -1, {
        hint: 'You will need to rewrite or cast the expression.',
      });
    }
    return coerced;
  }
  return resolveUnknown(state, expr);
}

function deparse(expr: Expr, relation: Relation | null, context: EvalContext): string {
  return deparseExpr(expr, relationContext(context.catalog, context, relation ? relationEntry(relation) : null, false));
}

/** Text that is stored: names of other schemas are always qualified, whatever the search path is now. */
function storedContext(context: EvalContext): EvalContext {
  const session = Object.create(context.session, { searchPathOids: { value: [11] } }) as EvalContext['session'];
  return Object.create(context, { session: { value: session } }) as EvalContext;
}

export function commandHooks(session: Session): CommandHooks {
  return {
    analyzeExpression(node, request, context, source) {
      const expr = analyze(node, request, context, source);
      return { expr, text: deparse(expr, request.relation ?? null, storedContext(context)) };
    },
    analyzeExpressionText: (text, request, context) => analyze(parseExpression(text), request, context, new SourceText(text)),
    analyzeQuery(node, context, source) {
      const query = analyzeStatement(node, { catalog: context.catalog, context, source });
      const stored = storedContext(context);
      const text = query.commandType === 'select' ? deparseQuery(query, { catalog: context.catalog, eval: stored, pretty: false, levels: [], qualify: false, indent: 0 }) : '';
      return { query, columns: (queryColumns(query) ?? []).map((c, i) => ({ name: c.name, type: c.typeOid, typmod: c.typmod, collation: query.targetList[i]?.expr.collation ?? 0 })), text };
    },
    compileRow: (_relation, expr, context) => {
      const compiled = compileExpression(expr, context.catalog);
      return (values) => compiled(values, context);
    },
    deparse: (expr, relation, context) => deparse(expr, relation, storedContext(context)),
    viewDeparser(text, context) {
      const parsed = parse(text);
      const query = analyzeStatement(parsed.statements[0].node, { catalog: context.catalog, context: storedContext(context), source: parsed.source });
      return (later) => deparseQuery(withCurrentNames(query, later.catalog), { catalog: later.catalog, eval: storedContext(later), pretty: false, levels: [], qualify: false, indent: 0 });
    },
    async runQuery(query, context, source, onRow) {
      const parsed = typeof query === 'string' ? parse(query) : null;
      const node = parsed ? parsed.statements[0].node : (query as Node);
      const analyzed = analyzeStatement(node, { catalog: context.catalog, context, source: parsed?.source ?? source ?? new SourceText('') });
      const plan = planQuery(analyzed, { ...planEnvironment(session), catalog: context.catalog });
      const transaction = context.transaction;
      const snapshot = transaction.takeSnapshot();
      const rows = startPlan(plan, { params: [], transaction, snapshot, context, interrupts: session.interrupts });
      let count = 0;
      try {
        for (;;) {
          const batch = rows.next();
          if (batch === null) return count;
          if (batch instanceof Pending) {
            await session.wait(batch);
            continue;
          }
          for (let i = 0; i < batch.length; i++) {
            count++;
            const waits = onRow(readRow(batch, rowAt(batch, i)));
            if (waits) await waits;
          }
        }
      } finally {
        rows.close();
        snapshot.release();
      }
    },
  };
}
