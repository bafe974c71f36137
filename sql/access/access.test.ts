import { afterAll, beforeAll, expect, test } from 'vitest';
import { openEngine } from '../../engine/open.js';
import { nodeRuntime } from '../../engine/runtime-node.js';
import type { Storage } from '../../engine/storage.js';
import type { Index, Relation } from '../catalog/catalog.js';
import { CatalogStore, type CatalogTransaction } from '../catalog/catalog-store.js';
import { deriveDataType } from '../types/index.js';
import type { EvalContext } from '../functions/context.js';
import { numericInput as numericFromString } from '../types/numeric-type.js';
import { indexAccess } from './index-access.js';
import { tableAccess } from './table-access.js';
import { TableWriter } from './table-writer.js';

let storage: Storage;
let store: CatalogStore;

beforeAll(async () => {
  storage = await openEngine(nodeRuntime(), { memory: true });
  store = await CatalogStore.open(storage, deriveDataType);
});

afterAll(() => storage.close());

const noExpressions = (): never => { throw new Error('no expressions here'); };

function attribute(attnum: number, attname: string, atttypid: number): Relation['attributes'][number] {
  return {
    attname, attnum, atttypid, atttypmod: -1, attcollation: atttypid === 25 ? 100 : 0, attlen: -1, attnotnull: false, atthasdef: false, attisdropped: false, attidentity: '',
    attgenerated: '', attndims: 0, defaultText: null, missingValue: undefined,
  };
}

/** A table (a int4, b text, c numeric) with a unique index on (a) and one on (c DESC) INCLUDE (b). */
function makeTable(changes: CatalogTransaction): { relation: Relation; catalog: CatalogTransaction['catalog'] } {
  const key = (attnum: number, typeOid: number, descending: boolean): Index['keyColumns'][number] => ({ attnum, expressionText: null, typeOid, collation: 0, opclass: 0, descending, nullsFirst: descending });
  const index = (oid: number, keyColumns: Index['keyColumns'], unique: boolean, includeColumns: number[]): Index => ({
    oid, name: `i${oid}`, namespace: 2200, storage: changes.transaction.createStorage(), tableOid: 90000, accessMethod: 403, unique, primary: false, exclusion: false, nullsNotDistinct: false,
    immediate: true, valid: true, ready: true, keyColumns, includeColumns, predicateText: null, options: [],
  });
  const relation = {
    oid: 90000, relname: 't', relnamespace: 2200, relkind: 'r', storage: changes.transaction.createStorage(),
    attributes: [attribute(1, 'a', 23), attribute(2, 'b', 25), attribute(3, 'c', 1700)],
    indexes: [index(90001, [key(1, 23, false)], true, []), index(90002, [key(3, 1700, true)], false, [2])],
  } as unknown as Relation;
  const catalog = Object.create(changes.catalog, { relation: { value: (oid: number) => (oid === 90000 ? relation : undefined) } }) as CatalogTransaction['catalog'];
  return { relation, catalog };
}

test('rows, unique keys, lossy keys with payload, ranges over DESC', async () => {
  const changes = store.begin(5, storage.begin());
  const { relation, catalog } = makeTable(changes);
  const { transaction } = changes;
  const writer = new TableWriter(relation, { transaction, catalog, evalContext: { catalog } as unknown as EvalContext, compileRow: noExpressions });
  for (const [a, b, c] of [[1, 'one', '1.50'], [2, 'two', null], [3, 'three', '-3.0'], [null, 'none', '20']] as const) {
    expect(writer.insert([a, b, c === null ? null : numericFromString(c)])).toBeTypeOf('number');
  }
  expect(() => writer.insert([1, 'again', null])).toThrowError(expect.objectContaining({ sqlstate: '23505', detail: 'Key (a)=(1) already exists.', constraint: 'i90001' }));
  transaction.advanceCommand();

  const snapshot = transaction.takeSnapshot();
  const access = tableAccess(relation, catalog);
  const batch = access.scan(transaction, snapshot, [1, 2]).next(100);
  expect(batch).toMatchObject({ length: 4 });
  const byC = indexAccess(relation.indexes[1]!, catalog, noExpressions);
  expect(byC.providesColumns([2, 3])).toBe(true);
  expect(byC.providesColumns([1])).toBe(false);
  const { range } = byC.range({ equal: [], lower: { value: numericFromString('1.5'), inclusive: true } });
  const found = byC.scan(transaction, snapshot, range, [3, 2], catalog).nextCovered(10) as { columns: { data: unknown[] }[] };
  expect(found.columns[1]!.data).toEqual(['none', 'one']);
  // The scale that the key does not keep comes from the payload.
  const numeric = catalog.dataType(1700);
  expect(found.columns[0]!.data.map((value) => numeric.output(value as never, {} as EvalContext))).toEqual(['20', '1.50']);
  const nulls = byC.scan(transaction, snapshot, byC.range({ equal: [null] }).range, [2], catalog).next(10) as { columns: { data: unknown[] }[] };
  expect(nulls.columns[0]!.data).toEqual(['two']);
  snapshot.release();
  transaction.rollback();
});

test('keys beyond 2,704 bytes are refused as in PostgreSQL', () => {
  const changes = store.begin(5, storage.begin());
  const { relation, catalog } = makeTable(changes);
  const text = { ...relation.indexes[0]!, keyColumns: [{ ...relation.indexes[0]!.keyColumns[0]!, attnum: 2, typeOid: 25 }] };
  const access = indexAccess(text, catalog, noExpressions);
  expect(access.key(['x'.repeat(2000)], 't').length).toBe(1000);
  expect(() => access.key(['x'.repeat(3000)], 't')).toThrowError(expect.objectContaining({ sqlstate: '54000' }));
  changes.transaction.rollback();
});

test('a column added later reads its missing value in older rows', () => {
  const changes = store.begin(5, storage.begin());
  const { relation, catalog } = makeTable(changes);
  const older = tableAccess(relation, catalog).codec.encode([7, 'seven', null]);
  const wider = { ...relation, attributes: [...relation.attributes, { ...attribute(4, 'd', 23), missingValue: 42 }] } as Relation;
  expect(tableAccess(wider, catalog).codec.readAll(older)).toEqual([7, 'seven', null, 42]);
  changes.transaction.rollback();
});
