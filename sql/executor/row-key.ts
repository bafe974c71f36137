/**
 * Keys for hash tables: one primitive per row such that rows equal in all key columns (NULLs being
 * equal to each other) have the same key.
 */
import type { DataType } from '../types/data-type.js';
import type { Datum } from '../types/datum.js';
import { hashKeyOf } from './expressions/arrays.js';
import type { Frame, Scalar } from './expressions/frame.js';

export type RowKey = (frame: Frame) => unknown;
export type ValuesKey = (values: readonly Datum[]) => unknown;

function part(key: unknown): string {
  if (key === null) return 'N';
  const text = typeof key === 'string' ? key : String(key);
  return `${typeof key === 'string' ? 's' : typeof key === 'boolean' ? 'b' : 'n'}${text.length}:${text}`;
}

/** Key of the frame's row over these expressions. */
export function rowKey(scalars: readonly Scalar[], types: readonly DataType[]): RowKey {
  const keys = types.map(hashKeyOf);
  if (scalars.length === 1) {
    const [scalar] = scalars as [Scalar];
    const [key] = keys as [(value: Datum) => unknown];
    return (frame) => {
      const value = scalar(frame);
      return value === null ? null : key(value);
    };
  }
  return (frame) => {
    let text = '';
    for (let i = 0; i < scalars.length; i++) {
      const value = scalars[i]!(frame);
      text += part(value === null ? null : keys[i]!(value));
    }
    return text;
  };
}

/** As rowKey, but undefined when a key column is NULL (join keys never match then). */
export function joinKey(scalars: readonly Scalar[], types: readonly DataType[]): RowKey {
  const keys = types.map(hashKeyOf);
  if (scalars.length === 1) {
    const [scalar] = scalars as [Scalar];
    const [key] = keys as [(value: Datum) => unknown];
    return (frame) => {
      const value = scalar(frame);
      return value === null ? undefined : key(value);
    };
  }
  return (frame) => {
    let text = '';
    for (let i = 0; i < scalars.length; i++) {
      const value = scalars[i]!(frame);
      if (value === null) return undefined;
      text += part(keys[i]!(value));
    }
    return text;
  };
}

export function valuesKey(types: readonly DataType[]): ValuesKey {
  const keys = types.map(hashKeyOf);
  if (types.length === 1) {
    const [key] = keys as [(value: Datum) => unknown];
    return (values) => (values[0] === null ? null : key(values[0]!));
  }
  return (values) => {
    let text = '';
    for (let i = 0; i < keys.length; i++) text += part(values[i] === null ? null : keys[i]!(values[i]!));
    return text;
  };
}
