/**
 * Backups beside PostgreSQL's: a full backup and its restore against pg_basebackup and pg_dump/pg_restore on
 * the same rows; an incremental one after 1% of the rows changed; and what a running backup does to the
 * latency of point reads and commits at 70% of peak load.
 *
 *     node dist/bench/backup/run.js --scale 20 --seconds 4 --parts throughput,incremental,latency
 */
import { spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { oxbow } from '../../test/backup/oxbow.js';
import { postgres16Tools } from '../../test/clients/postgres-16-tools.js';
import { ask } from '../../test/harness/ask.js';
import { runCommand } from '../../test/harness/command.js';
import { mainEntry } from '../../test/harness/entry.js';
import { heading, initialise, LAST_CORE, note, percentile, pgbench, whole, withServers } from '../oltp/servers.js';

const { values } = parseArgs({
  options: {
    scale: { type: 'string', default: '20' }, seconds: { type: 'string', default: '4' }, rounds: { type: 'string', default: '3' }, clients: { type: 'string', default: '8' },
    core: { type: 'string', default: LAST_CORE }, parts: { type: 'string', default: 'throughput,incremental,latency' }, 'max-rate': { type: 'string', default: '20' },
  },
});
const parts = new Set(values.parts.split(','));
const rounds = Number(values.rounds);
const work = mkdtempSync(join(tmpdir(), 'oxbow-bench-backup-'));

function sizeOf(path: string): number {
  const stat = statSync(path);
  if (!stat.isDirectory()) return stat.size;
  return readdirSync(path).reduce((sum, name) => sum + sizeOf(join(path, name)), 0);
}

const mb = (bytes: number): string => (bytes / 2 ** 20).toFixed(bytes < 10 * 2 ** 20 ? 2 : 0);

async function timed(action: () => Promise<unknown>): Promise<number> {
  const began = performance.now();
  await action();
  return (performance.now() - began) / 1000;
}

async function tool(name: string, ...args: readonly string[]): Promise<void> {
  const ran = await runCommand(join(postgres16Tools(), name), args, { timeoutMs: 600_000 });
  if (ran.code !== 0) throw new Error(`${name} ${args.join(' ')} failed:\n${ran.stderr}`);
}

/** Runs the action `rounds` times; the seconds of the fastest. */
async function best(what: string, action: (round: number) => Promise<void>): Promise<number> {
  const seconds: number[] = [];
  for (let round = 0; round < rounds; round++) seconds.push(await timed(() => action(round)));
  note(`${what}: ${seconds.map((second) => second.toFixed(1)).join(', ')} s`);
  return Math.min(...seconds);
}

function line(cells: readonly string[]): void {
  console.log(`| ${cells.join(' | ')} |`);
}

async function throughput(postgresPort: number, oxbowPort: number, target: string): Promise<void> {
  const at = ['-h', '127.0.0.1', '-p', String(postgresPort), '-U', 'postgres'];
  const url = `postgresql://postgres@127.0.0.1:${oxbowPort}/postgres`;
  await ask(postgresPort, 'CHECKPOINT');
  const database = Number(await ask(postgresPort, "SELECT pg_database_size('postgres')"));
  console.log(`Database of ${mb(database)} MB in PostgreSQL, tables and indexes; best of ${rounds}.\n`);
  line(['', 'seconds', 'MB of database a second', 'MB stored']);
  line(['---', '--:', '--:', '--:']);
  const row = (what: string, seconds: number, stored: number): void => line([what, seconds.toFixed(1), whole(database / 2 ** 20 / seconds), stored > 0 ? mb(stored) : '']);
  const fresh = (name: string): string => {
    const path = join(work, name);
    rmSync(path, { recursive: true, force: true });
    return path;
  };
  row('pg_basebackup, plain', await best('pg_basebackup', () => tool('pg_basebackup', ...at, '-D', fresh('base'), '-c', 'fast', '-X', 'none', '--no-manifest')), sizeOf(join(work, 'base')));
  mkdirSync(join(work, 'tar'), { recursive: true });
  row('pg_basebackup, tar, gzip 1', await best('pg_basebackup gzip', () => tool('pg_basebackup', ...at, '-D', fresh('tar'), '-Ft', '-Z', 'gzip:1', '-c', 'fast', '-X', 'none')), sizeOf(join(work, 'tar')));
  row('oxbow backup', await best('oxbow backup', async (round) => void (await oxbow('backup', '--url', url, '--to', round === 0 ? target : fresh('again')))), sizeOf(join(target, 'backups')));
  row('pg_dump -Fc', await best('pg_dump -Fc', () => tool('pg_dump', ...at, '-Fc', '-f', join(work, 'dump'), 'postgres')), sizeOf(join(work, 'dump')));
  row('pg_dump -Fd -j 2', await best('pg_dump -Fd', () => tool('pg_dump', ...at, '-Fd', '-j', '2', '-f', fresh('dumped'), 'postgres')), sizeOf(join(work, 'dumped')));
  row('oxbow restore', await best('oxbow restore', async () => void (await oxbow('restore', '--from', target, '--data', fresh('restored')))), 0);
  row('oxbow verify --restore', await best('oxbow verify', async () => void (await oxbow('verify', '--from', target, '--restore', '--scratch', work))), 0);
  row('pg_restore -j 2 (of -Fd)', await best('pg_restore', async (round) => {
    await ask(postgresPort, `CREATE DATABASE restored_${round}`);
    await tool('pg_restore', ...at, '-j', '2', '-d', `restored_${round}`, join(work, 'dumped'));
    await ask(postgresPort, `DROP DATABASE restored_${round}`);
  }), 0);
  console.log('');
}

async function incremental(oxbowPort: number, target: string): Promise<void> {
  const url = `postgresql://postgres@127.0.0.1:${oxbowPort}/postgres`;
  const accounts = Number(values.scale) * 100_000;
  const full = sizeOf(join(target, 'backups'));
  await ask(oxbowPort, `UPDATE pgbench_accounts SET abalance = abalance + 1 WHERE aid % 100 = 0`);
  const before = sizeOf(join(target, 'backups'));
  const seconds = await timed(() => oxbow('backup', '--url', url, '--to', target, '--incremental'));
  const size = sizeOf(join(target, 'backups')) - before;
  console.log(`Incremental after 1% of ${whole(accounts)} accounts changed: ${mb(size)} MB stored (${((size / full) * 100).toFixed(1)}% of the full backup's ${mb(full)} MB), ${seconds.toFixed(1)} s.\n`);
}

async function latencies(port: number, script: string, rate: number): Promise<number[]> {
  const directory = mkdtempSync(join(work, 'latency-'));
  await pgbench(port, values.core, ['-n', '-b', script, '-M', 'prepared', '-c', values.clients, '-j', '1', '-T', values.seconds, '--rate', String(rate), '-l', '--log-prefix', join(directory, 'log')]);
  return readdirSync(directory).flatMap((file) => readFileSync(join(directory, file), 'utf8').split('\n').filter((text) => text !== '').map((text) => Number(text.split(' ')[2])));
}

/** Backups one after the other until told to stop. Returns how many were taken. */
function backups(url: string, args: readonly string[]): { stop(): Promise<number> } {
  let going = true;
  let taken = 0;
  const loop = (async () => {
    while (going) {
      const to = join(work, 'running');
      rmSync(to, { recursive: true, force: true });
      const child = spawn(process.execPath, [mainEntry, 'backup', '--url', url, '--to', to, ...args], { stdio: 'ignore' });
      const stopper = setInterval(() => void (!going && child.kill()), 20);
      const code = await new Promise((resolve) => child.once('exit', resolve));
      clearInterval(stopper);
      if (code === 0) taken++;
    }
  })();
  return {
    async stop() {
      going = false;
      await loop;
      return taken;
    },
  };
}

async function latency(oxbowPort: number): Promise<void> {
  const url = `postgresql://postgres@127.0.0.1:${oxbowPort}/postgres`;
  line(['', 'rate', 'backup', 'p50 ms', 'p99 ms', 'p99 against none']);
  line(['---', '--:', '---', '--:', '--:', '--:']);
  for (const script of ['select-only', 'simple-update']) {
    const output = await pgbench(oxbowPort, values.core, ['-n', '-b', script, '-M', 'prepared', '-c', values.clients, '-j', '1', '-T', values.seconds]);
    const rate = Math.floor(Number(/tps = ([\d.]+)/.exec(output)![1]) * 0.7);
    const figures = new Map<string, { p50: number[]; p99: number[] }>();
    for (let round = 0; round < rounds; round++)
      for (const [name, args] of [['none', undefined], [`--max-rate ${values['max-rate']}`, ['--max-rate', values['max-rate']]], ['unbounded', []]] as const) {
        const running = args && backups(url, args);
        const found = await latencies(oxbowPort, script, rate);
        await running?.stop();
        const known = figures.get(name) ?? { p50: [], p99: [] };
        known.p50.push(percentile(found, 0.5) / 1000);
        known.p99.push(percentile(found, 0.99) / 1000);
        figures.set(name, known);
        note(`${script}, backup ${name}: p99 ${known.p99.at(-1)!.toFixed(2)} ms`);
      }
    const middle = (numbers: readonly number[]): number => [...numbers].sort((a, b) => a - b)[numbers.length >> 1]!;
    const base = middle(figures.get('none')!.p99);
    for (const [name, { p50, p99 }] of figures) line([script, whole(rate), name, middle(p50).toFixed(2), middle(p99).toFixed(2), `${((middle(p99) / base - 1) * 100).toFixed(0)}%`]);
  }
}

try {
  await withServers(async (pair) => {
    await initialise(pair, values.core, values.scale);
    console.log(heading(`scale ${values.scale}, ${values.clients} clients, pgbench pinned to core ${values.core}`));
    const target = join(work, 'target');
    const { PostgreSQL, Oxbow } = pair.ports;
    if (parts.has('throughput')) await throughput(PostgreSQL, Oxbow, target);
    if (parts.has('incremental')) {
      if (!parts.has('throughput')) await oxbow('backup', '--url', `postgresql://postgres@127.0.0.1:${Oxbow}/postgres`, '--to', target);
      await incremental(Oxbow, target);
    }
    if (parts.has('latency')) await latency(Oxbow);
  });
} finally {
  rmSync(work, { recursive: true, force: true });
}
