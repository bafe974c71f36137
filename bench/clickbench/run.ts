/**
 * ClickBench's 43 queries over made data of the same shape, PostgreSQL 16 and Oxbow side by side: `npm run bench:clickbench`.
 * Queries that ClickBench leaves without a total order have one here, so that answers can be compared to the byte.
 *
 *   npm run bench:clickbench -- --rows 100000 --rounds 3 --queries 1,2,3
 */
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { cpus, tmpdir, totalmem } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import type pg from 'pg';
import { connect, run } from '../../test/harness/compare.js';
import { startOracle } from '../../test/harness/oracle.js';
import { startTestServer } from '../../test/harness/server.js';
import { hits } from './data.js';
import { median } from '../oltp/servers.js';

const { values } = parseArgs({
  options: { rows: { type: 'string', default: '5000000' }, rounds: { type: 'string', default: '3' }, queries: { type: 'string', default: '' }, timeout: { type: 'string', default: '300' } },
});
const here = fileURLToPath(new URL('../../../bench/clickbench/', import.meta.url));
const schema = readFileSync(join(here, 'schema.sql'), 'utf8');
const queries = readFileSync(join(here, 'queries.sql'), 'utf8').trim().split('\n');
const columns = [...schema.slice(schema.indexOf('(') + 1).matchAll(/(\w+) (\w+)(?:\(\d+\))? not null/g)].map(([, name, type]) => ({ name: name!, type: type! }));
const SERVERS = ['PostgreSQL', 'Oxbow'] as const;
const rows = Number(values.rows);
const rounds = Number(values.rounds);
const chosen = values.queries === '' ? queries.map((_, i) => i + 1) : values.queries.split(',').map(Number);

/** COPY through psql: made data are written as fast as it takes them. */
async function load(port: number): Promise<void> {
  const psql = spawn('psql', ['-X', '-q', '-v', 'ON_ERROR_STOP=1', '-h', '127.0.0.1', '-p', String(port), '-U', 'postgres', '-c', 'copy hits from stdin'], { stdio: ['pipe', 'inherit', 'inherit'] });
  const ended = new Promise<number | null>((resolve) => psql.once('exit', resolve));
  let block = '';
  const send = async (): Promise<void> => {
    if (!psql.stdin.write(block)) await new Promise<void>((resolve) => psql.stdin.once('drain', resolve));
    block = '';
  };
  for (const line of hits(rows, columns)) {
    block += line;
    if (block.length > 1 << 20) await send();
  }
  await send();
  psql.stdin.end();
  if ((await ended) !== 0) throw new Error('loading failed');
}

async function timed(client: pg.Client, sql: string): Promise<{ ms: number; answer: string; failed: string | null }> {
  const began = performance.now();
  const outcome = await run(client, sql);
  return { ms: performance.now() - began, answer: JSON.stringify(outcome.rows), failed: outcome.error ? `${outcome.error.code}: ${outcome.error.message}` : null };
}

const directory = mkdtempSync(join(tmpdir(), 'oxbow-clickbench-'));
const sharedBuffers = Math.min(4096, Math.floor(totalmem() / 4 / 2 ** 20));
const postgres = await startOracle({ durable: true, settings: { shared_buffers: `${sharedBuffers}MB`, work_mem: '256MB', max_parallel_workers_per_gather: '2' } });
try {
  const oxbow = await startTestServer({ directory: join(directory, 'oxbow') });
  try {
    const ports = { PostgreSQL: postgres.port, Oxbow: oxbow.port };
    const clients = {} as Record<(typeof SERVERS)[number], pg.Client>;
    for (const name of SERVERS) {
      const client = (clients[name] = await connect(ports[name]));
      await client.query(schema);
      const began = Date.now();
      await load(ports[name]);
      process.stderr.write(`${name}: ${rows} rows in ${((Date.now() - began) / 1000).toFixed(1)} s\n`);
      await client.query('analyze');
      await client.query(`set statement_timeout = '${values.timeout}s'`);
    }
    console.log(`${new Date().toISOString().slice(0, 10)}, ${cpus().length} cores (${cpus()[0]?.model ?? 'unknown'}), Node ${process.version}, ${rows} rows, ${rounds} rounds, shared_buffers ${sharedBuffers}MB\n`);
    console.log('| query | PostgreSQL 16, ms | Oxbow, ms | Oxbow, first run, ms | PostgreSQL / Oxbow | answers |');
    console.log('|--:|--:|--:|--:|--:|---|');
    let logs = 0;
    let counted = 0;
    for (const query of chosen) {
      const times: Record<string, number[]> = { PostgreSQL: [], Oxbow: [] };
      const answers: Record<string, string> = {};
      let failed: string | null = null;
      let first = 0;
      for (let round = 0; round <= rounds && !failed; round++) {
        for (const name of SERVERS) {
          const result = await timed(clients[name], queries[query - 1]!);
          if (result.failed) failed = `${name}: ${result.failed}`;
          if (round > 0) times[name]!.push(result.ms);
          else if (name === 'Oxbow') first = result.ms;
          answers[name] = result.answer;
        }
      }
      if (failed) {
        console.log(`| ${query} | | | | | ${failed} |`);
        continue;
      }
      const [p, o] = [median(times.PostgreSQL!), median(times.Oxbow!)];
      logs += Math.log(p / o);
      counted++;
      console.log(`| ${query} | ${p.toFixed(1)} | ${o.toFixed(1)} | ${first.toFixed(0)} | ${(p / o).toFixed(2)} | ${answers.PostgreSQL === answers.Oxbow ? 'equal' : 'DIFFERENT'} |`);
    }
    console.log(`\nGeometric mean of ${counted} queries: PostgreSQL / Oxbow = ${Math.exp(logs / counted).toFixed(2)}`);
    for (const client of Object.values(clients)) await client.end();
  } finally {
    await oxbow.stop();
  }
} finally {
  await postgres.stop();
  rmSync(directory, { recursive: true, force: true });
}
