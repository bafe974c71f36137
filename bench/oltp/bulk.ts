/**
 * Many rows at once, in turns: COPY FROM, CREATE INDEX, multi-row INSERT.
 *
 *   npm run bench:bulk -- --rows 1000000 --rounds 3
 */
import { once } from 'node:events';
import { parseArgs } from 'node:util';
import { spawn } from 'node:child_process';
import pg from 'pg';
import { cell, cpuSeconds, heading, LAST_CORE, median, note, SERVERS, withServers, type ServerName } from './servers.js';

const { values } = parseArgs({
  options: { rows: { type: 'string', default: '1000000' }, inserts: { type: 'string', default: '200' }, rounds: { type: 'string', default: '2' }, core: { type: 'string', default: LAST_CORE } },
});
const rows = Number(values.rows);
const rounds = Number(values.rounds);

/** COPY of rows like pgbench_accounts', generated as they are sent. */
async function copy(port: number): Promise<void> {
  const psql = spawn('taskset', ['-c', values.core, 'psql', '-q', '-h', '127.0.0.1', '-p', String(port), '-U', 'postgres', '-v', 'ON_ERROR_STOP=1', '-c', 'COPY bulk FROM STDIN', 'postgres'], { stdio: ['pipe', 'inherit', 'inherit'] });
  const filler = 'x'.repeat(84);
  for (let at = 1; at <= rows; at += 1000) {
    let text = '';
    for (let i = at; i < at + 1000 && i <= rows; i++) text += `${i}\t${i % 10}\t${(i * 7919) % 1_000_003}\t${filler}\n`;
    if (!psql.stdin.write(text)) await once(psql.stdin, 'drain');
  }
  psql.stdin.end();
  const [code] = (await once(psql, 'exit')) as [number];
  if (code !== 0) throw new Error('COPY failed');
}

const STEPS: readonly { readonly name: string; run(client: pg.Client, port: number): Promise<void> }[] = [
  { name: `COPY FROM, ${rows.toLocaleString('en-US')} rows`, run: (_, port) => copy(port) },
  { name: 'CREATE INDEX on an ascending int4', run: async (client) => void (await client.query('CREATE UNIQUE INDEX ON bulk (aid)')) },
  { name: 'CREATE INDEX on a scattered int4', run: async (client) => void (await client.query('CREATE INDEX ON bulk (abalance)')) },
  {
    name: `INSERT of 1,000 rows, ${values.inserts} times`,
    async run(client) {
      await client.query('CREATE TABLE bulk_insert (id int PRIMARY KEY, v text)');
      for (let i = 0; i < Number(values.inserts); i++) {
        await client.query(`INSERT INTO bulk_insert VALUES ${Array.from({ length: 1000 }, (_, k) => `(${i * 1000 + k}, 'row ${k}')`).join(',')}`);
      }
    },
  },
];

await withServers(async (pair) => {
  const { ports } = pair;
  const seconds = STEPS.map(() => ({ PostgreSQL: [] as number[], Oxbow: [] as number[] }));
  const cpu = STEPS.map(() => ({ PostgreSQL: [] as number[], Oxbow: [] as number[] }));
  for (let round = 0; round < rounds; round++) {
    const clients = {} as Record<ServerName, pg.Client>;
    for (const name of SERVERS) {
      clients[name] = new pg.Client({ host: '127.0.0.1', port: ports[name], user: 'postgres', database: 'postgres' });
      await clients[name].connect();
      await clients[name].query('DROP TABLE IF EXISTS bulk, bulk_insert; CREATE TABLE bulk (aid int, bid int, abalance int, filler char(84))');
    }
    for (let step = 0; step < STEPS.length; step++) {
      for (const name of SERVERS) {
        const used = cpuSeconds(pair, name);
        const began = performance.now();
        await STEPS[step]!.run(clients[name], ports[name]);
        cpu[step]![name].push(cpuSeconds(pair, name) - used);
        seconds[step]![name].push((performance.now() - began) / 1000);
        note(`round ${round + 1}/${rounds} ${STEPS[step]!.name} ${name}: ${seconds[step]![name].at(-1)!.toFixed(2)} s`);
      }
    }
    for (const name of SERVERS) await clients[name].end();
  }
  const show = (value: number): string => value.toFixed(2);
  console.log(heading(`${rounds} rounds`));
  console.log('| work | PostgreSQL 16 s: median (min-max) | Oxbow s: median (min-max) | Oxbow / PostgreSQL, as speed | CPU s, PostgreSQL | CPU s, Oxbow |');
  console.log('|---|--:|--:|--:|--:|--:|');
  STEPS.forEach(({ name }, step) => console.log(`| ${name} | ${cell(seconds[step]!.PostgreSQL, show)} | ${cell(seconds[step]!.Oxbow, show)} | ${(median(seconds[step]!.PostgreSQL) / median(seconds[step]!.Oxbow)).toFixed(2)} | ${show(median(cpu[step]!.PostgreSQL))} | ${show(median(cpu[step]!.Oxbow))} |`));
});
