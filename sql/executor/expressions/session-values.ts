/** current_user, current_timestamp and the like, and nextval of an identity column. */
import { DatabaseError, notSupported } from '../../../engine/errors.js';
import type { NextValueExpr, SQLValueFunction } from '../../analyzer/query-tree.js';
import type { Datum } from '../../types/datum.js';
import { bindFunction } from './calls.js';
import type { Frame, Scalar } from './frame.js';
import type { CompileScope } from './scope.js';

const TIMESTAMPTZ = 1184;

/** Casts of now() that give the others: proname of the cast from timestamptz. */
const CAST_OF_NOW = { current_date: ['date', 1082], current_time: ['timetz', 1266], localtime: ['time', 1083], localtimestamp: ['timestamp', 1114] } as const;

export function compileSqlValueFunction(expr: SQLValueFunction, scope: CompileScope): Scalar {
  switch (expr.op) {
    case 'current_timestamp':
      return withPrecision(expr, scope, (frame) => frame.state.context.transactionTimestamp);
    case 'current_date': case 'current_time': case 'localtime': case 'localtimestamp': {
      const [name, target] = CAST_OF_NOW[expr.op];
      const cast = scope.catalog.cast(TIMESTAMPTZ, target);
      if (!cast) throw new Error(`no cast from timestamptz to ${name}`);
      const { evaluate, needsContext } = bindFunction(cast.castfunc, [TIMESTAMPTZ], target, 0, false, scope);
      return withPrecision(expr, scope, (frame) => {
        const { context } = frame.state;
        return needsContext ? evaluate(context.transactionTimestamp, context) : evaluate(context.transactionTimestamp);
      });
    }
    case 'current_role': case 'current_user': case 'user':
      return (frame) => frame.state.context.session.currentUser.name;
    case 'session_user':
      return (frame) => frame.state.context.session.sessionUser.name;
    case 'current_catalog':
      return (frame) => frame.state.context.session.databaseName;
    case 'current_schema':
      return (frame) => {
        const { searchPathOids } = frame.state.context.session;
        const first = searchPathOids.find((oid) => oid !== 11) ?? searchPathOids[0];
        return first === undefined ? null : frame.state.catalog.namespace(first)?.nspname ?? null;
      };
  }
}

/** CURRENT_TIMESTAMP(p): the typmod rounds. */
function withPrecision(expr: SQLValueFunction, scope: CompileScope, value: (frame: Frame) => Datum): Scalar {
  const type = scope.catalog.dataType(expr.type);
  if (expr.typmod < 0 || !type.applyTypmod) return value;
  return (frame) => type.applyTypmod!(value(frame) as never, expr.typmod, true, frame.state.context);
}

export function compileNextValue(expr: NextValueExpr, scope: CompileScope): Scalar {
  const proc = scope.catalog.procsNamed('nextval')[0];
  if (!proc) throw notSupported('nextval');
  const sequence = scope.catalog.relation(expr.sequence);
  if (!sequence) throw new DatabaseError('42P01', `sequence with OID ${expr.sequence} does not exist`);
  const { evaluate, needsContext } = bindFunction(proc.oid, [2205], 20, 0, false, scope);
  return (frame) => (needsContext ? evaluate(expr.sequence, frame.state.context) : evaluate(expr.sequence));
}
