/**
 * Analytics beside point work: point reads under an open load (p50, p99) and tpcb-like at full speed, alone and while one client
 * runs TPC-H's queries in a loop, on PostgreSQL and on Oxbow.
 *
 *   npm run bench:mixed -- --seconds 5 --rate 2000 --tpch-scale 0.1
 *
 * Data of TPC-H come from PyPI's tpchgen-cli, as for bench:tpch. The goals: p99 of point reads within 1.5 times of what it is alone,
 * and at most a fifth of tpcb-like's rate lost.
 */
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { connect } from '../../test/harness/compare.js';
import { loadTpchData, makeTpchData, tpchQueries, tpchScript } from '../../test/harness/tpch.js';
import { heading, initialise, LAST_CORE, note, percentile, pgbench, SERVERS, whole, withServers } from '../oltp/servers.js';

const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '5' }, scale: { type: 'string', default: '5' }, 'tpch-scale': { type: 'string', default: '0.1' },
    /** Point reads a second; tpcb-like runs as fast as it can. */
    rate: { type: 'string', default: '2000' }, clients: { type: 'string', default: '4' }, core: { type: 'string', default: LAST_CORE },
  },
});
const queries = tpchQueries().map(({ sql }) => sql);

async function load(port: number, data: string): Promise<void> {
  const client = await connect(port);
  await client.query(tpchScript('schema.sql'));
  await loadTpchData(port, data);
  await client.query(tpchScript('indexes.sql'));
  await client.query('analyze');
  await client.end();
}

/** Runs the queries one after the other until it is stopped; answers how many ran. */
async function analytics(port: number): Promise<() => Promise<number>> {
  const client = await connect(port);
  // Once before anything is measured: columns and caches.
  for (const sql of queries) await client.query(sql);
  let stopped = false;
  let ran = 0;
  const done = (async () => {
    while (!stopped) {
      for (const sql of queries) {
        if (stopped) break;
        await client.query(sql);
        ran++;
      }
    }
    await client.end();
    return ran;
  })();
  return () => {
    stopped = true;
    return done;
  };
}

async function pointReads(port: number): Promise<number[]> {
  const directory = mkdtempSync(join(tmpdir(), 'oxbow-bench-mixed-log-'));
  try {
    await pgbench(port, values.core, ['-n', '-b', 'select-only', '-M', 'prepared', '-c', values.clients, '-j', '1', '-T', values.seconds, '--rate', values.rate, '-l', '--log-prefix', join(directory, 'log')]);
    return readdirSync(directory).flatMap((file) => readFileSync(join(directory, file), 'utf8').split('\n').filter((line) => line !== '').map((line) => Number(line.split(' ')[2])));
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

async function tpcbRate(port: number): Promise<number> {
  const output = await pgbench(port, values.core, ['-n', '-b', 'tpcb-like', '-M', 'prepared', '-c', values.clients, '-j', '1', '-T', values.seconds]);
  return Number(/tps = ([\d.]+)/.exec(output)![1]);
}

const data = mkdtempSync(join(tmpdir(), 'oxbow-bench-mixed-'));
try {
  makeTpchData(Number(values['tpch-scale']), data);
  await withServers(async (pair) => {
    await initialise(pair, values.core, values.scale);
    for (const name of SERVERS) await load(pair.ports[name], data);
    console.log(heading(`pgbench scale ${values.scale}, TPC-H scale ${values['tpch-scale']}, ${values.seconds} s, ${values.clients} clients, ${values.rate} point reads a second`));
    console.log('| | beside | point reads p50 ms | p99 ms | p99 / alone | tpcb-like tps | tps / alone | TPC-H queries a second |');
    console.log('|---|---|--:|--:|--:|--:|--:|--:|');
    for (const name of SERVERS) {
      const port = pair.ports[name];
      await tpcbRate(port);
      await pointReads(port);
      let alone: { p99: number; tps: number } | null = null;
      for (const beside of ['nothing', 'TPC-H'] as const) {
        const stop = beside === 'TPC-H' ? await analytics(port) : null;
        const began = performance.now();
        const reads = await pointReads(port);
        const tps = await tpcbRate(port);
        const seconds = (performance.now() - began) / 1000;
        const ran = stop ? await stop() : 0;
        const p99 = percentile(reads, 0.99) / 1000;
        alone ??= { p99, tps };
        note(`${name} beside ${beside}: ${reads.length} reads, ${ran} queries`);
        console.log(`| ${name} | ${beside} | ${(percentile(reads, 0.5) / 1000).toFixed(2)} | ${p99.toFixed(2)} | ${(p99 / alone.p99).toFixed(2)} | ${whole(tps)} | ${(tps / alone.tps).toFixed(2)} | ${stop ? (ran / seconds).toFixed(1) : ''} |`);
      }
    }
  });
} finally {
  rmSync(data, { recursive: true, force: true });
}
