/** Enums: the datum is the OID of the label's pg_enum row; order is by sort position. */
import { DatabaseError } from '../../engine/errors.js';
import type { Catalog, PgType } from '../catalog/catalog.js';
import type { DataType } from './data-type.js';
import { uint32Row } from './integer.js';
import { decodeUtf8Checked, encodeUtf8 } from './utf8.js';

export function enumType(type: PgType, catalog: Catalog): DataType {
  let positions: Map<number, number> | undefined;
  const position = (oid: number): number => {
    if (!positions?.has(oid)) positions = new Map(catalog.enumLabels(type.oid).map((label) => [label.oid, label.sortOrder]));
    return positions.get(oid) ?? 0;
  };
  const byLabel = (text: string, labels: Catalog): number => {
    const found = labels.enumLabels(type.oid).find(({ label }) => label === text);
    if (!found) throw new DatabaseError('22P02', `invalid input value for enum ${type.typname}: "${text}"`);
    return found.oid;
  };
  const labelOf = (oid: number, labels: Catalog): string => {
    const found = labels.enumLabels(type.oid).find((label) => label.oid === oid);
    if (!found) throw new DatabaseError('22P03', `invalid internal value for enum: ${oid}`);
    return found.label;
  };
  return {
    name: type.typname,
    vector: 'float64',
    input: (text, _typmod, context) => byLabel(text, context.catalog),
    output: (value, context) => labelOf(value as number, context.catalog),
    receive: (bytes, _typmod, context) => byLabel(decodeUtf8Checked(bytes), context.catalog),
    send: (value, context) => encodeUtf8(labelOf(value as number, context.catalog)),
    compare: (left: number, right: number) => (left === right ? 0 : position(left) - position(right)),
    equal: (left: number, right: number) => left === right,
    key: {
      lossless: true,
      encode(value: number, out) {
        out.float64(position(value));
        out.int32(value | 0);
      },
      decode(source) {
        source.float64();
        return source.int32() >>> 0;
      },
    },
    row: uint32Row,
  };
}
