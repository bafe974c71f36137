/** PostgreSQL 16 and Oxbow, both with fsync on, side by side; pgbench against either; figures in cells. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { cpus, tmpdir, totalmem } from 'node:os';
import { join } from 'node:path';
import { runCommand } from '../../test/harness/command.js';
import { startOracle, type Oracle } from '../../test/harness/oracle.js';
import { startTestServer, type TestServer } from '../../test/harness/server.js';

export const SERVERS = ['PostgreSQL', 'Oxbow'] as const;
export type ServerName = (typeof SERVERS)[number];

export interface Pair {
  readonly postgres: Oracle;
  readonly oxbow: TestServer;
  readonly ports: Readonly<Record<ServerName, number>>;
}

/** The core that clients are pinned to by default: the last one. */
export const LAST_CORE = String(cpus().length - 1);

export const sharedBuffersMb = Math.min(1024, Math.floor(totalmem() / 4 / 2 ** 20));

/** Starts both, runs `work`, stops both. Data is in the temporary directory. */
export async function withServers(work: (pair: Pair) => Promise<void>): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), 'oxbow-bench-'));
  const postgres = await startOracle({ durable: true, settings: { shared_buffers: `${sharedBuffersMb}MB`, max_connections: '200', max_wal_size: '4GB' } });
  try {
    const oxbow = await startTestServer({ directory });
    try {
      await work({ postgres, oxbow, ports: { PostgreSQL: postgres.port, Oxbow: oxbow.port } });
    } finally {
      await oxbow.stop();
    }
  } finally {
    await postgres.stop();
    rmSync(directory, { recursive: true, force: true });
  }
}

/** Pins this process, when it is the client itself, and all of its threads. After the servers have started: they would inherit it. */
export function pinClient(core: string): void {
  spawnSync('taskset', ['-a', '-c', '-p', core, String(process.pid)]);
}

/** CPU seconds that a server has used so far, all threads and child processes; NaN where there is no /proc. Tells more than the clock on a machine with other work. */
export function cpuSeconds({ postgres, oxbow }: Pair, name: ServerName): number {
  const pid = name === 'Oxbow' ? oxbow.process.pid! : postgres.pid;
  try {
    const own = statOf(pid);
    let ticks = own.own + own.ended;
    if (name === 'PostgreSQL') for (const entry of readdirSync('/proc')) if (/^\d+$/.test(entry)) ticks += childTicks(entry, pid);
    return ticks / 100;
  } catch {
    return NaN;
  }
}

function childTicks(entry: string, parent: number): number {
  try {
    const { parent: found, own } = statOf(Number(entry));
    return found === parent ? own : 0;
  } catch {
    // gone meanwhile
    return 0;
  }
}

/** Clock ticks of a process, and of its children that have ended. */
function statOf(pid: number): { parent: number; own: number; ended: number } {
  const text = readFileSync(`/proc/${pid}/stat`, 'latin1');
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ').map(Number);
  return { parent: fields[1]!, own: fields[11]! + fields[12]!, ended: fields[13]! + fields[14]! };
}

/** Runs pgbench pinned to a core. Answers what it printed. */
export async function pgbench(port: number, core: string, args: readonly string[]): Promise<string> {
  const ran = await runCommand('taskset', ['-c', core, 'pgbench', '-h', '127.0.0.1', '-p', String(port), '-U', 'postgres', ...args, 'postgres'], { timeoutMs: 600_000 });
  if (ran.code !== 0 || /ERROR|FATAL|aborted/.test(ran.stderr)) throw new Error(`pgbench ${args.join(' ')} failed:\n${ran.stderr}`);
  return ran.stdout;
}

/** pgbench's own tables in both. */
export async function initialise(pair: Pair, core: string, scale: string): Promise<void> {
  for (const name of SERVERS) {
    const began = Date.now();
    await pgbench(pair.ports[name], core, ['-i', '-q', '-s', scale]);
    note(`${name}: pgbench -i -s ${scale} took ${((Date.now() - began) / 1000).toFixed(1)} s`);
  }
}

/** Progress, beside the table on stdout. */
export function note(text: string): void {
  process.stderr.write(`${text}\n`);
}

export function median(numbers: readonly number[]): number {
  const sorted = [...numbers].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

export function percentile(numbers: readonly number[], share: number): number {
  const sorted = [...numbers].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? NaN;
}

export const whole = (value: number): string => Math.round(value).toLocaleString('en-US');
/** Median with smallest and largest. */
export const cell = (runs: readonly number[], show: (value: number) => string = whole): string => `${show(median(runs))} (${show(Math.min(...runs))}-${show(Math.max(...runs))})`;

/** Date, machine and settings, for the head of a table. */
export function heading(settings: string): string {
  return `${new Date().toISOString().slice(0, 10)}, ${cpus().length} cores (${cpus()[0]?.model ?? 'unknown'}), Node ${process.version}, ${settings}, shared_buffers ${sharedBuffersMb}MB\n`;
}
