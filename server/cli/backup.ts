/** `oxbow backup` and `oxbow backups`. */
import { Command } from 'commander';
import { fullBackup } from '../../engine/backup/full-backup.js';
import { incrementalBackup } from '../../engine/backup/incremental-backup.js';
import { formatLsn, formatTime } from '../../engine/backup/layout.js';
import { listBackups, stateSize, storedSize } from '../../engine/backup/manifest.js';
import { DatabaseError } from '../../engine/errors.js';
import { ProgressBar, duration, megabytes } from './progress.js';
import { ReplicationClient } from './replication-client.js';
import { open, run, withKey } from './target-options.js';
import type { KeyFlags } from './target-options.js';

interface BackupFlags extends KeyFlags {
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
    .option('--max-rate <megabytes>', 'megabytes of state read in a second, at most'))
    .action((flags: BackupFlags) => run('backup', () => backup(flags)));
}

async function backup(flags: BackupFlags): Promise<void> {
  const { runtime, target, key } = open(flags.to, flags);
  const maxRate = flags.maxRate === undefined ? undefined : Number(flags.maxRate) * 2 ** 20;
  if (maxRate !== undefined && !(maxRate > 0)) throw new DatabaseError('22023', `--max-rate: "${flags.maxRate}" is not a number of megabytes`);
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
  } finally {
    bar.clear();
    await remote.close();
  }
}

export function backupsCommand(): Command {
  return withKey(new Command('backups').description('lists the backups in a target').requiredOption('--from <target>', 'directory, or s3://bucket/prefix').option('--json', 'as JSON'))
    .action((flags: KeyFlags & { from: string; json?: boolean }) => run('backups', () => list(flags)));
}

async function list(flags: KeyFlags & { readonly from: string; readonly json?: boolean }): Promise<void> {
  const { target, key } = open(flags.from, flags);
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
