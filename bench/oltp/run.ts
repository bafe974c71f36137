/**
 * PostgreSQL 16 and Oxbow side by side under pgbench, both with fsync on, on this machine: `npm run bench:oltp`.
 *
 * Both servers run all the time and pgbench takes turns between them, because a machine drifts over minutes: each
 * round runs every case on PostgreSQL and then on Oxbow, and medians over the rounds are compared. Prints a markdown table.
 *
 *   npm run bench:oltp -- --seconds 3 --rounds 3 --scale 10 --clients 1,8,32,100 --modes prepared,simple --core 0
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import pg from 'pg';
import { cell, heading, initialise, LAST_CORE, median, note, pgbench, SERVERS, whole, withServers } from './servers.js';

const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '5' },
    rounds: { type: 'string', default: '3' },
    scale: { type: 'string', default: '10' },
    clients: { type: 'string', default: '1,8,32,100' },
    /** Of select-only; the others run prepared. */
    modes: { type: 'string', default: 'prepared,simple' },
    scripts: { type: 'string', default: 'select-only,tpcb-like,simple-update,insert' },
    /** The core pgbench is pinned to. */
    core: { type: 'string', default: LAST_CORE },
  },
});
const rounds = Number(values.rounds);
const directory = mkdtempSync(join(tmpdir(), 'oxbow-bench-scripts-'));
const insertScript = join(directory, 'insert.sql');
writeFileSync(insertScript, '\\set k random(1, 1000000000)\nINSERT INTO bench_rows (k, v) VALUES (:k, \'a row of some bytes\');\n');

interface Case { readonly script: string; readonly mode: string; readonly clients: number; readonly tps: { readonly PostgreSQL: number[]; readonly Oxbow: number[] } }

function casesOf(): Case[] {
  const clientCounts = values.clients.split(',').map(Number);
  return values.scripts.split(',').flatMap((script) => (script === 'select-only' ? values.modes.split(',') : ['prepared']).flatMap((mode) =>
    clientCounts.map((clients) => ({ script, mode, clients, tps: { PostgreSQL: [], Oxbow: [] } }))));
}

async function measure(port: number, { script, mode, clients }: Case): Promise<number> {
  const what = script === 'insert' ? ['-f', insertScript] : ['-b', script];
  const output = await pgbench(port, values.core, ['-n', ...what, '-M', mode, '-c', String(clients), '-j', '1', '-T', values.seconds]);
  const found = /tps = ([\d.]+) \(without initial connection time\)/.exec(output);
  if (!found) throw new Error(`pgbench said no tps:\n${output}`);
  return Number(found[1]);
}

try {
  await withServers(async (pair) => {
    await initialise(pair, values.core, values.scale);
    for (const name of SERVERS) {
      const client = new pg.Client({ host: '127.0.0.1', port: pair.ports[name], user: 'postgres', database: 'postgres' });
      await client.connect();
      await client.query('CREATE TABLE bench_rows (id bigserial PRIMARY KEY, k int, v text)');
      await client.end();
    }
    // caches and compiled code as in a server that has been up for a while
    for (const script of ['select-only', 'tpcb-like']) for (const name of SERVERS) await pgbench(pair.ports[name], values.core, ['-n', '-b', script, '-M', 'prepared', '-c', '8', '-j', '1', '-T', '4']);
    const cases = casesOf();
    for (let round = 0; round < rounds; round++) {
      for (const each of cases) {
        for (const name of SERVERS) {
          const found = await measure(pair.ports[name], each);
          each.tps[name].push(found);
          note(`round ${round + 1}/${rounds} ${each.script} ${each.mode} ${each.clients} clients ${name}: ${whole(found)} tps`);
        }
      }
    }
    console.log(heading(`scale ${values.scale}, ${values.seconds} s, ${rounds} rounds`));
    console.log('| script | mode | clients | PostgreSQL 16 tps: median (min-max) | Oxbow tps: median (min-max) | Oxbow / PostgreSQL |');
    console.log('|---|---|--:|--:|--:|--:|');
    for (const { script, mode, clients, tps } of cases) console.log(`| ${script} | ${mode} | ${clients} | ${cell(tps.PostgreSQL)} | ${cell(tps.Oxbow)} | ${(median(tps.Oxbow) / median(tps.PostgreSQL)).toFixed(2)} |`);
  });
} finally {
  rmSync(directory, { recursive: true, force: true });
}
