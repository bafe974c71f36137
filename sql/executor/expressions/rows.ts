/** Row constructors, field access, row comparison. */
import { DatabaseError } from '../../../engine/errors.js';
import type { ConvertRowtypeExpr, FieldSelect, FieldStore, RowCompareExpr, RowExpr } from '../../analyzer/query-tree.js';
import type { Datum, RecordValue } from '../../types/datum.js';
import { bindOperator, callWith } from './calls.js';
import { compile, compileAll } from './compile.js';
import type { Scalar } from './frame.js';
import type { CompileScope } from './scope.js';

export function compileRowExpr(expr: RowExpr, scope: CompileScope): Scalar {
  const args = compileAll(expr.args, scope);
  const types = expr.args.map((arg) => arg.type);
  const typeOid = expr.type;
  if (typeOid === 2249 && expr.fieldNames.length > 0) {
    const names = expr.fieldNames;
    return (frame): RecordValue => ({ typeOid, types, values: args.map((arg) => arg(frame)), names });
  }
  return (frame): RecordValue => ({ typeOid, types, values: args.map((arg) => arg(frame)) });
}

export function compileFieldSelect(expr: FieldSelect, scope: CompileScope): Scalar {
  const arg = compile(expr.arg, scope);
  const index = expr.fieldNumber - 1;
  return (frame) => {
    const record = arg(frame) as RecordValue | null;
    return record === null ? null : record.values[index] ?? null;
  };
}

export function compileFieldStore(expr: FieldStore, scope: CompileScope): Scalar {
  const arg = compile(expr.arg, scope);
  const newValues = compileAll(expr.newValues, scope);
  const relation = scope.catalog.relation(scope.catalog.type(expr.type)?.typrelid ?? 0);
  const types = relation?.attributes.map((attribute) => attribute.atttypid) ?? [];
  return (frame) => {
    const record = arg(frame) as RecordValue | null;
    const values: Datum[] = record ? [...record.values] : types.map(() => null);
    const outer = frame.caseValue;
    expr.fieldNumbers.forEach((number, i) => {
      // The old field stands for CaseTestExpr in nested assignments.
      frame.caseValue = values[number - 1] ?? null;
      values[number - 1] = newValues[i]!(frame);
    });
    frame.caseValue = outer;
    return { typeOid: expr.type, types: record?.types ?? types, values };
  };
}

/** A row of one named type as another: fields are matched by name. */
export function compileConvertRowtype(expr: ConvertRowtypeExpr, scope: CompileScope): Scalar {
  const arg = compile(expr.arg, scope);
  const attributesOf = (type: number) => scope.catalog.relation(scope.catalog.type(type)?.typrelid ?? 0)?.attributes ?? [];
  const source = attributesOf(expr.arg.type);
  const target = attributesOf(expr.type);
  const positions = target.map((attribute) => source.findIndex((s) => s.attname === attribute.attname));
  const types = target.map((attribute) => attribute.atttypid);
  return (frame) => {
    const record = arg(frame) as RecordValue | null;
    if (record === null) return null;
    return { typeOid: expr.type, types, values: positions.map((p) => (p < 0 ? null : record.values[p] ?? null)) };
  };
}

/** (a, b) < (c, d): the first unequal pair decides; a NULL met before that makes it unknown. */
export function compileRowCompare(expr: RowCompareExpr, scope: CompileScope): Scalar {
  const left = compileAll(expr.left, scope);
  const right = compileAll(expr.right, scope);
  const decide = expr.op[0] as '<' | '>';
  const orEqual = expr.op.length === 2;
  const comparisons = expr.operators.map((oid, i) => {
    const operator = scope.catalog.operator(oid);
    if (!operator) throw new DatabaseError('42883', `operator with OID ${oid} does not exist`);
    const pair = [expr.left[i]!, expr.right[i]!];
    const family = scope.catalog.amopsOfOperator(oid).find((amop) => amop.amopmethod === 403)?.amopfamily ?? 0;
    const member = (strategy: number) => scope.catalog.amop(family, operator.oprleft, operator.oprright, strategy)!.amopopr;
    return {
      less: callWith(bindOperator(member(decide === '<' ? 1 : 5), 0, pair, 16, pair[0]!.collation, scope)),
      equal: callWith(bindOperator(member(3), 0, pair, 16, pair[0]!.collation, scope)),
    };
  });
  return (frame) => {
    for (let i = 0; i < comparisons.length; i++) {
      const a = left[i]!(frame);
      const b = right[i]!(frame);
      if (a === null || b === null) return null;
      if (comparisons[i]!.equal(frame, a, b) === true) continue;
      return comparisons[i]!.less(frame, a, b);
    }
    return orEqual;
  };
}
