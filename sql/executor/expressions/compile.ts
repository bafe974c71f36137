/**
 * Expression to closure. One compiler per kind of node, found in a table, so that a forgotten kind
 * does not compile. The layout is asked first for every node: what the input already has (columns,
 * grouped expressions, aggregates, window functions) is read, not computed.
 */
import { DatabaseError, notSupported } from '../../../engine/errors.js';
import type { Expr } from '../../analyzer/query-tree.js';
import { compileArrayCoerce, compileArrayExpr, compileScalarArrayOp } from './arrays.js';
import { compileBoolExpr, compileBooleanTest, compileNullTest } from './boolean.js';
import { compileDistinct, compileFuncExpr, compileOpExpr } from './calls.js';
import { compileCoerceToDomain, compileCoerceViaIO } from './coercion.js';
import { compileCase, compileCoalesce, compileMinMax, compileNullIf } from './conditional.js';
import type { Scalar } from './frame.js';
import { compileConvertRowtype, compileFieldSelect, compileFieldStore, compileRowCompare, compileRowExpr } from './rows.js';
import type { CompileScope } from './scope.js';
import { compileNextValue, compileSqlValueFunction } from './session-values.js';
import { compileSubscripting } from './subscripting.js';

type Compiler<K extends Expr['kind']> = (expr: Extract<Expr, { kind: K }>, scope: CompileScope) => Scalar;

const compilers: { readonly [K in Expr['kind']]: Compiler<K> } = {
  Const: (expr) => {
    const { value } = expr;
    return () => value;
  },
  Param: (expr) => {
    if (expr.paramKind === 'exec') {
      const { id } = expr;
      return (frame) => frame.state.exec[id]!;
    }
    const index = expr.id - 1;
    return (frame) => {
      const value = frame.state.params[index];
      if (value === undefined) throw new DatabaseError('42P02', `there is no parameter $${index + 1}`);
      return value;
    };
  },
  Var: (expr) => {
    throw new Error(`column ${expr.varno}.${expr.attno} is not in the input of the expression`);
  },
  FuncExpr: compileFuncExpr,
  OpExpr: compileOpExpr,
  DistinctExpr: compileDistinct,
  NullIfExpr: compileNullIf,
  ScalarArrayOpExpr: compileScalarArrayOp,
  BoolExpr: compileBoolExpr,
  NullTest: compileNullTest,
  BooleanTest: compileBooleanTest,
  CaseExpr: compileCase,
  CaseTestExpr: () => (frame) => frame.caseValue,
  CoerceToDomainValue: () => (frame) => frame.domainValue,
  CoalesceExpr: compileCoalesce,
  MinMaxExpr: compileMinMax,
  RelabelType: (expr, scope) => compile(expr.arg, scope),
  CoerceViaIO: compileCoerceViaIO,
  ArrayCoerceExpr: compileArrayCoerce,
  CoerceToDomain: compileCoerceToDomain,
  CollateExpr: (expr, scope) => compile(expr.arg, scope),
  ConvertRowtypeExpr: compileConvertRowtype,
  ArrayExpr: compileArrayExpr,
  RowExpr: compileRowExpr,
  RowCompareExpr: compileRowCompare,
  FieldSelect: compileFieldSelect,
  FieldStore: compileFieldStore,
  SubscriptingRef: compileSubscripting,
  SQLValueFunction: compileSqlValueFunction,
  SubLink: (expr, scope) => {
    if (!scope.subLinks) throw notSupported('a subquery in this place');
    return scope.subLinks.scalar(expr, scope);
  },
  SubLinkParam: () => {
    throw new Error('SubLinkParam outside of its sublink');
  },
  Aggref: () => {
    throw new DatabaseError('42803', 'aggregate functions are not allowed here');
  },
  WindowFunc: () => {
    throw new DatabaseError('42P20', 'window functions are not allowed here');
  },
  GroupingFunc: () => {
    throw new DatabaseError('42803', 'GROUPING must be used in a query level with GROUP BY');
  },
  SetToDefault: () => {
    throw new DatabaseError('42601', 'DEFAULT is not allowed in this context');
  },
  CurrentOfExpr: () => {
    throw notSupported('WHERE CURRENT OF for this kind of plan');
  },
  NextValueExpr: compileNextValue,
};

/** The closure that computes `expr` over rows laid out as `scope.layout` says. */
export function compile(expr: Expr, scope: CompileScope): Scalar {
  const present = scope.layout.resolve(expr);
  if (present) return present;
  return (compilers[expr.kind] as Compiler<Expr['kind']>)(expr as never, scope);
}

export function compileAll(exprs: readonly Expr[], scope: CompileScope): Scalar[] {
  return exprs.map((expr) => compile(expr, scope));
}
