/**
 * Latency under an open load: transactions begin at set times whether or not the ones before are done (`pgbench --rate`), at 70% of
 * what PostgreSQL reaches when it is pushed. Latency counts from the time a transaction should have begun.
 *
 *   npm run bench:latency -- --seconds 5 --clients 8
 */
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { heading, initialise, LAST_CORE, note, percentile, pgbench, SERVERS, whole, withServers } from './servers.js';

const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '5' }, scale: { type: 'string', default: '10' }, clients: { type: 'string', default: '8' },
    scripts: { type: 'string', default: 'select-only,tpcb-like' }, core: { type: 'string', default: LAST_CORE },
  },
});

async function latencies(port: number, script: string, rate: number): Promise<number[]> {
  const directory = mkdtempSync(join(tmpdir(), 'oxbow-bench-latency-'));
  try {
    await pgbench(port, values.core, ['-n', '-b', script, '-M', 'prepared', '-c', values.clients, '-j', '1', '-T', values.seconds, '--rate', String(rate), '-l', '--log-prefix', join(directory, 'log')]);
    const found: number[] = [];
    for (const file of readdirSync(directory)) for (const line of readFileSync(join(directory, file), 'utf8').split('\n')) if (line !== '') found.push(Number(line.split(' ')[2]));
    return found;
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

await withServers(async (pair) => {
  await initialise(pair, values.core, values.scale);
  console.log(heading(`scale ${values.scale}, ${values.seconds} s, ${values.clients} clients, prepared`));
  console.log('| script | rate | | p50 ms | p99 ms | p99.9 ms | transactions |');
  console.log('|---|--:|---|--:|--:|--:|--:|');
  for (const script of values.scripts.split(',')) {
    // warm, as PostgreSQL is after its peak was measured
    await pgbench(pair.ports.Oxbow, values.core, ['-n', '-b', script, '-M', 'prepared', '-c', values.clients, '-j', '1', '-T', values.seconds]);
    const output = await pgbench(pair.ports.PostgreSQL, values.core, ['-n', '-b', script, '-M', 'prepared', '-c', values.clients, '-j', '1', '-T', values.seconds]);
    const rate = Math.floor(Number(/tps = ([\d.]+)/.exec(output)![1]) * 0.7);
    for (const name of SERVERS) {
      const found = await latencies(pair.ports[name], script, rate);
      note(`${script} ${name}: ${found.length} transactions`);
      const ms = (share: number): string => (percentile(found, share) / 1000).toFixed(2);
      console.log(`| ${script} | ${whole(rate)} | ${name} | ${ms(0.5)} | ${ms(0.99)} | ${ms(0.999)} | ${whole(found.length)} |`);
    }
  }
});
