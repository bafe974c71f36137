import { expect, test } from 'vitest';
import { CatalogView } from './catalog-view.js';
import { Layer, LayeredRows } from './layers.js';

const view = new CatalogView(5, new LayeredRows(null, new Layer(), new Layer()), () => { throw new Error('no types here'); }, () => 1, null, null);

test('born objects keep their OIDs and columns', () => {
  expect(view.type(23)).toMatchObject({ typname: 'int4', typlen: 4, typarray: 1007, typcategory: 'N', typdefault: null });
  expect(view.typeNamed(11, '_int4')?.oid).toBe(1007);
  expect(view.procsNamed('substring').map((proc) => proc.oid)).toContain(936);
  expect(view.proc(936)?.proargtypes).toEqual([25, 23, 23]);
  expect(view.operator(96)).toMatchObject({ oprname: '=', oprleft: 23, oprright: 23, oprrest: 'eqsel', oprjoin: 'eqjoinsel' });
  expect(view.cast(23, 20)).toMatchObject({ castcontext: 'i', castfunc: 481 });
  expect(view.defaultOpclass(403, 23)).toMatchObject({ opcname: 'int4_ops', opcfamily: 1976 });
  expect(view.amop(1976, 23, 23, 3)?.amopopr).toBe(96);
  expect(view.roleNamed('postgres')?.oid).toBe(10);
  expect(view.databaseNamed('template1')?.datistemplate).toBe(true);
});

test('catalog tables and system views are relations', () => {
  const pgClass = view.relationNamed(11, 'pg_class')!;
  expect(pgClass).toMatchObject({ oid: 1259, relkind: 'r', isCatalog: true });
  expect(pgClass.attributes.map((attribute) => attribute.attname).slice(0, 3)).toEqual(['oid', 'relname', 'relnamespace']);
  const pgTables = view.relationNamed(11, 'pg_tables')!;
  expect(pgTables.relkind).toBe('v');
  expect(pgTables.viewText).toMatch(/^ SELECT n.nspname AS schemaname/);
  const info = view.namespaceNamed('information_schema')!;
  expect(view.relationNamed(info.oid, 'tables')?.attributes.length).toBe(12);
});

test('every born relation can be put together', () => {
  expect([...view.relations()].length).toBe(413);
});
