/** PostgreSQL's own system views, analyzed and printed again, read as pg_get_viewdef printed them. */
import { beforeAll, expect, test } from 'vitest';
import { analyzeStatement } from '../analyzer/analyze.js';
import { setQuotedKeywords } from '../analyzer/names.js';
import { factList, systemViewText, bornTable } from '../catalog/born-rows.js';
import { CatalogView } from '../catalog/catalog-view.js';
import { Layer, LayeredRows } from '../catalog/layers.js';
import type { EvalContext } from '../functions/context.js';
import { loadParser, parse } from '../parser/parse.js';
import { deriveDataType } from '../types/index.js';
import { deparseQuery } from './query.js';

/** Views whose text says less than PostgreSQL's tree knew: aliases that a literal or a USING column had. */
const KNOWN_DIFFERENCES = new Set(['applicable_roles', 'column_privileges', 'routine_privileges', 'table_privileges', 'udt_privileges', 'usage_privileges', 'element_types']);

beforeAll(async () => {
  await loadParser();
  const keywords = factList('keywords');
  const category = keywords.columns.indexOf('catcode');
  setQuotedKeywords(keywords.rows.filter((row) => row[category] !== 'U').map((row) => row[0] as string));
});

const catalog = new CatalogView(5, new LayeredRows(null, new Layer(), new Layer()), deriveDataType, () => 1, null, null);
const context = {
  catalog,
  session: { pid: 1, databaseName: 'postgres', searchPathOids: [11], currentUser: { oid: 10, name: 'postgres', superuser: true } },
  settings: { dateStyle: 'ISO', dateOrder: 'MDY', intervalStyle: 'postgres', timeZone: 'UTC', extraFloatDigits: 1, byteaOutput: 'hex', searchPath: ['public'], get: () => undefined },
  notice: () => undefined,
} as unknown as EvalContext;

test('system views print as PostgreSQL prints them', () => {
  const { def, rows } = bornTable('pg_class');
  const views = rows.filter((row) => row[def.position.relkind] === 'v').map((row) => ({ oid: row[def.position.oid] as number, name: row[def.position.relname] as string }));
  expect(views.length).toBeGreaterThan(130);
  const differing: string[] = [];
  for (const { oid, name } of views) {
    const text = systemViewText(oid)!;
    const parsed = parse(text);
    const query = analyzeStatement(parsed.statements[0].node, { catalog, context, source: parsed.source });
    const printed = `${deparseQuery(query, { catalog, eval: context, pretty: false, levels: [], qualify: false, indent: 0 })};`;
    if (printed !== text) differing.push(name);
  }
  expect(differing.filter((name) => !KNOWN_DIFFERENCES.has(name))).toEqual([]);
});
