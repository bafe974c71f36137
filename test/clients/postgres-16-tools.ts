/**
 * pg_dump, pg_restore and pg_dumpall of PostgreSQL 16 (Debian's are 15 and refuse a newer server): from PyPI's
 * `pgserver`, whose wheel carries them. Downloaded once per machine into the temporary directory.
 */
import { execFileSync } from 'node:child_process';
import { chmodSync, existsSync, mkdtempSync, readdirSync, renameSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const WHEEL = 'pgserver==0.1.4';

/** The folder with the programs. */
export function postgres16Tools(): string {
  const kept = join(tmpdir(), 'oxbow-postgres-16-tools');
  const bin = join(kept, 'pgserver', 'pginstall', 'bin');
  if (existsSync(join(bin, 'pg_dump'))) return bin;
  const made = mkdtempSync(join(tmpdir(), 'oxbow-tools-'));
  try {
    execFileSync('python3', ['-m', 'pip', 'download', '-q', '--no-deps', '-d', made, WHEEL], { stdio: ['ignore', 'ignore', 'inherit'] });
    const wheel = readdirSync(made).find((name) => name.endsWith('.whl'))!;
    execFileSync('python3', ['-m', 'zipfile', '-e', join(made, wheel), join(made, 'tools')], { stdio: ['ignore', 'ignore', 'inherit'] });
  } catch (error) {
    throw new Error(`PostgreSQL 16's pg_dump is needed: python3 with pip, to download ${WHEEL} from PyPI (apt-get install python3-pip)`, { cause: error });
  }
  for (const name of readdirSync(join(made, 'tools', 'pgserver', 'pginstall', 'bin'))) chmodSync(join(made, 'tools', 'pgserver', 'pginstall', 'bin', name), 0o755);
  try {
    renameSync(join(made, 'tools'), kept);
  } catch {
    // Somebody else was quicker.
  }
  return bin;
}
