/**
 * TPC-H on PostgreSQL 16 and Oxbow side by side: `npm run bench:tpch`.
 *
 * Data come from PyPI's tpchgen-cli. Both servers hold the same tables and keys;
 * PostgreSQL has indexes on the foreign keys too, and parallel workers as it likes. Each round runs each query on
 * one server and right after on the other; answers are compared to the byte. Prints a markdown table: first run
 * after the load (cold columns) and the median of the others.
 *
 *   npm run bench:tpch -- --scale 1 --rounds 3 --queries 1,6 --timeout 120
 *
 * With `--q-error` estimates and actual rows of every operator are printed instead of times.
 * With `--cpu` it is the processor time of Oxbow's threads, with kernels on the sessions' thread, on one of their own and on two (prepared, Linux).
 * With `--duckdb` (needs `pip install duckdb`) DuckDB runs the same queries afterwards, with one thread and with two.
 */
import { spawnSync } from 'node:child_process';
import { createReadStream, mkdtempSync, rmSync } from 'node:fs';
import { cpus, tmpdir, totalmem } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import type pg from 'pg';
import { connect, run } from '../../test/harness/compare.js';
import { startOracle } from '../../test/harness/oracle.js';
import { startTestServer } from '../../test/harness/server.js';
import { loadTpchTable, makeTpchData, TPCH_TABLES, tpchScript } from '../../test/harness/tpch.js';
import { median } from '../oltp/servers.js';
import { cpuTimes } from './cpu-times.js';
import { qErrorReport, qErrors, type QError } from './q-error.js';

const { values } = parseArgs({
  options: {
    scale: { type: 'string', default: '0.1' },
    rounds: { type: 'string', default: '3' },
    /** `operators`: windows, DISTINCT, set operations and grouping sets over the same tables. */
    folder: { type: 'string', default: 'queries' },
    queries: { type: 'string', default: Array.from({ length: 22 }, (_, i) => i + 1).join(',') },
    /** Seconds after which a query counts as failed. */
    timeout: { type: 'string', default: '120' },
    duckdb: { type: 'boolean', default: false },
    'q-error': { type: 'boolean', default: false },
    cpu: { type: 'boolean', default: false },
  },
});
const SERVERS = ['PostgreSQL', 'Oxbow'] as const;
const here = fileURLToPath(new URL('../../../bench/tpch/', import.meta.url));
const rounds = Number(values.rounds);
/** Columns that are not ready by then are taken not to be built. */
const READY_MS = 120_000;

/** Milliseconds after `since` (performance.now) until a relation's columns were built without any query having asked. */
async function columnsReady(client: pg.Client, table: string, since: number): Promise<number> {
  for (;;) {
    const { rows } = await client.query<{ blocks: string; ready: string }>('select blocks, ready from oxbow_stat_columns() where relname = $1', [table]);
    if (rows.some(({ blocks, ready }) => Number(blocks) > 0 && Number(ready) >= Number(blocks))) return performance.now() - since;
    if (performance.now() - since > READY_MS) return Infinity;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** Bytes of a relation's segments in memory once each of its columns was asked for. */
async function columnBytes(client: pg.Client, table: string): Promise<string> {
  const { rows: columns } = await client.query<{ attname: string }>("select attname from pg_attribute where attrelid = $1::regclass and attnum > 0 and not attisdropped order by attnum", [table]);
  await client.query("set max_parallel_workers_per_gather = 0");
  for (const { attname } of columns) await client.query(`select count(${attname}), min(${attname}) from ${table}`);
  await client.query('reset max_parallel_workers_per_gather');
  const { rows } = await client.query<{ memory_bytes: string; columns: string; disk_bytes: string }>('select memory_bytes, columns, disk_bytes from oxbow_stat_columns() where relname = $1', [table]);
  return `${(Number(rows[0]!.memory_bytes) / 1e6).toFixed(1)} MB in memory (${rows[0]!.columns} of ${columns.length} columns), ${(Number(rows[0]!.disk_bytes) / 1e6).toFixed(1)} MB in files`;
}

async function countLines(path: string): Promise<number> {
  let lines = 0;
  for await (const _ of createInterface({ input: createReadStream(path) })) lines++;
  return lines;
}

async function timed(client: pg.Client, sql: string): Promise<{ ms: number; answer: string; failed: string | null }> {
  const began = performance.now();
  const outcome = await run(client, sql);
  return { ms: performance.now() - began, answer: JSON.stringify(outcome.rows), failed: outcome.error ? `${outcome.error.code}: ${outcome.error.message}` : null };
}

/** DuckDB alone on the machine, after the servers have answered. */
function compareDuckdb(results: readonly { readonly query: number; readonly runs: Record<string, number[]>; readonly failed: string | null }[]): void {
  const answered = results.filter(({ failed }) => failed === null);
  const ran = spawnSync('python3', [join(here, 'duckdb-times.py'), data, join(here, 'schema.sql'), join(here, 'queries'), String(rounds), ...answered.map(({ query }) => String(query))], { encoding: 'utf8' });
  if (ran.status !== 0) throw new Error(`DuckDB is needed (pip install duckdb): ${ran.stderr}`);
  const medians = JSON.parse(ran.stdout) as Record<string, [number, number]>;
  console.log('\n| query | DuckDB, 1 thread, ms | DuckDB, 2 threads, ms | Oxbow, ms | DuckDB (1) / Oxbow | DuckDB (2) / Oxbow |\n|--:|--:|--:|--:|--:|--:|');
  const logs = [0, 0];
  for (const { query, runs } of answered) {
    const own = median(runs.Oxbow!);
    const [one, two] = medians[query]!;
    logs[0]! += Math.log(one / own);
    logs[1]! += Math.log(two / own);
    console.log(`| ${query} | ${one.toFixed(1)} | ${two.toFixed(1)} | ${own.toFixed(1)} | ${(one / own).toFixed(2)} | ${(two / own).toFixed(2)} |`);
  }
  console.log(`\nGeometric mean: DuckDB with one thread / Oxbow = ${Math.exp(logs[0]! / answered.length).toFixed(2)}, with two = ${Math.exp(logs[1]! / answered.length).toFixed(2)}`);
}

async function main(): Promise<void> {
  makeTpchData(Number(values.scale), data);
  const sharedBuffers = Math.min(4096, Math.floor(totalmem() / 4 / 2 ** 20));
  const postgres = await startOracle({ durable: true, settings: { shared_buffers: `${sharedBuffers}MB`, work_mem: '256MB', max_parallel_workers_per_gather: '2' } });
  try {
    const oxbow = await startTestServer({ directory: join(directory, 'oxbow') });
    try {
      const ports = { PostgreSQL: postgres.port, Oxbow: oxbow.port };
      const clients: Record<string, pg.Client> = {};
      for (const name of SERVERS) {
        const client = (clients[name] = await connect(ports[name]));
        const began = Date.now();
        await client.query(tpchScript('schema.sql'));
        for (const table of TPCH_TABLES) {
          const start = performance.now();
          await loadTpchTable(ports[name], table, data);
          const end = performance.now();
          if (table !== 'lineitem') continue;
          const seconds = (end - start) / 1000;
          process.stderr.write(`${name}: lineitem loaded in ${seconds.toFixed(1)} s\n`);
          if (name === 'PostgreSQL') continue;
          const readyMs = await columnsReady(client, table, end);
          process.stderr.write(`${name}: lineitem's columns were ready ${(readyMs / 1000).toFixed(2)} s after its load (${(readyMs / seconds / 10).toFixed(0)}% of its time), nobody having asked\n`);
        }
        if (name === 'PostgreSQL') await client.query(tpchScript('indexes.sql'));
        await client.query('analyze');
        await client.query(`set statement_timeout = '${values.timeout}s'`);
        process.stderr.write(`${name}: loaded ${await countLines(join(data, 'lineitem.tbl'))} lineitems and the rest in ${((Date.now() - began) / 1000).toFixed(1)} s\n`);
      }
      const queries = values.queries.split(',').map((query) => ({ query: Number(query), sql: tpchScript(join(values.folder, `${query.padStart(2, '0')}.sql`)) }));
      if (values['q-error']) {
        const errors: Record<string, QError[]> = {};
        for (const name of SERVERS) for (const { query, sql } of queries) (errors[name] ??= []).push(...(await qErrors(clients[name]!, query, sql)));
        for (const line of qErrorReport(errors.Oxbow!, errors)) console.log(line);
        for (const client of Object.values(clients)) await client.end();
        return;
      }
      if (values.cpu) {
        for (const line of await cpuTimes(clients.Oxbow!, oxbow.process.pid!, queries, rounds)) console.log(line);
        for (const client of Object.values(clients)) await client.end();
        return;
      }
      const results: { query: number; first: Record<string, number>; runs: Record<string, number[]>; same: boolean; failed: string | null }[] = [];
      for (const { query, sql } of queries) {
        const result: (typeof results)[number] = { query, first: {}, runs: { PostgreSQL: [], Oxbow: [] }, same: true, failed: null };
        results.push(result);
        const answers: Record<string, string> = {};
        for (let round = 0; round <= rounds; round++) {
          for (const name of SERVERS) {
            const { ms, answer, failed } = await timed(clients[name]!, sql);
            if (failed) result.failed = `${name}: ${failed}`;
            if (round === 0) result.first[name] = ms;
            else result.runs[name]!.push(ms);
            answers[name] = answer;
          }
          if (answers.PostgreSQL !== answers.Oxbow) result.same = false;
          if (result.failed) break;
        }
        process.stderr.write(`query ${query}: ${JSON.stringify(result.runs)} ${result.failed ?? ''}\n`);
      }
      console.log(`${new Date().toISOString().slice(0, 10)}, ${cpus().length} cores (${cpus()[0]?.model ?? 'unknown'}), Node ${process.version}, scale ${values.scale}, ${rounds} rounds, shared_buffers ${sharedBuffers}MB\n`);
      console.log('| query | PostgreSQL 16, ms | Oxbow, ms | Oxbow, first run, ms | PostgreSQL / Oxbow | answers |');
      console.log('|--:|--:|--:|--:|--:|---|');
      let logs = 0;
      let counted = 0;
      for (const { query, first, runs, same, failed } of results) {
        if (failed) {
          console.log(`| ${query} | | | | | ${failed} |`);
          continue;
        }
        const [p, o] = [median(runs.PostgreSQL!), median(runs.Oxbow!)];
        logs += Math.log(p / o);
        counted++;
        console.log(`| ${query} | ${p.toFixed(0)} | ${o.toFixed(0)} | ${first.Oxbow!.toFixed(0)} | ${(p / o).toFixed(2)} | ${same ? 'equal' : 'DIFFERENT'} |`);
      }
      console.log(`\nGeometric mean of ${counted} queries: PostgreSQL / Oxbow = ${Math.exp(logs / counted).toFixed(2)}`);
      // Only now: the first runs above are to find what the load has left.
      console.log(`\nlineitem's columns, each asked for once: ${await columnBytes(clients.Oxbow!, 'lineitem')}`);
      for (const client of Object.values(clients)) await client.end();
      if (values.duckdb) compareDuckdb(results);
    } finally {
      await oxbow.stop();
    }
  } finally {
    await postgres.stop();
    rmSync(directory, { recursive: true, force: true });
  }
}

const directory = mkdtempSync(join(tmpdir(), 'oxbow-tpch-'));
const data = join(directory, 'data');
await main();
