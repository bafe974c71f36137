import { afterEach, beforeEach, expect, test } from 'vitest';
import { openEngine } from '../../engine/open.js';
import { nodeRuntime } from '../../engine/runtime-node.js';
import type { Storage } from '../../engine/storage.js';
import { deriveDataType } from '../types/index.js';
import { CatalogStore } from './catalog-store.js';

const POSTGRES = 5;
let storage: Storage;
let store: CatalogStore;

beforeEach(async () => {
  storage = await openEngine(nodeRuntime(), { memory: true });
  store = await CatalogStore.open(storage, deriveDataType);
});

afterEach(() => storage.close());

const namespaces = (at = store): string[] => [...at.committed(POSTGRES).scan('pg_namespace')].map((entry) => entry.values![1] as string);

test('own changes are seen at once, others see them from the commit on', async () => {
  const changes = store.begin(POSTGRES, storage.begin());
  changes.insert('pg_namespace', { oid: changes.newOid(), nspname: 'mine', nspowner: 10 });
  expect(changes.catalog.namespaceNamed('mine')?.nspowner).toBe(10);
  expect(store.committed(POSTGRES).namespaceNamed('mine')).toBeUndefined();
  const before = store.committed(POSTGRES).version;
  await changes.commit();
  expect(store.committed(POSTGRES).namespaceNamed('mine')).toBeDefined();
  expect(store.committed(POSTGRES).version).toBeGreaterThan(before);
  expect(store.committed(1).namespaceNamed('mine')).toBeUndefined();
});

test('savepoints take changes back, born rows included', async () => {
  const transaction = storage.begin();
  const changes = store.begin(POSTGRES, transaction);
  const publicSchema = () => changes.catalog.rows.find('pg_namespace', 'nspname', 'public')[0]!;
  changes.update('pg_namespace', publicSchema(), { nspowner: 10 });
  const mark = changes.mark;
  const sub = transaction.savepoint();
  changes.delete('pg_namespace', publicSchema());
  expect(changes.catalog.namespaceNamed('public')).toBeUndefined();
  transaction.rollbackTo(sub);
  changes.rollbackTo(mark);
  expect(changes.catalog.namespaceNamed('public')?.nspowner).toBe(10);
  await changes.commit();
  expect(namespaces().filter((name) => name === 'public')).toEqual(['public']);
});

test('a store opened again over the same engine finds changed, deleted and new rows', async () => {
  const changes = store.begin(POSTGRES, storage.begin());
  const role = changes.newOid();
  changes.insert('pg_authid', { oid: role, rolname: 'alice', rolconnlimit: -1 });
  changes.update('pg_namespace', changes.catalog.rows.find('pg_namespace', 'nspname', 'public')[0]!, { nspname: 'renamed' });
  changes.delete('pg_namespace', changes.catalog.rows.find('pg_namespace', 'nspname', 'pg_toast')[0]!);
  await changes.commit();
  const again = await CatalogStore.open(storage, deriveDataType);
  expect(namespaces(again).sort()).toEqual(['information_schema', 'pg_catalog', 'renamed']);
  expect(again.committed(1).roleNamed('alice')?.oid).toBe(role);
  expect(again.allocateOid()).toBeGreaterThan(role);
});

test('a snapshot older than a change still reads the catalog table as it was', async () => {
  const reader = storage.begin({ isolation: 'repeatable read' });
  const snapshot = reader.takeSnapshot();
  const changes = store.begin(POSTGRES, storage.begin());
  changes.insert('pg_namespace', { oid: changes.newOid(), nspname: 'later', nspowner: 10 });
  await changes.commit();
  const seen = [...(store.entriesAt(store.committed(POSTGRES), reader, snapshot, 2615) as Iterable<{ values: readonly unknown[] }>)].map((entry) => entry.values[1]);
  expect(seen).not.toContain('later');
  expect(namespaces()).toContain('later');
  snapshot.release();
  reader.rollback();
});

test('two transactions that change one row: the second fails, as in PostgreSQL', async () => {
  const setup = store.begin(POSTGRES, storage.begin());
  setup.insert('pg_namespace', { oid: setup.newOid(), nspname: 'x', nspowner: 10 });
  await setup.commit();
  const one = store.begin(POSTGRES, storage.begin());
  const two = store.begin(POSTGRES, storage.begin());
  const row = one.catalog.rows.find('pg_namespace', 'nspname', 'x')[0]!;
  one.update('pg_namespace', row, { nspowner: 11 });
  expect(() => two.update('pg_namespace', row, { nspowner: 12 })).toThrowError('tuple concurrently updated');
  one.transaction.rollback();
  two.transaction.rollback();
});
