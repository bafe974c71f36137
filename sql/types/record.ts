/**
 * Records: rows as values. A record's values cover the live columns of its row type, in order.
 * Anonymous records (type 2249) carry their column types with them.
 */
import { DatabaseError } from '../../engine/errors.js';
import type { Attribute, Catalog, PgType } from '../catalog/catalog.js';
import type { EvalContext } from '../functions/context.js';
import { equalityOf } from './array.js';
import type { DataType } from './data-type.js';
import type { Datum, RecordValue } from './datum.js';
import { decodeRowValue, encodeRowValue } from './row-value.js';
import { WireReader, WireWriter } from './wire-bytes.js';

export const RECORD_OID = 2249;

/** Columns of a composite type that exist. */
export function liveAttributes(type: PgType, catalog: Catalog): readonly Attribute[] {
  const relation = catalog.relation(type.typrelid);
  return relation ? relation.attributes.filter((attribute) => !attribute.attisdropped && attribute.attnum > 0) : [];
}

/** Splits "(a,"b c",)" into field texts, null for empty fields. */
function splitRecord(text: string): (string | null)[] {
  const malformed = (detail: string): DatabaseError => new DatabaseError('22P02', `malformed record literal: "${text}"`, { detail });
  let p = 0;
  while (/\s/.test(text[p] ?? '')) p++;
  if (text[p] !== '(') throw malformed('Missing left parenthesis.');
  p++;
  const fields: (string | null)[] = [];
  for (;;) {
    let value: string | null = null;
    let quoted = false;
    for (; quoted || (text[p] !== ',' && text[p] !== ')'); p++) {
      const c = text[p];
      if (c === undefined) throw malformed('Unexpected end of input.');
      value ??= '';
      if (c === '\\') {
        p++;
        if (text[p] === undefined) throw malformed('Unexpected end of input.');
        value += text[p]!;
      } else if (c === '"') {
        if (quoted && text[p + 1] === '"') {
          value += '"';
          p++;
        } else quoted = !quoted;
      } else value += c;
    }
    fields.push(value);
    if (text[p++] === ')') break;
  }
  while (/\s/.test(text[p] ?? '')) p++;
  if (p < text.length) throw malformed('Junk after right parenthesis.');
  return fields;
}

function printField(text: string): string {
  return text === '' || /["\\(),\s]/.test(text) ? `"${text.replace(/["\\]/g, '$&$&')}"` : text;
}

function compareRecords(left: RecordValue, right: RecordValue, catalog: Catalog): number {
  const count = Math.min(left.values.length, right.values.length);
  for (let i = 0; i < count; i++) {
    if (left.types[i] !== right.types[i]) throw columnMismatch(left.types[i]!, right.types[i]!, i, catalog);
    const a = left.values[i]!;
    const b = right.values[i]!;
    if (a === null || b === null) {
      if (a === b) continue;
      return a === null ? 1 : -1;
    }
    const { compare, name } = catalog.dataType(left.types[i]!);
    if (!compare) throw new DatabaseError('42883', `could not identify a comparison function for type ${name}`);
    const order = compare(a as never, b as never);
    if (order !== 0) return order;
  }
  if (left.values.length !== right.values.length) throw columnCount();
  return 0;
}

function equalRecords(left: RecordValue, right: RecordValue, catalog: Catalog): boolean {
  const count = Math.min(left.values.length, right.values.length);
  for (let i = 0; i < count; i++) {
    if (left.types[i] !== right.types[i]) throw columnMismatch(left.types[i]!, right.types[i]!, i, catalog);
    const a = left.values[i]!;
    const b = right.values[i]!;
    if (a === null || b === null) {
      if (a === b) continue;
      return false;
    }
    const type = catalog.dataType(left.types[i]!);
    const equal = equalityOf(type);
    if (!equal) throw new DatabaseError('42883', `could not identify an equality operator for type ${type.name}`);
    if (!equal(a as never, b as never)) return false;
  }
  if (left.values.length !== right.values.length) throw columnCount();
  return true;
}

function columnMismatch(left: number, right: number, index: number, catalog: Catalog): DatabaseError {
  const name = (oid: number): string => catalog.type(oid)?.typname ?? String(oid);
  return new DatabaseError('42804', `cannot compare dissimilar column types ${name(left)} and ${name(right)} at record column ${index + 1}`);
}

const columnCount = (): DatabaseError => new DatabaseError('42804', 'cannot compare record types with different numbers of columns');

function hashRecord(record: RecordValue, catalog: Catalog): string {
  return record.values.map((value, i) => {
    if (value === null) return 'n';
    const type = catalog.dataType(record.types[i]!);
    const text = String(type.hashKey ? type.hashKey(value as never) : value);
    return `${text.length}.${text}`;
  }).join('|');
}

/** `record` itself, or a composite type with known columns. */
export function recordType(type: PgType, catalog: Catalog): DataType {
  const anonymous = type.oid === RECORD_OID;
  const columns = (): readonly Attribute[] => liveAttributes(type, catalog);

  function input(text: string, context: EvalContext): RecordValue {
    const attributes = columns();
    const malformed = (detail: string): DatabaseError => new DatabaseError('22P02', `malformed record literal: "${text}"`, { detail });
    let fields = splitRecord(text);
    if (attributes.length === 0 && fields.length === 1 && fields[0] === null) fields = [];
    if (fields.length < attributes.length) throw malformed('Too few columns.');
    if (fields.length > attributes.length) throw malformed('Too many columns.');
    const values = attributes.map((attribute, i) => {
      const field = fields[i]!;
      return field === null ? null : context.catalog.dataType(attribute.atttypid).input(field, attribute.atttypmod, context);
    });
    return { typeOid: type.oid, types: attributes.map((attribute) => attribute.atttypid), values };
  }

  function receive(bytes: Uint8Array, context: EvalContext): RecordValue {
    const attributes = columns();
    const reader = new WireReader(bytes);
    const count = reader.int32();
    if (count !== attributes.length) throw new DatabaseError('42804', `wrong number of columns: ${count}, expected ${attributes.length}`);
    const values: Datum[] = [];
    for (const attribute of attributes) {
      const sent = reader.uint32();
      if (sent !== attribute.atttypid) {
        const name = (oid: number): string => context.catalog.type(oid)?.typname ?? '???';
        throw new DatabaseError('42804', `binary data has type ${sent} (${name(sent)}) instead of expected ${attribute.atttypid} (${name(attribute.atttypid)}) in record column ${values.length + 1}`);
      }
      const length = reader.int32();
      values.push(length === -1 ? null : context.catalog.dataType(sent).receive(reader.slice(length), attribute.atttypmod, context));
    }
    return { typeOid: type.oid, types: attributes.map((attribute) => attribute.atttypid), values };
  }

  return {
    name: type.typname,
    vector: 'any',
    input(text, _typmod, context) {
      if (anonymous) throw notSupportedInput();
      return input(text, context);
    },
    output(value, context) {
      const record = value as RecordValue;
      // A whole row has dropped columns too, of type 0: they are not shown.
      const fields = record.values.map((item, i) => (record.types[i] === 0 ? null : item === null ? '' : printField(context.catalog.dataType(record.types[i]!).output(item, context))));
      return `(${fields.filter((field) => field !== null).join(',')})`;
    },
    receive(bytes, _typmod, context) {
      if (anonymous) throw notSupportedInput();
      return receive(bytes, context);
    },
    send(value, context) {
      const record = value as RecordValue;
      const out = new WireWriter().int32(record.types.filter((oid) => oid !== 0).length);
      record.values.forEach((item, i) => {
        if (record.types[i] === 0) return;
        out.int32(record.types[i]!);
        if (item === null) out.int32(-1);
        else {
          const bytes = context.catalog.dataType(record.types[i]!).send(item, context);
          out.int32(bytes.length).bytes(bytes);
        }
      });
      return out.finish();
    },
    compare: (left: RecordValue, right: RecordValue) => compareRecords(left, right, catalog),
    equal: (left: RecordValue, right: RecordValue) => equalRecords(left, right, catalog),
    hashKey: (value: RecordValue) => hashRecord(value, catalog),
    row: {
      width: 0,
      encode(value: RecordValue) {
        const out = new WireWriter().int32(value.typeOid).int32(value.values.length);
        value.values.forEach((item, i) => {
          out.int32(value.types[i]!);
          if (item === null) out.int32(-1);
          else {
            const bytes = encodeRowValue(catalog.dataType(value.types[i]!), item);
            out.int32(bytes.length).bytes(bytes);
          }
        });
        return out.finish();
      },
      decode(bytes) {
        const reader = new WireReader(bytes);
        const typeOid = reader.uint32();
        const types: number[] = [];
        const values: Datum[] = [];
        for (let count = reader.int32(); count > 0; count--) {
          const oid = reader.uint32();
          types.push(oid);
          const length = reader.int32();
          values.push(length === -1 ? null : decodeRowValue(catalog.dataType(oid), reader.slice(length)));
        }
        return { typeOid, types, values };
      },
    },
  };
}

function notSupportedInput(): DatabaseError {
  return new DatabaseError('0A000', 'input of anonymous composite types is not implemented');
}

