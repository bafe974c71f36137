/**
 * The reg* types: OIDs of catalog objects that read and print as names. Names are looked up along
 * the search path and printed qualified only where the path would not find them.
 */
import { DatabaseError } from '../../engine/errors.js';
import type { Catalog, PgOperator, PgProc } from '../catalog/catalog.js';
import type { EvalContext } from '../functions/context.js';
import type { DataType } from './data-type.js';
import { formatType, parseTypeName } from './format-type.js';
import { quoteIdentifier, quoteQualified, splitQualifiedName } from './identifier.js';
import { oidType } from './integer.js';

/** Looks a name up; undefined when it names nothing. */
type Lookup = (text: string, context: EvalContext) => number | undefined;
type Printer = (oid: number, context: EvalContext) => string | undefined;

const DIGITS = /^\d+$/;

function splitSchema(names: readonly string[]): { schema: string | undefined; name: string } {
  if (names.length > 3) throw new DatabaseError('42601', `improper qualified name (too many dotted names): ${names.join('.')}`);
  return { schema: names.length > 1 ? names[names.length - 2]! : undefined, name: names[names.length - 1]! };
}

/** Namespaces to look into, in order; empty for a schema that is not there. */
function namespacesFor(schema: string | undefined, context: EvalContext): readonly number[] {
  if (schema === undefined) return context.session.searchPathOids;
  const found = context.catalog.namespaceNamed(schema);
  return found ? [found.oid] : [];
}

const joinNames = (text: string): string => splitQualifiedName(text).join('.');

export const lookupRelation: Lookup = (text, context) => {
  const { schema, name } = splitSchema(splitQualifiedName(text));
  for (const namespace of namespacesFor(schema, context)) {
    const oid = context.catalog.relationNamed(namespace, name)?.oid ?? indexNamed(context.catalog, namespace, name);
    if (oid !== undefined) return oid;
  }
  return undefined;
};

function indexNamed(catalog: Catalog, namespace: number, name: string): number | undefined {
  const found = (catalog as Catalog & { indexNamed?(namespace: number, name: string): { oid: number } | undefined }).indexNamed?.(namespace, name);
  return found?.oid;
}

const printRelation: Printer = (oid, context) => {
  const { catalog } = context;
  const relation = catalog.relation(oid);
  const index = relation ? undefined : catalog.index(oid);
  const name = relation?.relname ?? index?.name;
  const namespace = relation?.relnamespace ?? index?.namespace;
  if (name === undefined || namespace === undefined) return undefined;
  for (const candidate of context.session.searchPathOids) {
    if (candidate === namespace) return quoteIdentifier(name);
    if (catalog.relationNamed(candidate, name) ?? indexNamed(catalog, candidate, name)) break;
  }
  return quoteQualified(catalog.namespace(namespace)?.nspname, name);
};

/** Functions a call of that name could mean: along the path, nearer ones hiding farther ones of the same arguments. */
function visibleProcs(names: readonly string[], context: EvalContext): PgProc[] {
  const { schema, name } = splitSchema(names);
  const found: PgProc[] = [];
  const procs = context.catalog.procsNamed(name);
  for (const namespace of namespacesFor(schema, context)) {
    for (const proc of procs) {
      if (proc.pronamespace === namespace && !found.some((other) => sameOids(other.proargtypes, proc.proargtypes))) found.push(proc);
    }
  }
  return found;
}

function sameOids(a: readonly number[], b: readonly number[]): boolean {
  return a.length === b.length && a.every((oid, i) => oid === b[i]);
}

export const lookupProc: Lookup = (text, context) => {
  const found = visibleProcs(splitQualifiedName(text), context);
  if (found.length > 1) throw new DatabaseError('42725', `more than one function named "${joinNames(text)}"`);
  return found[0]?.oid;
};

const printProc: Printer = (oid, context) => {
  const proc = context.catalog.proc(oid);
  if (!proc) return undefined;
  const alone = visibleProcs([proc.proname], context);
  return quoteQualified(alone.length === 1 && alone[0]!.oid === oid ? undefined : context.catalog.namespace(proc.pronamespace)?.nspname, proc.proname);
};

/** "name(type, type)" -> its parts. */
function splitSignature(text: string, context: EvalContext, allowNone: boolean): { names: string[]; types: number[] } {
  let depth = 0;
  let quoted = false;
  let open = -1;
  for (let i = 0; i < text.length && open < 0; i++) {
    if (text[i] === '"') quoted = !quoted;
    else if (text[i] === '(' && !quoted) open = i;
  }
  if (open < 0) throw new DatabaseError('22P02', 'expected a left parenthesis');
  if (!text.trimEnd().endsWith(')')) throw new DatabaseError('22P02', 'expected a right parenthesis');
  const inner = text.trimEnd().slice(open + 1, -1);
  const parts: string[] = [];
  let start = 0;
  for (let i = 0; i <= inner.length; i++) {
    const c = inner[i];
    if (c === '"') quoted = !quoted;
    else if (c === '(' || c === '[') depth++;
    else if (c === ')' || c === ']') depth--;
    if (c === undefined || (c === ',' && depth === 0 && !quoted)) {
      parts.push(inner.slice(start, i).trim());
      start = i + 1;
    }
  }
  if (parts.length === 1 && parts[0] === '') parts.pop();
  const types = parts.map((part) => {
    if (allowNone && part.toLowerCase() === 'none') return 0;
    const type = parseTypeName(part, context);
    if (!type) throw new DatabaseError('42704', `type "${part}" does not exist`);
    return type.oid;
  });
  return { names: splitQualifiedName(text.slice(0, open)), types };
}

export const lookupProcedure: Lookup = (text, context) => {
  const { names, types } = splitSignature(text, context, false);
  return visibleProcs(names, context).find((proc) => sameOids(proc.proargtypes, types))?.oid;
};

/** format_procedure. */
export function formatProcedure(oid: number, context: EvalContext): string | undefined {
  const proc = context.catalog.proc(oid);
  if (!proc) return undefined;
  const visible = visibleProcs([proc.proname], context).some((candidate) => candidate.oid === oid);
  const name = quoteQualified(visible ? undefined : context.catalog.namespace(proc.pronamespace)?.nspname, proc.proname);
  return `${name}(${proc.proargtypes.map((type) => formatType(type, context)).join(',')})`;
}

function visibleOperators(names: readonly string[], context: EvalContext): PgOperator[] {
  const { schema, name } = splitSchema(names);
  const found: PgOperator[] = [];
  for (const namespace of namespacesFor(schema, context)) {
    for (const operator of context.catalog.operatorsNamed(name)) {
      if (operator.oprnamespace === namespace && !found.some((other) => other.oprleft === operator.oprleft && other.oprright === operator.oprright)) found.push(operator);
    }
  }
  return found;
}

export const lookupOperator: Lookup = (text, context) => {
  const found = visibleOperators(splitOperatorName(text), context);
  if (found.length > 1) throw new DatabaseError('42725', `more than one operator named ${text}`);
  return found[0]?.oid;
};

function splitOperatorName(text: string): string[] {
  const match = /^\s*(?:(.*)\.)?([^.\s]+)\s*$/.exec(text);
  if (!match) throw new DatabaseError('42602', 'invalid name syntax');
  return match[1] === undefined ? [match[2]!] : [...splitQualifiedName(match[1]), match[2]!];
}

const printOperator: Printer = (oid, context) => {
  const operator = context.catalog.operator(oid);
  if (!operator) return undefined;
  const alone = visibleOperators([operator.oprname], context);
  const schema = alone.length === 1 && alone[0]!.oid === oid ? undefined : context.catalog.namespace(operator.oprnamespace)?.nspname;
  return schema === undefined ? operator.oprname : `${quoteIdentifier(schema)}.${operator.oprname}`;
};

export const lookupOperatorWithTypes: Lookup = (text, context) => {
  const open = text.indexOf('(');
  if (open < 0) throw new DatabaseError('22P02', 'expected a left parenthesis');
  const { types } = splitSignature(`x${text.slice(open)}`, context, true);
  if (types.length === 1) throw new DatabaseError('42P02', 'missing argument', { hint: 'Use NONE to denote the missing argument of a unary operator.' });
  if (types.length !== 2) throw new DatabaseError('54023', 'too many arguments', { hint: 'Provide two argument types for operator.' });
  return visibleOperators(splitOperatorName(text.slice(0, open)), context).find((operator) => operator.oprleft === types[0] && operator.oprright === types[1])?.oid;
};

const printOperatorWithTypes: Printer = (oid, context) => {
  const operator = context.catalog.operator(oid);
  if (!operator) return undefined;
  const visible = visibleOperators([operator.oprname], context).some((candidate) => candidate.oid === oid);
  const schema = visible ? undefined : context.catalog.namespace(operator.oprnamespace)?.nspname;
  const side = (type: number): string => (type === 0 ? 'NONE' : formatType(type, context));
  return `${schema === undefined ? '' : `${quoteIdentifier(schema)}.`}${operator.oprname}(${side(operator.oprleft)},${side(operator.oprright)})`;
};

export const lookupNamespace: Lookup = (text, context) => {
  const names = splitQualifiedName(text);
  if (names.length !== 1) throw new DatabaseError('42602', 'invalid name syntax');
  return context.catalog.namespaceNamed(names[0]!)?.oid;
};

export const lookupRole: Lookup = (text, context) => {
  const names = splitQualifiedName(text);
  if (names.length !== 1) throw new DatabaseError('42602', 'invalid name syntax');
  return context.catalog.roleNamed(names[0]!)?.oid;
};

export const lookupCollation: Lookup = (text, context) => {
  const { schema, name } = splitSchema(splitQualifiedName(text));
  for (const namespace of namespacesFor(schema, context)) {
    const found = context.catalog.collationNamed(namespace, name);
    if (found) return found.oid;
  }
  return undefined;
};

const printCollation: Printer = (oid, context) => {
  const collation = context.catalog.collation(oid);
  if (!collation) return undefined;
  for (const namespace of context.session.searchPathOids) {
    const found = context.catalog.collationNamed(namespace, collation.collname);
    if (found) return quoteQualified(found.oid === oid ? undefined : context.catalog.namespace(collation.collnamespace)?.nspname, collation.collname);
  }
  return quoteQualified(context.catalog.namespace(collation.collnamespace)?.nspname, collation.collname);
};

export const lookupType: Lookup = (text, context) => parseTypeName(text, context)?.oid;

function regType(name: string, lookup: Lookup, print: Printer, missing: (text: string) => DatabaseError): DataType {
  return {
    ...oidType,
    name,
    input(text, _typmod, context) {
      if (text === '-') return 0;
      if (DIGITS.test(text)) return oidType.input(text, -1, context);
      const oid = lookup(text, context);
      if (oid === undefined) throw missing(text);
      return oid;
    },
    output: (value, context) => (value === 0 ? '-' : (print(value as number, context) ?? String(value))),
  };
}

const undefinedError = (sqlstate: string, message: string): DatabaseError => new DatabaseError(sqlstate, message);

export const regTypes: readonly DataType[] = [
  regType('regclass', lookupRelation, printRelation, (text) => undefinedError('42P01', `relation "${joinNames(text)}" does not exist`)),
  regType('regtype', lookupType, (oid, context) => (context.catalog.type(oid) ? formatType(oid, context) : undefined), (text) => undefinedError('42704', `type "${text}" does not exist`)),
  regType('regproc', lookupProc, printProc, (text) => undefinedError('42883', `function "${text}" does not exist`)),
  regType('regprocedure', lookupProcedure, formatProcedure, (text) => undefinedError('42883', `function "${text}" does not exist`)),
  regType('regoper', lookupOperator, printOperator, (text) => undefinedError('42883', `operator does not exist: ${text}`)),
  regType('regoperator', lookupOperatorWithTypes, printOperatorWithTypes, (text) => undefinedError('42883', `operator does not exist: ${text}`)),
  regType('regnamespace', lookupNamespace, (oid, context) => {
    const namespace = context.catalog.namespace(oid);
    return namespace && quoteIdentifier(namespace.nspname);
  }, (text) => undefinedError('3F000', `schema "${joinNames(text)}" does not exist`)),
  regType('regrole', lookupRole, (oid, context) => {
    const role = context.catalog.role(oid);
    return role && quoteIdentifier(role.rolname);
  }, (text) => undefinedError('42704', `role "${joinNames(text)}" does not exist`)),
  regType('regcollation', lookupCollation, printCollation, (text) => undefinedError('42704', `collation "${joinNames(text)}" for encoding "UTF8" does not exist`)),
  regType('regconfig', () => undefined, () => undefined, (text) => undefinedError('42704', `text search configuration "${text}" does not exist`)),
  regType('regdictionary', () => undefined, () => undefined, (text) => undefinedError('42704', `text search dictionary "${text}" does not exist`)),
];
