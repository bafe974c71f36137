/** `oxbow backup` and `oxbow backups`. */
import { setPriority } from 'node:os';
import { Command } from 'commander';
import { fullBackup } from '../../engine/backup/full-backup.js';
import { incrementalBackup } from '../../engine/backup/incremental-backup.js';
import { formatLsn, formatTime } from '../../engine/backup/layout.js';
import { listBackups, stateSize, storedSize } from '../../engine/backup/manifest.js';
import { applyRetention } from '../../engine/backup/retention.js';
import type { Removed, RetentionPolicy } from '../../engine/backup/retention.js';
import { DatabaseError } from '../../engine/errors.js';
import { ProgressBar, duration, megabytes } from './progress.js';
import { ReplicationClient } from './replication-client.js';
import { open, run, withKey } from './target-options.js';
import type { KeyFlags } from './target-options.js';

const NICE = 10;

interface RetentionFlags {
  readonly keepFull?: string;
  readonly keepDays?: string;
}

interface BackupFlags extends KeyFlags, RetentionFlags {
  readonly url: string;
  readonly to: string;
  readonly incremental?: boolean;
  readonly maxRate?: string;
}

export function backupCommand(): Command {
  return withKey(new Command('backup').description('takes a backup of a running server')
    .requiredOption('--url <url>', 'the server, as postgresql://user@host:port/database; the role needs REPLICATION')
    .requiredOption('--to <target>', 'directory, or s3://bucket/prefix (AWS_ environment variables)')
    .option('--incremental', 'only what changed since the newest backup there')
    .option('--max-rate <megabytes>', 'megabytes of state read in a second, at most')
    .option('--keep-full <number>', 'afterwards remove what is older than so many full backups')
    .option('--keep-days <number>', 'afterwards remove what no point of the last so many days needs'))
    .action((flags: BackupFlags) => run('backup', () => backup(flags)));
}

async function backup(flags: BackupFlags): Promise<void> {
  const { runtime, target, key } = open(flags.to, flags);
  const maxRate = flags.maxRate === undefined ? undefined : Number(flags.maxRate) * 2 ** 20;
  if (maxRate !== undefined && !(maxRate > 0)) throw new DatabaseError('22023', `--max-rate: "${flags.maxRate}" is not a number of megabytes`);
  const policy = retentionOf(flags);
  // Where it runs beside the server, that one goes first.
  setPriority(NICE);
  const remote = await ReplicationClient.connect(flags.url);
  const bar = new ProgressBar();
  const startMs = performance.now();
  try {
    const manifest = await (flags.incremental ? incrementalBackup : fullBackup)(runtime, target, remote, {
      key, maxRate, progress: (done, total) => bar.update('backup', done, total), note: (text) => bar.note(text),
    });
    bar.clear();
    const seconds = (performance.now() - startMs) / 1000;
    const { rows } = stateSize(manifest.mark);
    process.stdout.write(`backup ${manifest.id} complete: LSN ${formatLsn(manifest.lsn)}, ${rows} rows, ${megabytes(storedSize(manifest))} stored, ${duration(seconds)}\n`);
    if (policy) process.stdout.write(describeRemoved(await applyRetention(target, key, policy, runtime.clock.nowMicros())));
  } finally {
    bar.clear();
    await remote.close();
  }
}

/** Both bounds count: what either of them keeps is kept. */
function retentionOf({ keepFull, keepDays }: RetentionFlags): RetentionPolicy | undefined {
  if (keepFull === undefined && keepDays === undefined) return undefined;
  return { keepFull: wholeNumber('--keep-full', keepFull, 1), keepDays: wholeNumber('--keep-days', keepDays, 0) };
}

function wholeNumber(name: string, text: string | undefined, least: number): number | undefined {
  if (text === undefined) return undefined;
  if (!/^\d+$/.test(text) || Number(text) < least) throw new DatabaseError('22023', `${name}: "${text}" is not a whole number from ${least} on`);
  return Number(text);
}

const describeRemoved = ({ backups, logObjects, bytes }: Removed): string => `removed ${backups.length} backups and ${logObjects} objects of log, ${megabytes(bytes)}\n`;

interface ListFlags extends KeyFlags, RetentionFlags {
  readonly from: string;
  readonly json?: boolean;
}

export function backupsCommand(): Command {
  return withKey(new Command('backups').description('lists the backups in a target')
    .requiredOption('--from <target>', 'directory, or s3://bucket/prefix')
    .option('--json', 'as JSON')
    .option('--keep-full <number>', 'first remove what is older than so many full backups')
    .option('--keep-days <number>', 'first remove what no point of the last so many days needs'))
    .action((flags: ListFlags) => run('backups', () => list(flags)));
}

async function list(flags: ListFlags): Promise<void> {
  const { runtime, target, key } = open(flags.from, flags);
  const policy = retentionOf(flags);
  if (policy) process.stderr.write(describeRemoved(await applyRetention(target, key, policy, runtime.clock.nowMicros())));
  const rows = (await listBackups(target, key)).map(({ id, manifest, damage, provenMicros }) => ({
    id,
    kind: manifest?.kind ?? null,
    lsn: manifest ? formatLsn(manifest.lsn) : null,
    time: manifest ? formatTime(manifest.mark.lastCommitMicros) : null,
    bytes: manifest ? storedSize(manifest) : null,
    proven: provenMicros === undefined ? null : formatTime(provenMicros),
    state: damage ? `damaged: ${damage.message}` : manifest ? 'complete' : 'unfinished',
  }));
  if (flags.json) return void process.stdout.write(`${JSON.stringify(rows)}\n`);
  const head = ['ID', 'KIND', 'LSN', 'LAST COMMIT', 'SIZE', 'PROVEN', 'STATE'];
  const table = [head, ...rows.map((row) => [row.id, row.kind ?? '-', row.lsn ?? '-', row.time ?? '-', row.bytes === null ? '-' : megabytes(row.bytes), row.proven ?? 'no', row.state])];
  const widths = head.map((_, column) => Math.max(...table.map((line) => line[column]!.length)));
  for (const line of table) process.stdout.write(`${line.map((cell, column) => cell.padEnd(widths[column]!)).join('  ').trimEnd()}\n`);
}
