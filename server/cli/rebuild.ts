/** `oxbow rebuild`: the state of a data directory anew, from its log or from a backup and the log. */
import { Command } from 'commander';
import { formatLsn } from '../../engine/backup/layout.js';
import { rebuild } from '../../engine/backup/rebuild.js';
import { nodeRuntime } from '../../engine/runtime-node.js';
import { ProgressBar, duration } from './progress.js';
import { open, run, withKey } from './target-options.js';
import type { KeyFlags } from './target-options.js';

interface RebuildFlags extends KeyFlags {
  readonly data: string;
  readonly from?: string;
}

export function rebuildCommand(): Command {
  return withKey(new Command('rebuild').description('makes the state of a data directory anew from its log, or from a backup and the log')
    .requiredOption('--data <dir>', 'data directory of a server that is stopped')
    .option('--from <target>', 'where its backups and archived log are: a directory, or s3://bucket/prefix'))
    .action((flags: RebuildFlags) => run('rebuild', () => rebuildData(flags)));
}

async function rebuildData(flags: RebuildFlags): Promise<void> {
  const opened = flags.from === undefined ? undefined : open(flags.from, flags);
  const bar = new ProgressBar();
  const startMs = performance.now();
  try {
    const rebuilt = await rebuild(opened?.runtime ?? nodeRuntime(), flags.data, {
      target: opened?.target, key: opened?.key, progress: (phase, done, total) => bar.update(phase, done, total), note: (text) => bar.note(text),
    });
    bar.clear();
    const { replayed } = rebuilt;
    process.stdout.write(
      `rebuilt ${flags.data}: ${rebuilt.backups.length > 0 ? `backup ${rebuilt.backups.join(' + ')}, ` : ''}log to LSN ${formatLsn(rebuilt.end)}, ${duration((performance.now() - startMs) / 1000)}\n` +
      `compared with the server's sums ${replayed.comparisons} times (${replayed.relationsCompared} relations)\n` +
      (rebuilt.former === undefined ? '' : `the former state is ${rebuilt.former}; remove it when oxbow verify finds the directory sound\n`),
    );
  } finally {
    bar.clear();
  }
}
