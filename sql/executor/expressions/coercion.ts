/** Casts through text and into domains. */
import { DatabaseError } from '../../../engine/errors.js';
import type { CoerceToDomain, CoerceViaIO } from '../../analyzer/query-tree.js';
import { compile } from './compile.js';
import type { Scalar } from './frame.js';
import type { CompileScope } from './scope.js';

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

export function compileCoerceToDomain(expr: CoerceToDomain, scope: CompileScope): Scalar {
  const arg = compile(expr.arg, scope);
  const type = scope.catalog.type(expr.type);
  if (!type?.typnotnull) return arg;
  const name = type.typname;
  return (frame) => {
    const value = arg(frame);
    if (value === null) throw new DatabaseError('23502', `domain ${name} does not allow null values`, { dataType: name });
    return value;
  };
}
