/**
 * YCSB's workloads A to F on PostgreSQL 16 and Oxbow, in turns, over the wire with prepared statements. Keys are chosen by YCSB's
 * scrambled zipfian distribution (constant 0.99); D reads the latest, E scans up to 100 rows.
 *
 *   npm run bench:ycsb -- --records 100000 --threads 8,32 --seconds 5 --rounds 2
 */
import { parseArgs } from 'node:util';
import { copyLines, Random } from '../client/load.js';
import { ServerError, WireClient } from '../client/wire-client.js';
import { cell, heading, LAST_CORE, median, note, percentile, pinClient, SERVERS, whole, withServers } from '../oltp/servers.js';
import { Zipfian } from './zipfian.js';

const { values } = parseArgs({
  options: {
    records: { type: 'string', default: '100000' }, threads: { type: 'string', default: '8,32' }, seconds: { type: 'string', default: '5' }, rounds: { type: 'string', default: '2' },
    workloads: { type: 'string', default: 'A,B,C,D,E,F' }, core: { type: 'string', default: LAST_CORE },
  },
});
const records = Number(values.records);
const FIELDS = Array.from({ length: 10 }, (_, i) => `field${i}`);
const READ = `SELECT ${FIELDS.join(', ')} FROM usertable WHERE ycsb_key = $1`;
const SCAN = `SELECT ${FIELDS.join(', ')} FROM usertable WHERE ycsb_key >= $1 ORDER BY ycsb_key LIMIT $2`;
const INSERT = `INSERT INTO usertable VALUES (${Array.from({ length: 11 }, (_, i) => `$${i + 1}`).join(', ')})`;

/** Shares of reads, updates, inserts, scans, read-modify-writes in percent. */
const WORKLOADS: Readonly<Record<string, readonly [number, number, number, number, number]>> = {
  A: [50, 50, 0, 0, 0], B: [95, 5, 0, 0, 0], C: [100, 0, 0, 0, 0], D: [95, 0, 5, 0, 0], E: [0, 0, 5, 95, 0], F: [50, 0, 0, 0, 50],
};

/** FNV of the number, as YCSB orders its keys. */
function keyOf(n: number): string {
  let hash = 0xcbf29ce484222325n;
  let rest = BigInt(n);
  for (let i = 0; i < 8; i++) {
    hash = BigInt.asUintN(64, (hash ^ (rest & 0xffn)) * 0x100000001b3n);
    rest >>= 8n;
  }
  return `user${hash}`;
}

const random = new Random(42);
const field = (): string => random.letters(100, 100);
const keys = Array.from({ length: records }, (_, i) => keyOf(i));

interface Table { inserted: number }

async function thread(port: number, shares: readonly number[], latest: boolean, zipfian: Zipfian, table: Table, until: () => boolean, latencies: number[]): Promise<void> {
  const client = await WireClient.connect(port);
  while (!until()) {
    const began = performance.now();
    let dice = random.uniform() * 100;
    const chosen = shares.findIndex((share) => (dice -= share) < 0);
    const rank = zipfian.next();
    const key = latest ? keyAt(Math.max(0, table.inserted - 1 - rank)) : keys[zipfian.scramble(rank)]!;
    const update = `UPDATE usertable SET ${random.pick(FIELDS)} = $1 WHERE ycsb_key = $2`;
    if (chosen === 0) await client.run(READ, [key]);
    else if (chosen === 1) await client.run(update, [field(), key]);
    else if (chosen === 2) await client.run(INSERT, [keyAt(table.inserted++), ...FIELDS.map(field)]);
    else if (chosen === 3) await client.run(SCAN, [key, random.between(1, 100)]);
    else {
      await client.run(READ, [key]);
      await client.run(update, [field(), key]);
    }
    latencies.push(performance.now() - began);
  }
  client.end();
}

function keyAt(n: number): string {
  return n < records ? keys[n]! : keyOf(n);
}

await withServers(async ({ ports }) => {
  pinClient(values.core);
  const tables = { PostgreSQL: { inserted: records }, Oxbow: { inserted: records } };
  for (const name of SERVERS) {
    const client = await WireClient.connect(ports[name]);
    await client.query(`CREATE TABLE usertable (ycsb_key varchar(255), ${FIELDS.map((one) => `${one} text`).join(', ')})`);
    const began = performance.now();
    await copyLines(ports[name], values.core, 'usertable', keys.map((key) => `${key}\t${FIELDS.map(field).join('\t')}`));
    await client.query('ALTER TABLE usertable ADD PRIMARY KEY (ycsb_key)');
    await client.query('ANALYZE usertable');
    note(`${name}: loaded in ${((performance.now() - began) / 1000).toFixed(1)} s`);
    client.end();
  }
  const zipfian = new Zipfian(records, random);
  const cases = values.workloads.split(',').flatMap((workload) => values.threads.split(',').map((threads) => ({ workload, threads: Number(threads), rate: { PostgreSQL: [] as number[], Oxbow: [] as number[] }, p99: { PostgreSQL: [] as number[], Oxbow: [] as number[] } })));
  for (let round = 0; round <= Number(values.rounds); round++)
    for (const { workload, threads, rate, p99 } of cases)
      for (const name of SERVERS) {
        const latencies: number[] = [];
        const began = performance.now();
        const end = began + (round === 0 ? 1 : Number(values.seconds)) * 1000;
        await Promise.all(Array.from({ length: threads }, () => thread(ports[name], WORKLOADS[workload]!, workload === 'D', zipfian, tables[name], () => performance.now() >= end, latencies).catch((error: unknown) => {
          throw error instanceof ServerError ? new Error(`workload ${workload}, ${name}: ${error.message}`) : error;
        })));
        // the first round warms up
        if (round === 0) continue;
        rate[name].push((latencies.length * 1000) / (performance.now() - began));
        p99[name].push(percentile(latencies, 0.99));
        note(`round ${round}/${values.rounds} ${workload} ${threads} threads ${name}: ${whole(rate[name].at(-1)!)} operations/s`);
      }
  console.log(heading(`YCSB, ${whole(records)} records of 1 kB, zipfian, ${values.seconds} s, ${values.rounds} rounds`));
  console.log('| workload | threads | PostgreSQL 16, operations/s: median (min-max) | Oxbow: median (min-max) | Oxbow / PostgreSQL | p99 ms, PostgreSQL | p99 ms, Oxbow |');
  console.log('|---|--:|--:|--:|--:|--:|--:|');
  for (const { workload, threads, rate, p99 } of cases)
    console.log(`| ${workload} | ${threads} | ${cell(rate.PostgreSQL)} | ${cell(rate.Oxbow)} | ${(median(rate.Oxbow) / median(rate.PostgreSQL)).toFixed(2)} | ${median(p99.PostgreSQL).toFixed(1)} | ${median(p99.Oxbow).toFixed(1)} |`);
});
