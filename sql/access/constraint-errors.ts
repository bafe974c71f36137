/** Violations of constraints with PostgreSQL's messages, details and fields. */
import { DatabaseError } from '../../engine/errors.js';
import type { Catalog, Index, IndexColumn, Relation } from '../catalog/catalog.js';
import { quoteIdentifier } from '../catalog/identifiers.js';
import type { EvalContext } from '../functions/context.js';
import type { Datum } from '../types/datum.js';

function schemaName(relation: Relation, catalog: Catalog): string | undefined {
  return catalog.namespace(relation.relnamespace)?.nspname;
}

/** An index column as pg_get_indexdef prints it: a name, a function call, or an expression in parentheses. */
export function indexColumnText(column: IndexColumn, relation: Relation): string {
  if (column.attnum > 0) return quoteIdentifier(relation.attributes[column.attnum - 1]!.attname);
  const text = column.expressionText ?? '';
  return looksLikeFunction(text) ? text : `(${stripOuterParentheses(text)})`;
}

/** `f(...)` spanning the whole text: PostgreSQL prints function calls without further parentheses. */
export function looksLikeFunction(text: string): boolean {
  const match = /^(?:[a-z_"][\w$"]*\.)?[a-z_"][\w$"]*\(/i.exec(text);
  if (!match || !text.endsWith(')')) return false;
  return closingAt(text, match[0].length - 1) === text.length - 1;
}

/** Removes one pair of parentheses that encloses all of the text. */
export function stripOuterParentheses(text: string): string {
  return text.startsWith('(') && closingAt(text, 0) === text.length - 1 ? text.slice(1, -1) : text;
}

function closingAt(text: string, open: number): number {
  let depth = 0;
  let quote = '';
  for (let i = open; i < text.length; i++) {
    const c = text[i]!;
    if (quote) {
      if (c === quote) quote = '';
    } else if (c === "'" || c === '"') quote = c;
    else if (c === '(') depth++;
    else if (c === ')' && --depth === 0) return i;
  }
  return -1;
}

/** `(a, lower(b))=(1, x)`: a key as error details show it. */
export function keyDescription(relation: Relation, index: Index, values: readonly Datum[], catalog: Catalog, context: EvalContext): string {
  const names = index.keyColumns.map((column) => indexColumnText(column, relation)).join(', ');
  const texts = index.keyColumns.map((column, i) => (values[i] === null ? 'null' : catalog.dataType(column.typeOid).output(values[i]!, context))).join(', ');
  return `(${names})=(${texts})`;
}

/** 23505; `creating` while an index is built over rows that are not unique. */
export function uniqueViolation(relation: Relation, index: Index, values: readonly Datum[], catalog: Catalog, context: EvalContext, creating = false): DatabaseError {
  const key = keyDescription(relation, index, values, catalog, context);
  return new DatabaseError('23505', creating ? `could not create unique index "${index.name}"` : `duplicate key value violates unique constraint "${index.name}"`, {
    detail: creating ? `Key ${key} is duplicated.` : `Key ${key} already exists.`,
    schema: schemaName(relation, catalog), table: relation.relname, constraint: index.name,
  });
}

const MAX_FIELD = 64;

/** `Failing row contains (1, null, abc).`: values of all columns, long ones cut at 64 bytes. */
export function failingRow(relation: Relation, values: readonly Datum[], catalog: Catalog, context: EvalContext): string {
  const texts = relation.attributes.filter((attribute) => !attribute.attisdropped).map((attribute) => {
    const value = values[attribute.attnum - 1] ?? null;
    if (value === null) return 'null';
    const text = catalog.dataType(attribute.atttypid).output(value, context);
    const bytes = Buffer.from(text, 'utf8');
    if (bytes.length <= MAX_FIELD) return text;
    let end = MAX_FIELD;
    while (end > 0 && (bytes[end]! & 0xc0) === 0x80) end--;
    return `${bytes.toString('utf8', 0, end)}...`;
  });
  return `Failing row contains (${texts.join(', ')}).`;
}

/** 23502 for a row to be written. */
export function notNullViolation(relation: Relation, attnum: number, values: readonly Datum[], catalog: Catalog, context: EvalContext): DatabaseError {
  const column = relation.attributes[attnum - 1]!.attname;
  return new DatabaseError('23502', `null value in column "${column}" of relation "${relation.relname}" violates not-null constraint`, {
    detail: failingRow(relation, values, catalog, context), schema: schemaName(relation, catalog), table: relation.relname, column,
  });
}

/** 23514 for a row to be written. */
export function checkViolation(relation: Relation, constraint: string, values: readonly Datum[], catalog: Catalog, context: EvalContext): DatabaseError {
  return new DatabaseError('23514', `new row for relation "${relation.relname}" violates check constraint "${constraint}"`, {
    detail: failingRow(relation, values, catalog, context), schema: schemaName(relation, catalog), table: relation.relname, constraint,
  });
}
