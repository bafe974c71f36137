/**
 * TPC-H at scale 0.1 on both servers, each answer equal to the byte: after the load, after orders came and went (columns whose rows have
 * changed since), and with indexes on the foreign keys, which make other plans.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type pg from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { connect, run } from '../harness/compare.js';
import { startOracle, type Oracle } from '../harness/oracle.js';
import { startTestServer, type TestServer } from '../harness/server.js';
import { loadTpchData, makeTpchData, tpchQueries, tpchScript } from '../harness/tpch.js';

const QUERIES = tpchQueries();
/** Old orders go, as many new ones come with keys beyond theirs: the refresh functions of TPC-H's clause 2.5, with some prices changed on the way. */
const REFRESH = `
  create temporary table going as select o_orderkey as k from orders where o_orderkey % 64 = 1;
  delete from lineitem where l_orderkey in (select k from going);
  delete from orders where o_orderkey in (select k from going);
  insert into orders select o_orderkey + 10000000, o_custkey, o_orderstatus, o_totalprice, o_orderdate, o_orderpriority, o_clerk, o_shippriority, o_comment from orders where o_orderkey % 64 = 2;
  insert into lineitem select l_orderkey + 10000000, l_partkey, l_suppkey, l_linenumber, l_quantity, l_extendedprice, l_discount, l_tax, l_returnflag, l_linestatus, l_shipdate, l_commitdate, l_receiptdate,
    l_shipinstruct, l_shipmode, l_comment from lineitem where l_orderkey % 64 = 2;
  update partsupp set ps_supplycost = ps_supplycost + 1 where ps_partkey % 50 = 7`;

const directory = mkdtempSync(join(tmpdir(), 'oxbow-tpch-test-'));
let server: TestServer;
let oracle: Oracle;
let ours: pg.Client;
let theirs: pg.Client;

beforeAll(async () => {
  makeTpchData(0.1, directory);
  server = await startTestServer();
  oracle = await startOracle({ settings: { max_parallel_workers_per_gather: '2', work_mem: '64MB' } });
  ours = await connect(server.port);
  theirs = await connect(oracle.port, 'postgres', oracle.user);
  for (const [client, { port }] of [[ours, server], [theirs, oracle]] as const) {
    await client.query(tpchScript('schema.sql'));
    await loadTpchData(port, directory);
  }
  await theirs.query(tpchScript('indexes.sql'));
  for (const client of [ours, theirs]) await client.query('analyze');
});

afterAll(async () => {
  await ours?.end();
  await theirs?.end();
  await server?.stop();
  await oracle?.stop();
  rmSync(directory, { recursive: true, force: true });
});

async function expectSameAnswers(): Promise<void> {
  for (const { query, sql } of QUERIES) {
    const [found, wanted] = [await run(ours, sql), await run(theirs, sql)];
    expect(found.error, `query ${query}`).toBeNull();
    expect(found.rows, `query ${query}`).toEqual(wanted.rows);
    expect(found.columns, `query ${query}`).toEqual(wanted.columns);
  }
}

test('after the load', () => expectSameAnswers());

test('after orders came and went', async () => {
  for (const client of [ours, theirs]) await client.query(REFRESH);
  await expectSameAnswers();
});

test('with indexes on foreign keys', async () => {
  await ours.query(tpchScript('indexes.sql'));
  await ours.query('analyze');
  await expectSameAnswers();
});
