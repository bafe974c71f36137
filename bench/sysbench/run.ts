/**
 * sysbench's oltp_* scripts on PostgreSQL 16 and Oxbow, in turns (Debian: apt-get install sysbench).
 *
 *   npm run bench:sysbench -- --seconds 5 --rounds 2 --threads 8,32 --size 100000
 */
import { parseArgs } from 'node:util';
import { runCommand } from '../../test/harness/command.js';
import { cell, heading, LAST_CORE, median, note, SERVERS, whole, withServers } from '../oltp/servers.js';

const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '5' }, rounds: { type: 'string', default: '3' }, threads: { type: 'string', default: '8,32' },
    tables: { type: 'string', default: '2' }, size: { type: 'string', default: '100000' }, core: { type: 'string', default: LAST_CORE },
    scripts: { type: 'string', default: 'oltp_point_select,oltp_read_only,oltp_read_write,oltp_insert' },
  },
});

async function sysbench(port: number, script: string, command: string, more: readonly string[] = []): Promise<string> {
  const args = ['-c', values.core, 'sysbench', script, '--db-driver=pgsql', '--pgsql-host=127.0.0.1', `--pgsql-port=${port}`, '--pgsql-user=postgres', '--pgsql-db=postgres',
    `--tables=${values.tables}`, `--table-size=${values.size}`, '--rand-seed=1', ...more, command];
  const ran = await runCommand('taskset', args, { timeoutMs: 900_000 });
  if (ran.code !== 0 || /FATAL/.test(ran.stdout + ran.stderr)) throw new Error(`sysbench ${script} ${command} failed:\n${ran.stdout}${ran.stderr}`);
  return ran.stdout;
}

await withServers(async ({ ports }) => {
  for (const name of SERVERS) {
    const began = Date.now();
    await sysbench(ports[name], 'oltp_read_write', 'prepare');
    note(`${name}: prepare took ${((Date.now() - began) / 1000).toFixed(1)} s`);
  }
  const cases = values.scripts.split(',').flatMap((script) => values.threads.split(',').map((threads) => ({ script, threads, tps: { PostgreSQL: [] as number[], Oxbow: [] as number[] }, p95: { PostgreSQL: [] as number[], Oxbow: [] as number[] } })));
  for (let round = 0; round <= Number(values.rounds); round++)
    for (const { script, threads, tps, p95 } of cases)
      for (const name of SERVERS) {
        const output = await sysbench(ports[name], script, 'run', [`--threads=${threads}`, `--time=${round === 0 ? 2 : values.seconds}`, '--report-interval=0']);
        const found = /transactions:\s+\d+\s+\(([\d.]+) per sec/.exec(output);
        if (!found) throw new Error(`sysbench said no rate:\n${output}`);
        note(`round ${round}/${values.rounds} ${script} ${threads} threads ${name}: ${found[1]} tps`);
        // the first round warms up
        if (round === 0) continue;
        tps[name].push(Number(found[1]));
        p95[name].push(Number(/95th percentile:\s+([\d.]+)/.exec(output)?.[1]));
      }
  console.log(heading(`sysbench, ${values.tables} tables of ${values.size} rows, ${values.seconds} s, ${values.rounds} rounds`));
  console.log('| script | threads | PostgreSQL 16 tps: median (min-max) | Oxbow tps: median (min-max) | Oxbow / PostgreSQL | p95 ms, PostgreSQL | p95 ms, Oxbow |');
  console.log('|---|--:|--:|--:|--:|--:|--:|');
  for (const { script, threads, tps, p95 } of cases)
    console.log(`| ${script} | ${threads} | ${cell(tps.PostgreSQL, whole)} | ${cell(tps.Oxbow, whole)} | ${(median(tps.Oxbow) / median(tps.PostgreSQL)).toFixed(2)} | ${median(p95.PostgreSQL).toFixed(1)} | ${median(p95.Oxbow).toFixed(1)} |`);
});
