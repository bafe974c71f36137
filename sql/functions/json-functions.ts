/** json and jsonb: accessors, construction, expansion to rows, containment and editing. */
import { DatabaseError } from '../../engine/errors.js';
import { makeArray } from '../types/array.js';
import type { ArrayValue, Datum, RecordValue } from '../types/datum.js';
import { parseJsonTree, quoteJson, type JsonNode } from '../types/json.js';
import { Jsonb, JsonbObject, equalJsonbNodes, isJsonbArray, makeJsonbObject, parseJsonb, prettyJsonb, printJsonbNode, type JsonbNode } from '../types/jsonb.js';
import { Numeric } from '../types/numeric.js';
import { RECORD_OID, liveAttributes } from '../types/record.js';
import type { EvalContext } from './context.js';
import { f, fbc, fc, set, setbc } from './define.js';
import type { FunctionCall, SqlFunction } from './function.js';
import { arrayToJsonText, datumToJsonText, datumToJsonb, jsonKeyText, recordToJsonText } from './json-convert.js';

// ---- accessors of json, by text slices ---------------------------------------------------------

function lastIndexOfKey(node: JsonNode, key: string): number {
  return node.keys ? node.keys.lastIndexOf(key) : -1;
}

function field(node: JsonNode, key: string): JsonNode | undefined {
  const at = lastIndexOfKey(node, key);
  return at < 0 ? undefined : node.children![at];
}

function element(node: JsonNode, index: number): JsonNode | undefined {
  if (node.kind !== 'array') return undefined;
  return node.children![index < 0 ? node.children!.length + index : index];
}

const slice = (text: string, node: JsonNode | undefined): string | null => (node ? text.slice(node.start, node.end) : null);

/** ->> : strings unquoted, JSON null as NULL. */
function asText(text: string, node: JsonNode | undefined): string | null {
  if (!node || node.kind === 'null') return null;
  return node.kind === 'string' ? node.text! : text.slice(node.start, node.end);
}

function parseIndex(step: string): number | undefined {
  return /^\s*[+-]?\d+$/.test(step) ? Number(step) : undefined;
}

/** Steps of a path argument; undefined when one is NULL. */
function steps(path: ArrayValue): string[] | undefined {
  return path.elements.includes(null) ? undefined : (path.elements as string[]);
}

function followJson(text: string, path: ArrayValue): JsonNode | undefined {
  const list = steps(path);
  if (!list) return undefined;
  let node: JsonNode | undefined = parseJsonTree(text);
  for (const step of list) {
    if (!node) return undefined;
    if (node.kind === 'object') node = field(node, step);
    else {
      const index = parseIndex(step);
      node = index === undefined ? undefined : element(node, index);
    }
  }
  return node;
}

// ---- accessors of jsonb ------------------------------------------------------------------------

function child(node: JsonbNode, key: string): JsonbNode | undefined {
  return node instanceof JsonbObject ? node.get(key) : undefined;
}

function item(node: JsonbNode, index: number): JsonbNode | undefined {
  return isJsonbArray(node) ? node[index < 0 ? node.length + index : index] : undefined;
}

const wrap = (node: JsonbNode | undefined): Jsonb | null => (node === undefined ? null : new Jsonb(node));

export function jsonbText(node: JsonbNode | undefined): string | null {
  if (node === undefined || node === null) return null;
  return typeof node === 'string' ? node : printJsonbNode(node);
}

function followJsonb(value: Jsonb, path: ArrayValue): JsonbNode | undefined {
  const list = steps(path);
  if (!list) return undefined;
  let node: JsonbNode | undefined = value.value;
  for (const step of list) {
    if (node === undefined) return undefined;
    if (node instanceof JsonbObject) node = node.get(step);
    else {
      const index = parseIndex(step);
      node = index === undefined ? undefined : item(node, index);
    }
  }
  return node;
}

// ---- containment -------------------------------------------------------------------------------

function isScalar(node: JsonbNode): boolean {
  return !(node instanceof JsonbObject) && !isJsonbArray(node);
}

function containsNode(outer: JsonbNode, inner: JsonbNode, top: boolean): boolean {
  if (inner instanceof JsonbObject) {
    if (!(outer instanceof JsonbObject)) return false;
    return inner.keys.every((key, i) => {
      const mine = outer.get(key);
      return mine !== undefined && containsNode(mine, inner.values[i]!, false);
    });
  }
  if (isJsonbArray(inner)) {
    if (!isJsonbArray(outer)) return false;
    return inner.every((wanted) => (isScalar(wanted) ? outer.some((mine) => isScalar(mine) && equalJsonbNodes(mine, wanted)) : outer.some((mine) => containsNode(mine, wanted, false))));
  }
  // As a special exception an array contains a scalar at top level.
  if (top && isJsonbArray(outer)) return outer.some((mine) => isScalar(mine) && equalJsonbNodes(mine, inner));
  return isScalar(outer) && equalJsonbNodes(outer, inner);
}

/** The ? operator: a key of an object, a string of an array, or the string itself. */
function exists(node: JsonbNode, key: string): boolean {
  if (node instanceof JsonbObject) return node.indexOf(key) >= 0;
  if (isJsonbArray(node)) return node.includes(key);
  return node === key;
}

// ---- editing -----------------------------------------------------------------------------------

function concatenate(a: JsonbNode, b: JsonbNode): JsonbNode {
  if (a instanceof JsonbObject && b instanceof JsonbObject) return makeJsonbObject([...a.keys, ...b.keys], [...a.values, ...b.values]);
  const list = (node: JsonbNode): readonly JsonbNode[] => (isJsonbArray(node) ? node : [node]);
  return [...list(a), ...list(b)];
}

function deleteKeys(node: JsonbNode, keys: ReadonlySet<string>): JsonbNode {
  if (isScalar(node)) throw new DatabaseError('22023', 'cannot delete from scalar');
  if (isJsonbArray(node)) return node.filter((value) => typeof value !== 'string' || !keys.has(value));
  const object = node as JsonbObject;
  const keep = object.keys.map((key) => !keys.has(key));
  return new JsonbObject(object.keys.filter((_, i) => keep[i]), object.values.filter((_, i) => keep[i]));
}

function deleteIndex(node: JsonbNode, index: number): JsonbNode {
  if (isScalar(node)) throw new DatabaseError('22023', 'cannot delete from scalar');
  if (!isJsonbArray(node)) throw new DatabaseError('22023', 'cannot delete from object using integer index');
  const at = index < 0 ? node.length + index : index;
  return at < 0 || at >= node.length ? node : node.filter((_, i) => i !== at);
}

interface Edit {
  /** undefined deletes. */
  readonly value: JsonbNode | undefined;
  readonly create: boolean;
  readonly insert?: 'before' | 'after';
}

function pathIndex(step: string, level: number): number {
  const index = parseIndex(step);
  if (index === undefined || Math.abs(index) > 2147483647) throw new DatabaseError('22P02', `path element at position ${level + 1} is not an integer: "${step}"`);
  return index;
}

/** setPath: applies an edit at `path` below `node`. */
function editPath(node: JsonbNode, path: readonly string[], level: number, edit: Edit): JsonbNode {
  const step = path[level]!;
  const last = level === path.length - 1;
  if (node instanceof JsonbObject) {
    const at = node.indexOf(step);
    if (at < 0) {
      if (!last || edit.value === undefined || !(edit.create || edit.insert)) return node;
      return makeJsonbObject([...node.keys, step], [...node.values, edit.value]);
    }
    if (!last) return new JsonbObject(node.keys, node.values.map((value, i) => (i === at ? editPath(value, path, level + 1, edit) : value)));
    if (edit.insert) throw new DatabaseError('22023', 'cannot replace existing key', { hint: 'Try using the function jsonb_set to replace key value.' });
    if (edit.value === undefined) return new JsonbObject(node.keys.filter((_, i) => i !== at), node.values.filter((_, i) => i !== at));
    return new JsonbObject(node.keys, node.values.map((value, i) => (i === at ? edit.value! : value)));
  }
  if (isJsonbArray(node)) {
    const given = pathIndex(step, level);
    const at = given < 0 ? node.length + given : given;
    if (at < 0 || at >= node.length) {
      if (!last || edit.value === undefined || !(edit.create || edit.insert)) return node;
      return at < 0 ? [edit.value, ...node] : [...node, edit.value];
    }
    if (!last) return node.map((value, i) => (i === at ? editPath(value, path, level + 1, edit) : value));
    const out = [...node];
    if (edit.insert) out.splice(edit.insert === 'after' ? at + 1 : at, 0, edit.value!);
    else if (edit.value === undefined) out.splice(at, 1);
    else out[at] = edit.value;
    return out;
  }
  return node;
}

function pathOf(path: ArrayValue): string[] {
  if (path.dimensions.length > 1) throw new DatabaseError('2202E', 'wrong number of array subscripts');
  path.elements.forEach((step, i) => {
    if (step === null) throw new DatabaseError('22004', `path element at position ${i + 1} is null`);
  });
  return path.elements as string[];
}

function jsonbSet(target: Jsonb, path: ArrayValue, value: Jsonb, create = true): Jsonb {
  if (isScalar(target.value)) throw new DatabaseError('22023', 'cannot set path in scalar');
  const list = pathOf(path);
  if (list.length === 0) return target;
  return new Jsonb(editPath(target.value, list, 0, { value: value.value, create }));
}

function deletePath(target: Jsonb, path: ArrayValue): Jsonb {
  if (isScalar(target.value)) throw new DatabaseError('22023', 'cannot delete path in scalar');
  const list = pathOf(path);
  return list.length === 0 ? target : new Jsonb(editPath(target.value, list, 0, { value: undefined, create: false }));
}

function jsonbInsert(target: Jsonb, path: ArrayValue, value: Jsonb, after = false): Jsonb {
  if (isScalar(target.value)) throw new DatabaseError('22023', 'cannot set path in scalar');
  const list = pathOf(path);
  return list.length === 0 ? target : new Jsonb(editPath(target.value, list, 0, { value: value.value, create: true, insert: after ? 'after' : 'before' }));
}

function jsonbSetLax(target: Jsonb | null, path: ArrayValue | null, value: Jsonb | null, create: boolean | null, treatment: string | null): Jsonb | null {
  if (target === null || path === null || create === null) return null;
  if (treatment === null) throw new DatabaseError('22023', 'null_value_treatment must be "delete_key", "return_target", "use_json_null", or "raise_exception"');
  if (value !== null) return jsonbSet(target, path, value, create);
  switch (treatment) {
    case 'raise_exception': throw new DatabaseError('22004', 'JSON value must not be null', { detail: 'Exception was raised because null_value_treatment is "raise_exception".', hint: 'To avoid, either change the null_value_treatment argument or ensure that an SQL NULL is not passed.' });
    case 'use_json_null': return jsonbSet(target, path, new Jsonb(null), create);
    case 'delete_key': return deletePath(target, path);
    case 'return_target': return target;
    default: throw new DatabaseError('22023', 'null_value_treatment must be "delete_key", "return_target", "use_json_null", or "raise_exception"');
  }
}

function stripNulls(node: JsonbNode): JsonbNode {
  if (isJsonbArray(node)) return node.map(stripNulls);
  if (!(node instanceof JsonbObject)) return node;
  const keep = node.values.map((value) => value !== null);
  return new JsonbObject(node.keys.filter((_, i) => keep[i]), node.values.filter((_, i) => keep[i]).map(stripNulls));
}

function stripJsonNulls(text: string, node: JsonNode): string {
  if (node.kind === 'array') return `[${node.children!.map((value) => stripJsonNulls(text, value)).join(',')}]`;
  if (node.kind !== 'object') return text.slice(node.start, node.end);
  return `{${node.children!.map((value, i) => (value.kind === 'null' ? undefined : `${quoteJson(node.keys![i]!)}:${stripJsonNulls(text, value)}`)).filter((part) => part !== undefined).join(',')}}`;
}

function jsonbTypeName(node: JsonbNode): string {
  if (node === null) return 'null';
  if (typeof node === 'string') return 'string';
  if (typeof node === 'boolean') return 'boolean';
  if (node instanceof Numeric) return 'number';
  return node instanceof JsonbObject ? 'object' : 'array';
}

// ---- construction ------------------------------------------------------------------------------

/** Values and their types of a variadic "any" call. */
function variadic(call: FunctionCall): (args: readonly Datum[], context: EvalContext) => { values: readonly Datum[]; types: readonly number[] } | null {
  if (!call.variadicArray) return (args) => ({ values: args, types: call.argTypes });
  return (args) => {
    const array = args[0] as ArrayValue | null;
    return array && { values: array.elements, types: array.elements.map(() => array.elementType) };
  };
}

const split = (args: unknown[]): [Datum[], EvalContext] => [args.slice(0, -1) as Datum[], args[args.length - 1] as EvalContext];

function buildObject(binary: boolean): SqlFunction {
  return fbc(`${binary ? 'jsonb' : 'json'}_build_object(any)`, (call) => {
    const list = variadic(call);
    return (...all: unknown[]) => {
      const [args, context] = split(all);
      const given = list(args, context);
      if (!given) return null;
      const { values, types } = given;
      if (values.length % 2 !== 0) {
        const name = binary ? 'jsonb_build_object' : 'json_build_object';
        throw new DatabaseError('22023', 'argument list must have even number of elements', { hint: `The arguments of ${name}() must consist of alternating keys and values.` });
      }
      const keys: string[] = [];
      for (let i = 0; i < values.length; i += 2) {
        if (values[i] === null) throw binary ? new DatabaseError('22023', `argument ${i + 1}: key must not be null`) : new DatabaseError('22004', 'null value not allowed for object key');
        keys.push(jsonKeyText(values[i]!, types[i]!, context));
      }
      if (binary) return new Jsonb(makeJsonbObject(keys, keys.map((_, i) => datumToJsonb(values[2 * i + 1]!, types[2 * i + 1]!, context))));
      return `{${keys.map((key, i) => `${quoteJson(key)} : ${datumToJsonText(values[2 * i + 1]!, types[2 * i + 1]!, context)}`).join(', ')}}`;
    };
  });
}

function buildArray(binary: boolean): SqlFunction {
  return fbc(`${binary ? 'jsonb' : 'json'}_build_array(any)`, (call) => {
    const list = variadic(call);
    return (...all: unknown[]) => {
      const [args, context] = split(all);
      const given = list(args, context);
      if (!given) return null;
      if (binary) return new Jsonb(given.values.map((value, i) => datumToJsonb(value, given.types[i]!, context)));
      return `[${given.values.map((value, i) => datumToJsonText(value, given.types[i]!, context)).join(', ')}]`;
    };
  });
}

/** json_object(text[]): pairs, or a two-column array. */
function objectPairs(array: ArrayValue): { keys: string[]; values: (string | null)[] } {
  if (array.dimensions.length > 2) throw new DatabaseError('2202E', 'wrong number of array subscripts');
  if (array.dimensions.length === 1 && array.elements.length % 2 !== 0) throw new DatabaseError('2202E', 'array must have even number of elements');
  if (array.dimensions.length === 2 && array.dimensions[1] !== 2) throw new DatabaseError('2202E', 'array must have two columns');
  const keys: string[] = [];
  const values: (string | null)[] = [];
  for (let i = 0; i < array.elements.length; i += 2) {
    if (array.elements[i] === null) throw new DatabaseError('22004', 'null value not allowed for object key');
    keys.push(array.elements[i] as string);
    values.push(array.elements[i + 1] as string | null);
  }
  return { keys, values };
}

function objectFromTwo(keyArray: ArrayValue, valueArray: ArrayValue): { keys: string[]; values: (string | null)[] } {
  if (keyArray.dimensions.length > 1 || keyArray.dimensions.length !== valueArray.dimensions.length) throw new DatabaseError('2202E', 'wrong number of array subscripts');
  if (keyArray.elements.length !== valueArray.elements.length) throw new DatabaseError('2202E', 'mismatched array dimensions');
  if (keyArray.elements.includes(null)) throw new DatabaseError('22004', 'null value not allowed for object key');
  return { keys: keyArray.elements as string[], values: valueArray.elements as (string | null)[] };
}

const pairsText = ({ keys, values }: { keys: string[]; values: (string | null)[] }): string =>
  `{${keys.map((key, i) => `${quoteJson(key)} : ${values[i] === null ? 'null' : quoteJson(values[i]!)}`).join(', ')}}`;

// ---- expansion to rows ---------------------------------------------------------------------------

function requireObject(kind: string, name: string): void {
  if (kind === 'array') throw new DatabaseError('22023', name.endsWith('object_keys') ? `cannot call ${name} on an array` : `cannot call ${name} on a non-object`);
  if (kind !== 'object') throw new DatabaseError('22023', name.endsWith('object_keys') ? `cannot call ${name} on a scalar` : `cannot call ${name} on a non-object`);
}

function jsonObject(text: string, name: string): JsonNode {
  const node = parseJsonTree(text);
  if (node.kind !== 'object') {
    if (name === 'json_object_keys') throw new DatabaseError('22023', `cannot call ${name} on ${node.kind === 'array' ? 'an array' : 'a scalar'}`);
    throw new DatabaseError('22023', `cannot deconstruct ${node.kind === 'array' ? 'an array as an object' : 'a scalar'}`);
  }
  return node;
}

function jsonArray(text: string, name: string): readonly JsonNode[] {
  const node = parseJsonTree(text);
  if (node.kind === 'object') throw new DatabaseError('22023', `cannot call ${name} on a non-array`);
  if (node.kind !== 'array') throw new DatabaseError('22023', `cannot call ${name} on a scalar`);
  return node.children!;
}

function jsonbObject(value: Jsonb, name: string): JsonbObject {
  requireObject(jsonbTypeName(value.value), name);
  return value.value as JsonbObject;
}

function jsonbArray(value: Jsonb): readonly JsonbNode[] {
  const { value: node } = value;
  if (node instanceof JsonbObject) throw new DatabaseError('22023', 'cannot extract elements from an object');
  if (!isJsonbArray(node)) throw new DatabaseError('22023', 'cannot extract elements from a scalar');
  return node;
}

// ---- populate_record -----------------------------------------------------------------------------

/** A JSON value of either type, as what is wanted of it: kind, text, jsonb node, children. */
interface Source {
  readonly kind: string;
  /** As ->> gives it. */
  readonly text: string | null;
  /** JSON text of the value itself. */
  json(): string;
  node(): JsonbNode;
  field(key: string): Source | undefined;
  items(): readonly Source[];
}

function jsonSource(text: string, node: JsonNode): Source {
  return {
    kind: node.kind,
    text: asText(text, node),
    json: () => text.slice(node.start, node.end),
    node: () => parseJsonb(text.slice(node.start, node.end)).value,
    field(key) {
      const found = field(node, key);
      return found && jsonSource(text, found);
    },
    items: () => (node.children ?? []).map((part) => jsonSource(text, part)),
  };
}

function jsonbSource(node: JsonbNode): Source {
  return {
    kind: jsonbTypeName(node),
    text: jsonbText(node),
    json: () => printJsonbNode(node),
    node: () => node,
    field(key) {
      const found = child(node, key);
      return found === undefined ? undefined : jsonbSource(found);
    },
    items: () => (isJsonbArray(node) ? node.map(jsonbSource) : []),
  };
}

/** populate_record_field: a JSON value as a datum of any type. */
function populate(source: Source | undefined, typeOid: number, typmod: number, fallback: Datum, context: EvalContext): Datum {
  if (!source) return fallback;
  if (source.kind === 'null') return null;
  const type = context.catalog.type(typeOid);
  if (typeOid === 114) return source.json();
  if (typeOid === 3802) return new Jsonb(source.node());
  if (type?.typtype === 'c') {
    if (source.kind === 'string') return context.catalog.dataType(typeOid).input(source.text!, typmod, context);
    return populateComposite(source, typeOid, null, context);
  }
  if (type && type.typelem !== 0 && type.typlen === -1) {
    if (source.kind === 'string') return context.catalog.dataType(typeOid).input(source.text!, typmod, context);
    return populateArray(source, type.typelem, typmod, context);
  }
  const text = source.kind === 'string' ? source.text! : source.kind === 'object' || source.kind === 'array' ? source.json() : source.text!;
  return context.catalog.dataType(typeOid).input(text, typmod, context);
}

function populateArray(source: Source, elementType: number, typmod: number, context: EvalContext): ArrayValue {
  if (source.kind !== 'array') throw new DatabaseError('22P02', 'expected JSON array');
  const elements: Datum[] = [];
  const dimensions: number[] = [];
  const elementIsJson = elementType === 114 || elementType === 3802;
  const level = (part: Source, depth: number): void => {
    const items = part.items();
    if (dimensions[depth] === undefined) dimensions[depth] = items.length;
    else if (dimensions[depth] !== items.length) throw new DatabaseError('22P02', 'malformed JSON array', { detail: 'Multidimensional arrays must have sub-arrays with matching dimensions.' });
    for (const value of items) {
      if (value.kind === 'array' && !elementIsJson && (elements.length === 0 || dimensions.length > depth + 1)) level(value, depth + 1);
      else {
        if (dimensions.length > depth + 1) throw new DatabaseError('22P02', 'expected JSON array');
        elements.push(populate(value, elementType, typmod, null, context));
      }
    }
  };
  level(source, 0);
  if (elements.length === 0) return makeArray(elementType, []);
  return { elementType, dimensions, lowerBounds: dimensions.map(() => 1), elements };
}

function populateComposite(source: Source, typeOid: number, base: RecordValue | null, context: EvalContext): RecordValue {
  if (source.kind !== 'object') throw new DatabaseError('22023', source.kind === 'array' ? 'cannot call populate_composite on an array' : 'cannot call populate_composite on a scalar');
  const type = context.catalog.type(typeOid)!;
  const attributes = liveAttributes(type, context.catalog);
  return {
    typeOid,
    types: attributes.map((attribute) => attribute.atttypid),
    values: attributes.map((attribute, i) => populate(source.field(attribute.attname), attribute.atttypid, attribute.atttypmod, base?.values[i] ?? null, context)),
  };
}

function populateByDefinition(source: Source, call: FunctionCall, context: EvalContext): RecordValue {
  const { columns } = call;
  if (!columns) throw new DatabaseError('0A000', 'could not determine row type for result of this function', { hint: 'Provide a non-null record argument, or call the function in the FROM clause using a column definition list.' });
  if (source.kind !== 'object') throw new DatabaseError('22023', source.kind === 'array' ? 'cannot call populate_composite on an array' : 'cannot call populate_composite on a scalar');
  return {
    typeOid: RECORD_OID,
    types: columns.map((column) => column.typeOid),
    values: columns.map((column) => populate(source.field(column.name), column.typeOid, column.typmod, null, context)),
  };
}

function recordFor(source: Source, base: RecordValue | null, call: FunctionCall, context: EvalContext): RecordValue {
  const typeOid = call.argTypes[0]!;
  const type = context.catalog.type(typeOid);
  if (type?.typtype === 'c') return populateComposite(source, typeOid, base, context);
  if (call.columns) return populateByDefinition(source, call, context);
  if (base) {
    const names = (base as RecordValue & { names?: readonly string[] }).names ?? base.types.map((_, i) => `f${i + 1}`);
    return { typeOid: base.typeOid, types: base.types, values: base.types.map((oid, i) => populate(source.field(names[i]!), oid, -1, base.values[i]!, context)) };
  }
  throw new DatabaseError('0A000', 'could not determine row type for result of json_populate_record', { hint: 'Provide a non-null record argument, or call the function in the FROM clause using a column definition list.' });
}

function sourceOf(value: Datum, binary: boolean): Source {
  return binary ? jsonbSource((value as Jsonb).value) : jsonSource(value as string, parseJsonTree(value as string));
}

function recordset(source: Source, name: string): readonly Source[] {
  if (source.kind !== 'array') throw new DatabaseError('22023', `cannot call ${name} on ${source.kind === 'object' ? 'an object' : 'a scalar'}`);
  return source.items().map((part) => {
    if (part.kind !== 'object') throw new DatabaseError('22023', `argument of ${name} must be an array of objects`);
    return part;
  });
}

function populateFamily(binary: boolean): SqlFunction[] {
  const prefix = binary ? 'jsonb' : 'json';
  const recordSignature = binary ? `${prefix}_populate_record(anyelement,jsonb)` : `${prefix}_populate_record(anyelement,json,bool)`;
  const setSignature = binary ? `${prefix}_populate_recordset(anyelement,jsonb)` : `${prefix}_populate_recordset(anyelement,json,bool)`;
  return [
    fbc(recordSignature, (call) => (...all: unknown[]) => {
      const [args, context] = split(all);
      if (args[1] === null) return args[0] ?? null;
      return recordFor(sourceOf(args[1]!, binary), args[0] as RecordValue | null, call, context);
    }),
    setbc(setSignature, (call) => (...all: unknown[]) => {
      const [args, context] = split(all);
      if (args[1] === null) return [];
      return recordset(sourceOf(args[1]!, binary), `${prefix}_populate_recordset`).map((part) => recordFor(part, args[0] as RecordValue | null, call, context));
    }),
    fbc(`${prefix}_to_record(${prefix})`, (call) => (value: Datum, context: EvalContext) => populateByDefinition(sourceOf(value, binary), call, context)),
    setbc(`${prefix}_to_recordset(${prefix})`, (call) => (value: Datum, context: EvalContext) =>
      recordset(sourceOf(value, binary), `${prefix}_to_recordset`).map((part) => populateByDefinition(part, call, context))),
  ];
}

export const jsonFunctions: readonly SqlFunction[] = [
  f('json_object_field(json,text)', (text: string, key: string) => slice(text, field(parseJsonTree(text), key))),
  f('json_object_field_text(json,text)', (text: string, key: string) => asText(text, field(parseJsonTree(text), key))),
  f('json_array_element(json,int4)', (text: string, index: number) => slice(text, element(parseJsonTree(text), index))),
  f('json_array_element_text(json,int4)', (text: string, index: number) => asText(text, element(parseJsonTree(text), index))),
  f('json_extract_path(json,_text)', (text: string, path: ArrayValue) => slice(text, followJson(text, path))),
  f('json_extract_path_text(json,_text)', (text: string, path: ArrayValue) => asText(text, followJson(text, path))),
  f('jsonb_object_field(jsonb,text)', (value: Jsonb, key: string) => wrap(child(value.value, key))),
  f('jsonb_object_field_text(jsonb,text)', (value: Jsonb, key: string) => jsonbText(child(value.value, key))),
  f('jsonb_array_element(jsonb,int4)', (value: Jsonb, index: number) => wrap(item(value.value, index))),
  f('jsonb_array_element_text(jsonb,int4)', (value: Jsonb, index: number) => jsonbText(item(value.value, index))),
  f('jsonb_extract_path(jsonb,_text)', (value: Jsonb, path: ArrayValue) => wrap(followJsonb(value, path))),
  f('jsonb_extract_path_text(jsonb,_text)', (value: Jsonb, path: ArrayValue) => jsonbText(followJsonb(value, path))),
  f('jsonb_contains(jsonb,jsonb)', (a: Jsonb, b: Jsonb) => containsNode(a.value, b.value, true)),
  f('jsonb_contained(jsonb,jsonb)', (a: Jsonb, b: Jsonb) => containsNode(b.value, a.value, true)),
  f('jsonb_exists(jsonb,text)', (value: Jsonb, key: string) => exists(value.value, key)),
  f('jsonb_exists_any(jsonb,_text)', (value: Jsonb, keys: ArrayValue) => keys.elements.some((key) => key !== null && exists(value.value, key as string))),
  f('jsonb_exists_all(jsonb,_text)', (value: Jsonb, keys: ArrayValue) => keys.elements.every((key) => key === null || exists(value.value, key as string))),
  f('jsonb_concat(jsonb,jsonb)', (a: Jsonb, b: Jsonb) => new Jsonb(concatenate(a.value, b.value))),
  f('jsonb_delete(jsonb,text)', (value: Jsonb, key: string) => new Jsonb(deleteKeys(value.value, new Set([key])))),
  f('jsonb_delete(jsonb,_text)', (value: Jsonb, keys: ArrayValue) => new Jsonb(deleteKeys(value.value, new Set(keys.elements.filter((key) => key !== null) as string[])))),
  f('jsonb_delete(jsonb,int4)', (value: Jsonb, index: number) => new Jsonb(deleteIndex(value.value, index))),
  f('jsonb_delete_path(jsonb,_text)', deletePath),
  f('jsonb_set(jsonb,_text,jsonb,bool)', jsonbSet),
  f('jsonb_set_lax(jsonb,_text,jsonb,bool,text)', jsonbSetLax),
  f('jsonb_insert(jsonb,_text,jsonb,bool)', jsonbInsert),
  f('jsonb_pretty(jsonb)', (value: Jsonb) => prettyJsonb(value.value)),
  f('jsonb_strip_nulls(jsonb)', (value: Jsonb) => new Jsonb(stripNulls(value.value))),
  f('json_strip_nulls(json)', (text: string) => stripJsonNulls(text, parseJsonTree(text))),
  f('jsonb_typeof(jsonb)', (value: Jsonb) => jsonbTypeName(value.value)),
  f('json_typeof(json)', (text: string) => parseJsonTree(text).kind),
  f('jsonb_array_length(jsonb)', ({ value }: Jsonb) => {
    if (value instanceof JsonbObject) throw new DatabaseError('22023', 'cannot get array length of a non-array');
    if (!isJsonbArray(value)) throw new DatabaseError('22023', 'cannot get array length of a scalar');
    return value.length;
  }),
  f('json_array_length(json)', (text: string) => {
    const node = parseJsonTree(text);
    if (node.kind === 'object') throw new DatabaseError('22023', 'cannot get array length of a non-array');
    if (node.kind !== 'array') throw new DatabaseError('22023', 'cannot get array length of a scalar');
    return node.children!.length;
  }),
  buildObject(false), buildObject(true), buildArray(false), buildArray(true),
  f('json_build_object()', () => '{}'),
  f('json_build_array()', () => '[]'),
  f('jsonb_build_object()', () => new Jsonb(new JsonbObject([], []))),
  f('jsonb_build_array()', () => new Jsonb([])),
  f('json_object(_text)', (array: ArrayValue) => pairsText(objectPairs(array))),
  f('json_object(_text,_text)', (keys: ArrayValue, values: ArrayValue) => pairsText(objectFromTwo(keys, values))),
  f('jsonb_object(_text)', (array: ArrayValue) => {
    const { keys, values } = objectPairs(array);
    return new Jsonb(makeJsonbObject(keys, values));
  }),
  f('jsonb_object(_text,_text)', (keyArray: ArrayValue, valueArray: ArrayValue) => {
    const { keys, values } = objectFromTwo(keyArray, valueArray);
    return new Jsonb(makeJsonbObject(keys, values));
  }),
  fbc('to_json(anyelement)', (call) => (value: Datum, context: EvalContext) => datumToJsonText(value, call.argTypes[0]!, context)),
  fbc('to_jsonb(anyelement)', (call) => (value: Datum, context: EvalContext) => new Jsonb(datumToJsonb(value, call.argTypes[0]!, context))),
  fc('array_to_json(anyarray)', (array: ArrayValue, context: EvalContext) => arrayToJsonText(array, context)),
  fc('array_to_json(anyarray,bool)', (array: ArrayValue, pretty: boolean, context: EvalContext) => arrayToJsonText(array, context, pretty)),
  fc('row_to_json(record)', (record: RecordValue, context: EvalContext) => recordToJsonText(record, context)),
  fc('row_to_json(record,bool)', (record: RecordValue, pretty: boolean, context: EvalContext) => recordToJsonText(record, context, pretty)),
  set('json_each(json)', (text: string) => {
    const node = jsonObject(text, 'json_each');
    return node.keys!.map((key, i) => [key, slice(text, node.children![i])]);
  }),
  set('json_each_text(json)', (text: string) => {
    const node = jsonObject(text, 'json_each_text');
    return node.keys!.map((key, i) => [key, asText(text, node.children![i])]);
  }),
  set('json_object_keys(json)', (text: string) => jsonObject(text, 'json_object_keys').keys!),
  set('json_array_elements(json)', (text: string) => jsonArray(text, 'json_array_elements').map((node) => slice(text, node))),
  set('json_array_elements_text(json)', (text: string) => jsonArray(text, 'json_array_elements_text').map((node) => asText(text, node))),
  set('jsonb_each(jsonb)', (value: Jsonb) => {
    const object = jsonbObject(value, 'jsonb_each');
    return object.keys.map((key, i) => [key, new Jsonb(object.values[i]!)]);
  }),
  set('jsonb_each_text(jsonb)', (value: Jsonb) => {
    const object = jsonbObject(value, 'jsonb_each_text');
    return object.keys.map((key, i) => [key, jsonbText(object.values[i])]);
  }),
  set('jsonb_object_keys(jsonb)', (value: Jsonb) => jsonbObject(value, 'jsonb_object_keys').keys),
  set('jsonb_array_elements(jsonb)', (value: Jsonb) => jsonbArray(value).map((node) => new Jsonb(node))),
  set('jsonb_array_elements_text(jsonb)', (value: Jsonb) => jsonbArray(value).map(jsonbText)),
  ...populateFamily(false),
  ...populateFamily(true),
];
