/**
 * The same statements to PostgreSQL and to Oxbow, everything a client can see compared: rows as text,
 * column names and types, command tags, notices, SQLSTATEs, messages, details, hints, positions.
 */
import pg from 'pg';

export interface Outcome {
  readonly tag: string | null;
  readonly columns: readonly string[];
  readonly rows: readonly (readonly (string | null)[])[];
  readonly error: Readonly<Record<string, string | undefined>> | null;
  readonly notices: readonly string[];
}

interface RawResult { command: string | null; rowCount: number | null; fields: { name: string; dataTypeID: number; dataTypeModifier: number }[]; rows: (string | null)[][] }

const asText = { getTypeParser: () => (value: unknown) => value };

export async function connect(port: number, database = 'postgres', user = 'postgres'): Promise<pg.Client> {
  const client = new pg.Client({ host: '127.0.0.1', port, user, database, types: asText as never });
  client.on('error', () => undefined);
  await client.connect();
  // everything that prints depends on these
  await client.query(`SET TimeZone = 'UTC'; SET extra_float_digits = 1; SET DateStyle = 'ISO, MDY'; SET IntervalStyle = 'postgres'`);
  return client;
}

/** OIDs of objects that the test made differ between servers. */
const FIRST_USER_OID = 16384;

export async function run(client: pg.Client, sql: string): Promise<Outcome> {
  const notices: string[] = [];
  const onNotice = (notice: { severity?: string; code?: string; message?: string; detail?: string; hint?: string }): void =>
    void notices.push([notice.severity, notice.code, notice.message, notice.detail, notice.hint].filter((part) => part !== undefined).join(' | '));
  client.on('notice', onNotice as never);
  try {
    const answer = (await client.query({ text: sql, rowMode: 'array' })) as unknown as RawResult | RawResult[];
    const result = Array.isArray(answer) ? answer[answer.length - 1] : answer;
    return {
      tag: result.command === null ? null : `${result.command} ${result.rowCount ?? ''}`.trim(),
      columns: result.fields.map((field) => `${field.name}:${field.dataTypeID >= FIRST_USER_OID ? 'user' : field.dataTypeID}:${field.dataTypeModifier}`),
      rows: result.rows, error: null, notices,
    };
  } catch (caught) {
    const error = caught as Record<string, string | undefined>;
    const { code, message, detail, hint, position, schema, table, column, constraint } = error;
    return { tag: null, columns: [], rows: [], error: { code, message, detail, hint, position, schema, table, column, constraint }, notices };
  } finally {
    client.removeListener('notice', onNotice as never);
  }
}

/** Statements of a script, in order: each ends with a semicolon at the end of a line, so that scripts may hold syntax errors. */
export function statementsOf(script: string): string[] {
  return script.replace(/^--.*$/gm, '').split(/;[ \t]*(?:\n|$)/).map((text) => text.trim()).filter((text) => text !== '');
}

export interface Difference { readonly sql: string; readonly postgres: Outcome; readonly oxbow: Outcome }

/** Runs a script on both; answers where they differ. `unordered`: rows of a SELECT without ORDER BY are sorted first. */
export async function compareScript(script: string, postgres: pg.Client, oxbow: pg.Client): Promise<Difference[]> {
  const differences: Difference[] = [];
  for (const sql of statementsOf(script)) {
    const [left, right] = [await run(postgres, sql), await run(oxbow, sql)];
    if (JSON.stringify(comparable(left, sql)) !== JSON.stringify(comparable(right, sql))) differences.push({ sql, postgres: left, oxbow: right });
  }
  return differences;
}

function comparable(outcome: Outcome, sql: string): Outcome {
  if (/order\s+by/i.test(sql)) return outcome;
  return { ...outcome, rows: [...outcome.rows].map((row) => JSON.stringify(row)).sort().map((row) => JSON.parse(row) as (string | null)[]) };
}

/** A difference as a person reads it. */
export function describeDifference({ sql, postgres, oxbow }: Difference): string {
  const show = (outcome: Outcome): string => JSON.stringify(outcome.error ?? { tag: outcome.tag, columns: outcome.columns, rows: outcome.rows.slice(0, 20), notices: outcome.notices }, null, 0).slice(0, 1500);
  return `${sql}\n  postgres: ${show(postgres)}\n  oxbow:    ${show(oxbow)}`;
}
