/**
 * What a restart costs by the log it has to replay: a server at pgbench scale 10 is killed with a given
 * amount of log not applied, and started again. Played by putting the state of before the load back
 * under the log of the load, whose segments a faulty server was told to keep.
 *
 *     node dist/bench/replay/run.js [megabytes...]      default 16 64; OXBOW_PGBENCH_SCALE (10)
 */
import { copyFileSync, mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { spawn } from 'node:child_process';
import pg from 'pg';
import { startTestServer } from '../../test/harness/server.js';
import { pgbench } from '../../test/harness/tpcb.js';

const sizes = process.argv.slice(2).map(Number).filter((n) => n > 0);
const directory = mkdtempSync(join(tmpdir(), 'oxbow-replay-'));
const state = join(directory, 'state.mdb');
/** Log on disk, in whole segments. */
const logBytes = (): number => readdirSync(join(directory, 'log')).filter((name) => /^\d+\.log$/.test(name)).reduce((sum, name) => sum + statSync(join(directory, 'log', name)).size, 0);

try {
  let server = await startTestServer({ directory });
  await pgbench(server.port, ['-i', '-q', '-s', process.env.OXBOW_PGBENCH_SCALE ?? '10']);
  await server.stop();
  for (const megabytes of sizes.length > 0 ? sizes : [16, 64]) {
    copyFileSync(state, `${state}.before`);
    server = await startTestServer({ directory, faulty: true, keep: true });
    await server.command({ keepLog: true });
    const load = spawn('pgbench', ['-h', '127.0.0.1', '-p', String(server.port), '-U', 'postgres', '-n', '-M', 'prepared', '-c', '32', '-T', '120', 'postgres'], { stdio: 'ignore' });
    const before = logBytes();
    while (logBytes() - before < megabytes * 2 ** 20) await new Promise((resolve) => setTimeout(resolve, 50));
    await server.kill();
    load.kill();
    for (const name of readdirSync(directory)) if (name.startsWith('state.mdb') && !name.endsWith('.before')) rmSync(join(directory, name));
    copyFileSync(`${state}.before`, state);
    const began = performance.now();
    server = await startTestServer({ directory, keep: true });
    const client = new pg.Client({ host: '127.0.0.1', port: server.port, user: 'postgres', database: 'postgres' });
    await client.connect();
    const { rows } = await client.query<{ n: number }>('SELECT count(*)::int AS n FROM pgbench_history WHERE tid = 1');
    const firstMs = performance.now() - began;
    const match = /"replayedBytes":(\d+),"replayMs":(\d+)/.exec(server.log())!;
    const replayed = Number(match[1]) / 2 ** 20;
    console.log(`${replayed.toFixed(1)} MB of log replayed in ${match[2]} ms (${(Number(match[2]) / replayed).toFixed(1)} ms/MB); first query ${firstMs.toFixed(0)} ms after process start; state ${(statSync(state).size / 2 ** 20).toFixed(0)} MB, ${rows[0]!.n} rows counted`);
    await client.end();
    await server.stop();
  }
} finally {
  rmSync(directory, { recursive: true, force: true });
}
