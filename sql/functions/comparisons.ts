/** Comparison operators of the types whose order is their whole arithmetic: text family, bytea, bool, identifiers, uuid, enums, arrays, records, jsonb. */
import { DatabaseError } from '../../engine/errors.js';
import type { ArrayValue, Int8 } from '../types/datum.js';
import { byteaType } from '../types/bytea.js';
import { compareJsonb } from '../types/jsonb.js';
import { trimBlanks } from '../types/text.js';
import { compareText } from '../types/utf8.js';
import { binary, comparisons, f, fb } from './define.js';
import type { FunctionCall, SqlFunction } from './function.js';

const compareValues = (a: Int8 | string | boolean, b: Int8 | string | boolean): number => (a < b ? -1 : a > b ? 1 : 0);
const compareBpchar = (a: string, b: string): number => compareText(trimBlanks(a), trimBlanks(b));
const larger = <T>(compare: (a: T, b: T) => number) => (a: T, b: T): T => (compare(a, b) > 0 ? a : b);
const smaller = <T>(compare: (a: T, b: T) => number) => (a: T, b: T): T => (compare(a, b) < 0 ? a : b);

function textFunctions(): SqlFunction[] {
  const equal = (a: string, b: string): boolean => a === b;
  const notEqual = (a: string, b: string): boolean => a !== b;
  const order = (operator: '<' | '<=' | '>' | '>='): ((args: readonly string[]) => string) => ([a, b]) => `(compareText(${a}, ${b}) ${operator} 0)`;
  const lt = (a: string, b: string): boolean => compareText(a, b) < 0;
  const le = (a: string, b: string): boolean => compareText(a, b) <= 0;
  const gt = (a: string, b: string): boolean => compareText(a, b) > 0;
  const ge = (a: string, b: string): boolean => compareText(a, b) >= 0;
  const sign = (a: string, b: string): number => Math.sign(compareText(a, b));
  const out: SqlFunction[] = [
    f('texteq(text,text)', equal, binary('===')),
    f('textne(text,text)', notEqual, binary('!==')),
    f(['text_lt(text,text)', 'text_pattern_lt(text,text)'], lt, order('<')),
    f(['text_le(text,text)', 'text_pattern_le(text,text)'], le, order('<=')),
    f(['text_gt(text,text)', 'text_pattern_gt(text,text)'], gt, order('>')),
    f(['text_ge(text,text)', 'text_pattern_ge(text,text)'], ge, order('>=')),
    f(['bttextcmp(text,text)', 'bttext_pattern_cmp(text,text)'], sign),
    f('text_larger(text,text)', larger(compareText)),
    f('text_smaller(text,text)', smaller(compareText)),
    f('starts_with(text,text)', (a: string, b: string) => a.startsWith(b)),
  ];
  for (const [left, right, mixed] of [['name', 'name', 'name'], ['name', 'text', 'name?text'], ['text', 'name', 'text?name']] as const) {
    const types = `(${left},${right})`;
    const name = (operation: string): string => mixed.replace('?', operation) + (mixed.includes('?') ? '' : operation);
    out.push(
      f(`${name('eq')}${types}`, equal, binary('===')),
      f(`${name('ne')}${types}`, notEqual, binary('!==')),
      f(`${name('lt')}${types}`, lt, order('<')),
      f(`${name('le')}${types}`, le, order('<=')),
      f(`${name('gt')}${types}`, gt, order('>')),
      f(`${name('ge')}${types}`, ge, order('>=')),
      f(`bt${left === 'name' && right === 'name' ? 'name' : left + right}cmp${types}`, sign),
    );
  }
  out.push(
    ...comparisons('bpchar,bpchar', (operation) => `bpchar${operation}`, compareBpchar, { cmp: 'bpcharcmp' }),
    ...comparisons('bpchar,bpchar', (operation) => `bpchar_pattern_${operation}`, compareBpchar, { cmp: 'btbpchar_pattern_cmp' }).filter((fn) => !/_(eq|ne)\(/.test(String(fn.signature))),
    f('bpchar_larger(bpchar,bpchar)', larger(compareBpchar)),
    f('bpchar_smaller(bpchar,bpchar)', smaller(compareBpchar)),
  );
  return out;
}

function compareChar(a: string, b: string): number {
  return (a === '' ? 0 : a.charCodeAt(0)) - (b === '' ? 0 : b.charCodeAt(0));
}

const compareOidVectors = (a: ArrayValue, b: ArrayValue): number => {
  if (a.elements.length !== b.elements.length) return a.elements.length - b.elements.length;
  for (let i = 0; i < a.elements.length; i++) {
    const order = (a.elements[i] as number) - (b.elements[i] as number);
    if (order !== 0) return order;
  }
  return 0;
};

/** The comparison of the call's first argument type; 42883 when it has none. */
function typeComparison(call: FunctionCall): (a: never, b: never) => number {
  const type = call.type(call.argTypes[0]!);
  if (!type.compare) throw new DatabaseError('42883', `could not identify a comparison function for type ${type.name}`);
  return type.compare as (a: never, b: never) => number;
}

function typeEquality(call: FunctionCall): (a: never, b: never) => boolean {
  const type = call.type(call.argTypes[0]!);
  if (type.equal) return type.equal as (a: never, b: never) => boolean;
  const compare = typeComparison(call);
  return (a, b) => compare(a, b) === 0;
}

/** Polymorphic comparisons: bound to the actual type's own order. */
function derived(types: string, name: (operation: string) => string, cmp: string | undefined): SqlFunction[] {
  const test = (holds: (order: number) => boolean) => (call: FunctionCall) => {
    const compare = typeComparison(call);
    return (a: never, b: never): boolean => holds(compare(a, b));
  };
  const out: SqlFunction[] = [
    fb(`${name('eq')}(${types})`, typeEquality),
    fb(`${name('ne')}(${types})`, (call) => {
      const equal = typeEquality(call);
      return (a: never, b: never) => !equal(a, b);
    }),
    fb(`${name('lt')}(${types})`, test((order) => order < 0)),
    fb(`${name('le')}(${types})`, test((order) => order <= 0)),
    fb(`${name('gt')}(${types})`, test((order) => order > 0)),
    fb(`${name('ge')}(${types})`, test((order) => order >= 0)),
  ];
  if (cmp) out.push(fb(`${cmp}(${types})`, (call) => {
    const compare = typeComparison(call);
    return (a: never, b: never) => Math.sign(compare(a, b));
  }));
  return out;
}

function pick(signature: string, greater: boolean): SqlFunction {
  return fb(signature, (call) => {
    const compare = typeComparison(call);
    return (a: never, b: never) => (greater === compare(a, b) > 0 ? a : b);
  });
}

const primitive = (type: string, name: (operation: string) => string, cmp?: string): SqlFunction[] =>
  comparisons(`${type},${type}`, name, compareValues, cmp ? { cmp, primitive: true } : { primitive: true });

export const comparisonFunctions: readonly SqlFunction[] = [
  ...textFunctions(),
  ...comparisons('bytea,bytea', (operation) => `bytea${operation}`, byteaType.compare as (a: never, b: never) => number, { cmp: 'byteacmp' }),
  ...primitive('bool', (operation) => `bool${operation}`, 'btboolcmp'),
  ...comparisons('char,char', (operation) => `char${operation}`, compareChar, { cmp: 'btcharcmp' }),
  ...primitive('oid', (operation) => `oid${operation}`, 'btoidcmp'),
  f('oidlarger(oid,oid)', larger<number>(compareValues)),
  f('oidsmaller(oid,oid)', smaller<number>(compareValues)),
  ...primitive('tid', (operation) => `tid${operation}`, 'bttidcmp'),
  f('tidlarger(tid,tid)', larger<number>(compareValues)),
  f('tidsmaller(tid,tid)', smaller<number>(compareValues)),
  f(['xideq(xid,xid)', 'xideqint4(xid,int4)', 'cideq(cid,cid)'], (a: number, b: number) => a === b, binary('===')),
  f(['xidneq(xid,xid)', 'xidneqint4(xid,int4)'], (a: number, b: number) => a !== b, binary('!==')),
  ...primitive('xid8', (operation) => `xid8${operation}`, 'xid8cmp'),
  f('xid8_larger(xid8,xid8)', larger<Int8>(compareValues)),
  f('xid8_smaller(xid8,xid8)', smaller<Int8>(compareValues)),
  ...primitive('pg_lsn', (operation) => `pg_lsn_${operation}`, 'pg_lsn_cmp'),
  f('pg_lsn_larger(pg_lsn,pg_lsn)', larger<Int8>(compareValues)),
  f('pg_lsn_smaller(pg_lsn,pg_lsn)', smaller<Int8>(compareValues)),
  ...primitive('uuid', (operation) => `uuid_${operation}`, 'uuid_cmp'),
  ...comparisons('oidvector,oidvector', (operation) => `oidvector${operation}`, compareOidVectors, { cmp: 'btoidvectorcmp' }),
  ...comparisons('jsonb,jsonb', (operation) => `jsonb_${operation}`, compareJsonb, { cmp: 'jsonb_cmp' }),
  ...derived('anyenum,anyenum', (operation) => `enum_${operation}`, 'enum_cmp'),
  pick('enum_larger(anyenum,anyenum)', true),
  pick('enum_smaller(anyenum,anyenum)', false),
  ...derived('anyarray,anyarray', (operation) => `array_${operation}`, 'btarraycmp'),
  pick('array_larger(anyarray,anyarray)', true),
  pick('array_smaller(anyarray,anyarray)', false),
  ...derived('record,record', (operation) => `record_${operation}`, 'btrecordcmp'),
  ...derived('record,record', (operation) => `record_image_${operation}`, 'btrecordimagecmp'),
  f('booland_statefunc(bool,bool)', (a: boolean, b: boolean) => a && b),
  f('boolor_statefunc(bool,bool)', (a: boolean, b: boolean) => a || b),
];
