/**
 * PostgreSQL 16 and Oxbow side by side under pgbench, both with fsync on, on this machine: `npm run bench:oltp`.
 *
 * Both servers run all the time and pgbench takes turns between them, because a machine drifts over minutes: each
 * round runs every case on PostgreSQL and then on Oxbow, and medians over the rounds are compared. Prints a markdown table.
 *
 *   npm run bench:oltp -- --seconds 3 --rounds 3 --scale 10 --clients 1,8,32 --core 0
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { cpus, tmpdir, totalmem } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { runCommand } from '../../test/harness/command.js';
import { startOracle } from '../../test/harness/oracle.js';
import { startTestServer } from '../../test/harness/server.js';

const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '5' },
    rounds: { type: 'string', default: '3' },
    scale: { type: 'string', default: '10' },
    clients: { type: 'string', default: '1,8,32' },
    /** The core pgbench is pinned to: by default the last one. */
    core: { type: 'string', default: String(cpus().length - 1) },
  },
});
const SCRIPTS = ['select-only', 'tpcb-like'] as const;
const SERVERS = ['PostgreSQL', 'Oxbow'] as const;
const clientCounts = values.clients.split(',').map(Number);
const rounds = Number(values.rounds);

async function pgbench(port: number, args: readonly string[]): Promise<string> {
  const ran = await runCommand('taskset', ['-c', values.core, 'pgbench', '-h', '127.0.0.1', '-p', String(port), '-U', 'postgres', ...args, 'postgres'], { timeoutMs: 600_000 });
  if (ran.code !== 0 || /ERROR|FATAL|aborted/.test(ran.stderr)) throw new Error(`pgbench ${args.join(' ')} failed:\n${ran.stderr}`);
  return ran.stdout;
}

async function measure(port: number, script: string, clients: number): Promise<number> {
  const output = await pgbench(port, ['-n', '-b', script, '-M', 'prepared', '-c', String(clients), '-j', '1', '-T', values.seconds]);
  const found = /tps = ([\d.]+) \(without initial connection time\)/.exec(output);
  if (!found) throw new Error(`pgbench said no tps:\n${output}`);
  return Number(found[1]);
}

function median(numbers: readonly number[]): number {
  const sorted = [...numbers].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

const whole = (tps: number): string => Math.round(tps).toLocaleString('en-US');
const cell = (runs: readonly number[]): string => `${whole(median(runs))} (${whole(Math.min(...runs))}-${whole(Math.max(...runs))})`;

const directory = mkdtempSync(join(tmpdir(), 'oxbow-bench-'));
const sharedBuffers = Math.min(1024, Math.floor(totalmem() / 4 / 2 ** 20));
const postgres = await startOracle({ durable: true, settings: { shared_buffers: `${sharedBuffers}MB`, max_connections: '200' } });
try {
  const oxbow = await startTestServer({ directory });
  try {
    const ports = { PostgreSQL: postgres.port, Oxbow: oxbow.port };
    for (const name of SERVERS) {
      const began = Date.now();
      await pgbench(ports[name], ['-i', '-q', '-s', values.scale]);
      process.stderr.write(`${name}: pgbench -i -s ${values.scale} took ${((Date.now() - began) / 1000).toFixed(1)} s\n`);
    }
    const cases = SCRIPTS.flatMap((script) => clientCounts.map((clients) => ({ script, clients, tps: { PostgreSQL: [] as number[], Oxbow: [] as number[] } })));
    for (let round = 0; round < rounds; round++) {
      for (const { script, clients, tps } of cases) {
        for (const name of SERVERS) {
          const found = await measure(ports[name], script, clients);
          tps[name].push(found);
          process.stderr.write(`round ${round + 1}/${rounds} ${script} ${clients} clients ${name}: ${whole(found)} tps\n`);
        }
      }
    }
    console.log(`${new Date().toISOString().slice(0, 10)}, ${cpus().length} cores (${cpus()[0]?.model ?? 'unknown'}), Node ${process.version}, scale ${values.scale}, ${values.seconds} s, ${rounds} rounds, shared_buffers ${sharedBuffers}MB\n`);
    console.log('| script | clients | PostgreSQL 16 tps: median (min-max) | Oxbow tps: median (min-max) | Oxbow / PostgreSQL |');
    console.log('|---|--:|--:|--:|--:|');
    for (const { script, clients, tps } of cases) console.log(`| ${script} | ${clients} | ${cell(tps.PostgreSQL)} | ${cell(tps.Oxbow)} | ${(median(tps.Oxbow) / median(tps.PostgreSQL)).toFixed(2)} |`);
  } finally {
    await oxbow.stop();
  }
} finally {
  await postgres.stop();
  rmSync(directory, { recursive: true, force: true });
}
