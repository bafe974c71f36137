/**
 * TPC-C on PostgreSQL 16 and Oxbow, in turns: new orders a minute, without keying and think times, terminals spread over the
 * warehouses. After the load and at the end all twelve consistency conditions of clause 3.3.2 are checked on both.
 *
 *   npm run bench:tpcc -- --warehouses 10 --terminals 8,32 --seconds 30 --rounds 2
 */
import { parseArgs } from 'node:util';
import { Random } from '../client/load.js';
import { ServerError, WireClient } from '../client/wire-client.js';
import { cell, heading, LAST_CORE, median, note, percentile, pinClient, SERVERS, whole, withServers, type ServerName } from '../oltp/servers.js';
import { violated } from './consistency.js';
import { load } from './schema.js';
import { delivery, newOrder, orderStatus, payment, stockLevel, type Terminal } from './transactions.js';

const { values } = parseArgs({
  options: {
    warehouses: { type: 'string', default: '10' }, terminals: { type: 'string', default: '8,32' }, seconds: { type: 'string', default: '30' },
    rounds: { type: 'string', default: '2' }, warmup: { type: 'string', default: '5' }, core: { type: 'string', default: LAST_CORE },
  },
});
const warehouses = Number(values.warehouses);

/** The mix of clause 5.2.3: a deck of cards. */
const DECK = [...Array<typeof newOrder>(45).fill(newOrder), ...Array<typeof payment>(43).fill(payment), ...Array<typeof orderStatus>(4).fill(orderStatus), ...Array<typeof delivery>(4).fill(delivery), ...Array<typeof stockLevel>(4).fill(stockLevel)];

interface Measured { newOrders: number; retried: number; readonly latencies: number[] }

async function terminal(port: number, number: number, until: () => boolean, into: Measured): Promise<void> {
  const random = new Random(number * 7919 + Math.floor(performance.now()));
  const client = await WireClient.connect(port);
  const self: Terminal = { client, random, warehouses, warehouse: (number % warehouses) + 1, district: (number % 10) + 1 };
  while (!until()) {
    const transaction = random.pick(DECK);
    const began = performance.now();
    for (;;) {
      try {
        const done = await transaction(self);
        if (transaction === newOrder && done) {
          into.newOrders++;
          into.latencies.push(performance.now() - began);
        }
        break;
      } catch (error) {
        if (!(error instanceof ServerError) || (error.sqlstate !== '40P01' && error.sqlstate !== '40001')) throw error;
        into.retried++;
        await client.run('ROLLBACK');
      }
    }
  }
  client.end();
}

async function run(port: number, terminals: number, seconds: number): Promise<{ perMinute: number; p95: number; retried: number }> {
  const measured: Measured = { newOrders: 0, retried: 0, latencies: [] };
  const began = performance.now();
  const end = began + seconds * 1000;
  await Promise.all(Array.from({ length: terminals }, (_, i) => terminal(port, i, () => performance.now() >= end, measured)));
  return { perMinute: (measured.newOrders * 60_000) / (performance.now() - began), p95: percentile(measured.latencies, 0.95), retried: measured.retried };
}

async function check(port: number, name: ServerName, when: string): Promise<void> {
  const client = await WireClient.connect(port);
  const found = await violated(client);
  client.end();
  if (found.length > 0) throw new Error(`${name} ${when}: consistency conditions ${found.join(', ')} do not hold`);
  note(`${name} ${when}: all 12 consistency conditions hold`);
}

await withServers(async ({ ports }) => {
  pinClient(values.core);
  const loaded = {} as Record<ServerName, number>;
  for (const name of SERVERS) {
    const began = performance.now();
    await load(ports[name], values.core, warehouses, (text) => note(`${name}: ${text}`));
    loaded[name] = (performance.now() - began) / 1000;
    note(`${name}: loaded in ${loaded[name].toFixed(1)} s`);
    await check(ports[name], name, 'after the load');
  }
  const counts = values.terminals.split(',').map(Number);
  const results = counts.map(() => ({ PostgreSQL: { perMinute: [] as number[], p95: [] as number[] }, Oxbow: { perMinute: [] as number[], p95: [] as number[] } }));
  for (const name of SERVERS) await run(ports[name], counts[0]!, Number(values.warmup));
  for (let round = 1; round <= Number(values.rounds); round++)
    for (let i = 0; i < counts.length; i++)
      for (const name of SERVERS) {
        const { perMinute, p95, retried } = await run(ports[name], counts[i]!, Number(values.seconds));
        results[i]![name].perMinute.push(perMinute);
        results[i]![name].p95.push(p95);
        note(`round ${round}/${values.rounds} ${counts[i]} terminals ${name}: ${whole(perMinute)} new orders a minute, p95 ${p95.toFixed(1)} ms, ${retried} retried`);
      }
  for (const name of SERVERS) await check(ports[name], name, 'at the end');
  console.log(heading(`TPC-C, ${warehouses} warehouses, ${values.seconds} s, ${values.rounds} rounds; loaded in ${loaded.PostgreSQL.toFixed(1)} s (PostgreSQL) and ${loaded.Oxbow.toFixed(1)} s (Oxbow); all 12 conditions hold on both`));
  console.log('| terminals | PostgreSQL 16, new orders a minute: median (min-max) | Oxbow: median (min-max) | Oxbow / PostgreSQL | p95 ms, PostgreSQL | p95 ms, Oxbow |');
  console.log('|--:|--:|--:|--:|--:|--:|');
  counts.forEach((count, i) => {
    const { PostgreSQL, Oxbow } = results[i]!;
    console.log(`| ${count} | ${cell(PostgreSQL.perMinute)} | ${cell(Oxbow.perMinute)} | ${(median(Oxbow.perMinute) / median(PostgreSQL.perMinute)).toFixed(2)} | ${median(PostgreSQL.p95).toFixed(1)} | ${median(Oxbow.p95).toFixed(1)} |`);
  });
});
