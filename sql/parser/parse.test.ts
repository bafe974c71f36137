import { beforeAll, expect, test } from 'vitest';
import { loadParser, parse, parserReady } from './parse.js';

beforeAll(loadParser);

const json = (sql: string): string => JSON.stringify(parse(sql).statements.map((s) => s.node));

test('negative integers survive (the library writes them as 0)', () => {
  expect(json('SELECT -1')).toContain('"ival":{"ival":-1}');
  expect(json("SELECT 'é', - /* five */ 5, 0, 1 -2")).toMatch(/"ival":\{"ival":-5\}.*"ival":\{\}.*"ival":\{"ival":1\}.*"ival":\{"ival":2\}/);
  expect(json('CREATE SEQUENCE s INCREMENT BY -2 MINVALUE -100 START -1')).toMatch(/"ival":-2.*"ival":-100.*"ival":-1/);
});

test('positions count characters, not bytes', () => {
  expect(() => parse("SELECT 'éé' FROM FROM t")).toThrow(expect.objectContaining({ sqlstate: '42601', position: 18 }) as Error);
});

test('nesting beyond the stack is 54001, and the parser goes on', async () => {
  for (let i = 0; i < 3; i++) {
    await parserReady();
    expect(() => parse(`SELECT ${'1+'.repeat(5000)}1`)).toThrow(expect.objectContaining({ sqlstate: '54001' }) as Error);
    await parserReady();
    expect(parse('SELECT 1').statements).toHaveLength(1);
  }
});

test('10 MB of SQL and 50,000 small statements leave the memory sound', () => {
  const rows = Array.from({ length: 100_000 }, (_, i) => `(${i}, 'some text that makes the row long ${i}')`).join(',');
  expect(parse(`INSERT INTO t VALUES ${rows}`).statements).toHaveLength(1);
  for (let i = 0; i < 2000; i++) expect(parse(`SELECT ${i} AS n, 'text' AS t FROM somewhere WHERE x = ${i}`).statements).toHaveLength(1);
}, 60_000);
