/** Pseudo-types and types without behaviour yet: their I/O errors. */
import { DatabaseError, notSupported } from '../../engine/errors.js';
import type { DataType } from './data-type.js';
import type { ArrayValue } from './datum.js';
import { textRow } from './text.js';

/** cannot accept / cannot display, as pseudotypes.c says it. */
export function pseudoType(name: string): DataType {
  const refuse = (verb: string): never => {
    throw new DatabaseError('0A000', `cannot ${verb} a value of type ${name}`);
  };
  return {
    name,
    vector: 'any',
    input: () => refuse('accept'),
    output: () => refuse('display'),
    receive: () => refuse('accept'),
    send: () => refuse('display'),
    row: textRow,
  };
}

export const voidType: DataType = {
  ...pseudoType('void'),
  input: () => '',
  output: () => '',
  receive: () => '',
  send: () => new Uint8Array(0),
};

/** anyarray and friends print as the array they hold. */
export function anyArrayType(name: string): DataType {
  return {
    ...pseudoType(name),
    output: (value, context) => arrayOf(value as ArrayValue, context).output(value, context),
    send: (value, context) => arrayOf(value as ArrayValue, context).send(value, context),
  };
}

function arrayOf(value: ArrayValue, context: Parameters<DataType['output']>[1]): DataType {
  const element = context.catalog.type(value.elementType);
  return context.catalog.dataType(element?.typarray ?? 1009);
}

/** A born type whose behaviour is not built: every use says so, nothing is faked. */
export function unsupportedType(name: string): DataType {
  const refuse = (): never => {
    throw notSupported(`type ${name}`);
  };
  return { name, vector: 'any', input: refuse, output: refuse, receive: refuse, send: refuse, row: { width: 0, encode: refuse, decode: refuse } };
}
