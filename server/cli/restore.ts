/** `oxbow restore`: a data directory from a backup and the archived log. */
import { Command } from 'commander';
import { formatLsn, formatTime } from '../../engine/backup/layout.js';
import { restore } from '../../engine/backup/restore.js';
import { ProgressBar, duration } from './progress.js';
import { open, recoveryTarget, run, withKey } from './target-options.js';
import type { KeyFlags, TargetFlags } from './target-options.js';

interface RestoreFlags extends KeyFlags, TargetFlags {
  readonly from: string;
  readonly data: string;
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
  return withKey(withRecoveryTarget(new Command('restore').description('restores a data directory from a backup and the archived log')
    .requiredOption('--from <target>', 'directory, or s3://bucket/prefix')
    .requiredOption('--data <dir>', 'data directory to make: new or empty')))
    .action((flags: RestoreFlags) => run('restore', () => restoreData(flags)));
}

async function restoreData(flags: RestoreFlags): Promise<void> {
  const { runtime, target, key } = open(flags.from, flags);
  const bar = new ProgressBar();
  const startMs = performance.now();
  try {
    const restored = await restore(runtime, target, {
      directory: flags.data, key, recoveryTarget: recoveryTarget(flags), exclusive: flags.exclusive ?? false, lineage: flags.lineage,
      progress: (phase, done, total) => bar.update(phase, done, total), note: (text) => bar.note(text),
    });
    bar.clear();
    const { replayed } = restored;
    process.stdout.write(
      `restored to ${flags.data}: backup ${restored.backups.join(' + ')}, log to LSN ${formatLsn(restored.end)}, last commit ${formatTime(restored.lastCommitMicros)}, ${duration((performance.now() - startMs) / 1000)}\n` +
      `compared with the server's sums ${replayed.comparisons} times (${replayed.relationsCompared} relations)\n`,
    );
  } finally {
    bar.clear();
  }
}
