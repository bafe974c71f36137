/** `oxbow verify --from`: checks a target, and with --restore proves that it restores. */
import { tmpdir } from 'node:os';
import { formatLsn, formatTime } from '../../engine/backup/layout.js';
import { prove } from '../../engine/backup/prove.js';
import { describeNewest, verifyTarget } from '../../engine/backup/verify.js';
import { DatabaseError } from '../../engine/errors.js';
import { ProgressBar, duration, megabytes } from './progress.js';
import { open, recoveryTarget } from './target-options.js';
import type { KeyFlags, TargetFlags } from './target-options.js';

export interface VerifyBackupFlags extends KeyFlags, TargetFlags {
  readonly from: string;
  readonly restore?: boolean;
  readonly scratch?: string;
  readonly lineage?: string;
  readonly exclusive?: boolean;
}

export async function verifyBackup(flags: VerifyBackupFlags): Promise<void> {
  const { runtime, target, key } = open(flags.from, flags);
  const bar = new ProgressBar();
  try {
    const report = await verifyTarget(target, key, flags.lineage, (done, total) => bar.update('objects', done, total));
    bar.clear();
    process.stdout.write(`${report.objects} objects, ${megabytes(report.bytes)}, ${report.backups} backups, lineage ${report.lineage}\n`);
    for (const problem of report.problems) process.stdout.write(`PROBLEM ${problem}\n`);
    process.stdout.write(`${describeNewest(report)}\n`);
    if (report.problems.length > 0) throw new DatabaseError('XX001', `${report.problems.length} problems found in ${target.description}`);
    if (!flags.restore) return;
    const startMs = performance.now();
    const { restored, findings, provenMicros } = await prove(runtime, target, {
      scratch: flags.scratch ?? tmpdir(), key, recoveryTarget: recoveryTarget(flags), exclusive: flags.exclusive ?? false, lineage: flags.lineage,
      progress: (phase, done, total) => bar.update(phase, done, total), note: (text) => bar.note(text),
    });
    bar.clear();
    for (const problem of findings.problems) process.stdout.write(`PROBLEM ${problem}\n`);
    if (findings.problems.length > 0) throw new DatabaseError('XX001', `the restored state has ${findings.problems.length} problems`);
    process.stdout.write(
      `restored to LSN ${formatLsn(restored.end)} in ${duration((performance.now() - startMs) / 1000)}: ${findings.storages} relations, ${findings.rows} rows, ${findings.indexEntries} index entries read; ` +
      `${restored.replayed.comparisons} comparisons with the server's sums (${restored.replayed.relationsCompared} relations); proven at ${formatTime(provenMicros)}\n`,
    );
  } finally {
    bar.clear();
  }
}
