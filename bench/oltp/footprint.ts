/**
 * Memory and start-up of Oxbow alone: after start on an empty directory, per idle connection after one query each, and the time from
 * process start to the first answer after kill -9. Memory is anonymous and shared (RssAnon + RssShmem); mapped files are not counted.
 *
 *   npm run bench:footprint -- --connections 2000 --scale 10
 */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import pg from 'pg';
import { startTestServer, type TestServer } from '../../test/harness/server.js';
import { LAST_CORE, note, pgbench, whole } from './servers.js';

const { values } = parseArgs({ options: { connections: { type: 'string', default: '2000' }, scale: { type: 'string', default: '10' }, core: { type: 'string', default: LAST_CORE } } });

function memoryKb(server: TestServer): number {
  const status = readFileSync(`/proc/${server.process.pid}/status`, 'utf8');
  const field = (name: string): number => Number(new RegExp(`^${name}:\\s+(\\d+)`, 'm').exec(status)?.[1] ?? 0);
  return field('RssAnon') + field('RssShmem');
}

async function connect(port: number): Promise<pg.Client> {
  const client = new pg.Client({ host: '127.0.0.1', port, user: 'postgres', database: 'postgres' });
  await client.connect();
  await client.query('SELECT 1');
  return client;
}

const settle = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 3000));

const directory = mkdtempSync(join(tmpdir(), 'oxbow-bench-'));
try {
  let server = await startTestServer({ directory, keep: true });
  await settle();
  const idle = memoryKb(server);
  console.log(`memory after start, empty data directory: ${(idle / 1024).toFixed(0)} MB`);
  const clients: pg.Client[] = [];
  const count = Number(values.connections);
  while (clients.length < count) clients.push(...(await Promise.all(Array.from({ length: Math.min(50, count - clients.length) }, () => connect(server.port)))));
  await settle();
  const connected = memoryKb(server);
  console.log(`${whole(count)} idle connections after one query each: ${((connected - idle) / count).toFixed(1)} KB a connection`);
  for (const client of clients) await client.end();
  note('loading');
  await pgbench(server.port, values.core, ['-i', '-q', '-s', values.scale]);
  await pgbench(server.port, values.core, ['-n', '-c', '8', '-T', '3']);
  await server.kill();
  const began = performance.now();
  server = await startTestServer({ directory, keep: true });
  const client = await connect(server.port);
  const { rows } = await client.query('SELECT abalance FROM pgbench_accounts WHERE aid = 1');
  console.log(`from process start to the first query after kill -9, ${whole(Number(values.scale) * 100_000)} rows: ${(performance.now() - began).toFixed(0)} ms (${rows.length} row)`);
  await client.end();
  await server.stop();
} finally {
  rmSync(directory, { recursive: true, force: true });
}
