/**
 * How soon a server answers after kill -9 under load, by the size of its tables: rows with a primary key and a second
 * index, four clients that change rows by key, SIGKILL, a start, the first query by key.
 *
 *     node dist/bench/recovery/run.js [rows...]      default 100000 1000000; OXBOW_KILLS (5) for each size
 */
import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { copyLines } from '../client/load.js';
import { startTestServer } from '../../test/harness/server.js';

const sizes = process.argv.slice(2).map(Number).filter((n) => n > 0);
const KILLS = Number(process.env.OXBOW_KILLS ?? 5);
const LOAD_MS = 2000;
const STEP = 1_000_000;
const ANY_CORE = `0-${availableParallelism() - 1}`;
const directory = mkdtempSync(join(tmpdir(), 'oxbow-recovery-'));

async function connect(port: number): Promise<pg.Client> {
  const client = new pg.Client({ host: '127.0.0.1', port, user: 'postgres', database: 'postgres' });
  client.on('error', () => undefined);
  await client.connect();
  return client;
}

function* lines(from: number, to: number): Generator<string> {
  for (let id = from; id <= to; id++) yield `${id}\t${id % 1000}\t${createHash('md5').update(String(id)).digest('hex')}`;
}

/** Changes rows until the connection goes. */
async function change(port: number, rows: number): Promise<number> {
  let count = 0;
  try {
    const client = await connect(port);
    for (;;) {
      await client.query({ name: 'change', text: 'UPDATE t SET n = n + 1 WHERE id = $1', values: [1 + Math.floor(Math.random() * rows)] });
      count++;
    }
  } catch {
    return count;
  }
}

try {
  let server = await startTestServer({ directory, keep: true });
  let client = await connect(server.port);
  await client.query('CREATE TABLE t (id int PRIMARY KEY, n int, v text); CREATE INDEX t_n ON t (n)');
  let rows = 0;
  for (const size of sizes.length > 0 ? sizes : [100_000, 1_000_000]) {
    for (; rows < size; rows += Math.min(STEP, size - rows)) await copyLines(server.port, ANY_CORE, 't', lines(rows + 1, Math.min(rows + STEP, size)));
    await client.end();
    const firstMs: number[] = [];
    const replayed: number[] = [];
    let changes = 0;
    for (let kill = 0; kill < KILLS; kill++) {
      const load = Promise.all([1, 2, 3, 4].map(() => change(server.port, rows)));
      await new Promise((resolve) => setTimeout(resolve, LOAD_MS));
      await server.kill();
      changes += (await load).reduce((sum, n) => sum + n, 0);
      const began = performance.now();
      server = await startTestServer({ directory, keep: true });
      client = await connect(server.port);
      await client.query('SELECT v FROM t WHERE id = 4711');
      firstMs.push(performance.now() - began);
      replayed.push(Number(/"replayedBytes":(\d+)/.exec(server.log())![1]) / 2 ** 20);
      if (kill < KILLS - 1) await client.end();
    }
    firstMs.sort((a, b) => a - b);
    console.log(
      `${rows} rows, state ${(statSync(join(directory, 'state.mdb')).size / 2 ** 20).toFixed(0)} MB: first query ${firstMs[Math.floor(KILLS / 2)]!.toFixed(0)} ms after process start (worst ${firstMs.at(-1)!.toFixed(0)}) over ${KILLS} kills; ` +
      `${Math.max(...replayed).toFixed(2)} MB of log replayed at most; ${changes} changes before them`,
    );
  }
  await client.end();
  await server.stop();
} finally {
  rmSync(directory, { recursive: true, force: true });
}
