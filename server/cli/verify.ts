/** `oxbow verify`: of a backup (--from, verify-backup.ts), of a data directory or a running server (--data, --url: verify-data.ts). */
import { Command } from 'commander';
import { withRecoveryTarget } from './restore.js';
import { run, withKey } from './target-options.js';
import { verifyBackup } from './verify-backup.js';
import type { VerifyBackupFlags } from './verify-backup.js';
import { verifyData } from './verify-data.js';

interface VerifyFlags extends Partial<VerifyBackupFlags> {
  readonly data?: string;
  readonly url?: string;
}

const COULD_NOT = 2;

export function verifyCommand(): Command {
  return withKey(withRecoveryTarget(new Command('verify').description('checks a backup, a data directory or a running server')
    .option('--data <dir>', 'data directory of a server that is stopped (OXBOW_DATA, default ./oxbow-data)')
    .option('--url <url>', 'ops address of a running server (http://host:9090): it checks itself')
    .option('--from <target>', 'backups to check: every object, and the chain of log pieces')
    .option('--restore', 'restore them to a scratch directory too, and compare every relation with the sums that the log carries')
    .option('--scratch <dir>', 'where the scratch directory is made; by default the system\'s temporary directory')))
    .action(async (flags: VerifyFlags) => {
      if ([flags.from, flags.data, flags.url].filter((flag) => flag !== undefined).length > 1) {
        process.stderr.write('oxbow verify: give one of --from, --data and --url\n');
        process.exitCode = COULD_NOT;
      } else if (flags.from !== undefined) await run('verify', () => verifyBackup({ ...flags, from: flags.from! }));
      else process.exitCode = await verifyData(flags);
    });
}
