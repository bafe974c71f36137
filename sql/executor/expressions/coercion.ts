/** Casts through text and into domains. */
import { DatabaseError } from '../../../engine/errors.js';
import { makeEnvironment } from '../../analyzer/analyze.js';
import { transformExpression } from '../../analyzer/expression.js';
import { ParseState } from '../../analyzer/parse-state.js';
import type { CoerceToDomain, CoerceViaIO, Expr } from '../../analyzer/query-tree.js';
import type { Catalog, PgType } from '../../catalog/catalog.js';
import type { EvalContext } from '../../functions/context.js';
import { parseExpression, SourceText } from '../../parser/parse.js';
import { compile } from './compile.js';
import type { Scalar } from './frame.js';
import { EMPTY_LAYOUT, type CompileScope } from './scope.js';

export function compileCoerceViaIO(expr: CoerceViaIO, scope: CompileScope): Scalar {
  const arg = compile(expr.arg, scope);
  const source = scope.catalog.dataType(expr.arg.type);
  const target = scope.catalog.dataType(expr.type);
  return (frame) => {
    const value = arg(frame);
    if (value === null) return null;
    const { context } = frame.state;
    return target.input(source.output(value, context), -1, context);
  };
}

/** NOT NULL and CHECK of a domain and of the domains below it, innermost first, checks by name as PostgreSQL runs them. */
export function compileCoerceToDomain(expr: CoerceToDomain, scope: CompileScope): Scalar {
  const arg = compile(expr.arg, scope);
  const checks: DomainCheck[] = [];
  let refusesNull: string | null = null;
  for (let type = scope.catalog.type(expr.type); type?.typtype === 'd'; type = scope.catalog.type(type.typbasetype)) {
    const own = scope.catalog.domainChecks(type.oid).map((check) => ({ ...check, domain: type!, compiled: null }));
    checks.unshift(...own);
    if (type.typnotnull) refusesNull ??= type.typname;
  }
  if (checks.length === 0 && refusesNull === null) return arg;
  const name = scope.catalog.type(expr.type)!.typname;
  return (frame) => {
    const value = arg(frame);
    if (value === null && refusesNull !== null) throw new DatabaseError('23502', `domain ${name} does not allow null values`, { dataType: name });
    for (const check of checks) {
      check.compiled ??= compile(analyzeDomainCheck(check.text, check.domain, scope.catalog, frame.state.context), { ...scope, layout: EMPTY_LAYOUT });
      const outer = frame.domainValue;
      frame.domainValue = value;
      const passed = check.compiled(frame);
      frame.domainValue = outer;
      if (passed === false) {
        throw new DatabaseError('23514', `value for domain ${name} violates check constraint "${check.name}"`, { dataType: name, constraint: check.name, schema: scope.catalog.namespace(check.domain.typnamespace)?.nspname });
      }
    }
    return value;
  };
}

interface DomainCheck { readonly name: string; readonly text: string; readonly domain: PgType; compiled: Scalar | null }

/** A domain's CHECK over VALUE, of the domain's base type. */
function analyzeDomainCheck(text: string, domain: PgType, catalog: Catalog, context: EvalContext): Expr {
  const state = new ParseState(makeEnvironment({ catalog, context, source: new SourceText(text) }), null);
  state.exprKind = 'domain check';
  state.domainValue = { kind: 'CoerceToDomainValue', type: domain.typbasetype, typmod: domain.typtypmod, collation: domain.typcollation, location: -1 };
  return transformExpression(state, parseExpression(text));
}
