/** `oxbow restore`: a data directory from a backup and the archived log. */
import { Command } from 'commander';
import { formatLsn, formatTime } from '../../engine/backup/layout.js';
import { restore } from '../../engine/backup/restore.js';
import { DatabaseError } from '../../engine/errors.js';
import { ProgressBar, duration } from './progress.js';
import { restoreTables } from './restore-tables.js';
import { open, recoveryTarget, run, withKey } from './target-options.js';
import type { KeyFlags, TargetFlags } from './target-options.js';

interface RestoreFlags extends KeyFlags, TargetFlags {
  readonly from: string;
  readonly data?: string;
  readonly tables?: string;
  readonly url?: string;
  readonly intoSchema?: string;
  readonly as?: string;
  readonly scratch?: string;
  readonly exclusive?: boolean;
  readonly lineage?: string;
}

export function withRecoveryTarget(command: Command): Command {
  return command
    .option('--to-time <time>', 'stop behind the last commit at or before this time (ISO 8601, up to microseconds)')
    .option('--to-lsn <lsn>', 'stop behind the last record at or before this LSN')
    .option('--to-xid <xid>', 'stop behind the end of this transaction')
    .option('--to-name <name>', 'stop at this restore point (pg_create_restore_point)')
    .option('--exclusive', 'stop right before the target instead of behind it')
    .option('--lineage <id>', 'the history to follow; by default the newest');
}

export function restoreCommand(): Command {
  return withKey(withRecoveryTarget(new Command('restore').description('restores a data directory, or tables of a running server, from a backup and the archived log')
    .requiredOption('--from <target>', 'directory, or s3://bucket/prefix')
    .option('--data <dir>', 'data directory to make: new or empty')
    .option('--tables <names>', 'instead: restore these tables (schema.table, with commas between) into the running server at --url')
    .option('--url <url>', 'with --tables: the running server and the database, as postgresql://user@host:port/database')
    .option('--into-schema <schema>', 'with --tables: the schema to restore them into; made if it does not exist')
    .option('--as <name>', 'with one table: its new name, in its own schema')
    .option('--scratch <dir>', 'with --tables: where the state is restored meanwhile; by default the temporary directory')))
    .action((flags: RestoreFlags) => run('restore', () => restoreData(flags)));
}

async function restoreData(flags: RestoreFlags): Promise<void> {
  const { runtime, target, key } = open(flags.from, flags);
  const bar = new ProgressBar();
  const startMs = performance.now();
  if ((flags.data === undefined) === (flags.tables === undefined)) throw new DatabaseError('22023', 'give --data for the directory to make, or --tables');
  try {
    if (flags.tables !== undefined) {
      if (flags.url === undefined) throw new DatabaseError('22023', '--tables needs --url, the server to restore them into');
      const report = await restoreTables({ runtime, target, key }, {
        tables: flags.tables.split(',').filter((name) => name.trim() !== ''), url: flags.url, intoSchema: flags.intoSchema, as: flags.as,
        recoveryTarget: recoveryTarget(flags), exclusive: flags.exclusive ?? false, lineage: flags.lineage, scratch: flags.scratch,
      }, bar);
      bar.clear();
      process.stdout.write(`${report.join('\n')}\n`);
      return;
    }
    const restored = await restore(runtime, target, {
      directory: flags.data!, key, recoveryTarget: recoveryTarget(flags), exclusive: flags.exclusive ?? false, lineage: flags.lineage,
      progress: (phase, done, total) => bar.update(phase, done, total), note: (text) => bar.note(text),
    });
    bar.clear();
    const { replayed } = restored;
    process.stdout.write(
      `restored to ${flags.data!}: backup ${restored.backups.join(' + ')}, log to LSN ${formatLsn(restored.end)}, last commit ${formatTime(restored.lastCommitMicros)}, ${duration((performance.now() - startMs) / 1000)}\n` +
      `compared with the server's sums ${replayed.comparisons} times (${replayed.relationsCompared} relations)\n`,
    );
  } finally {
    bar.clear();
  }
}
