/** Programs that come in wheels from PyPI: downloaded once per machine into the temporary directory, unpacked, not installed. */
import { execFileSync } from 'node:child_process';
import { chmodSync, existsSync, mkdtempSync, readdirSync, renameSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/**
 * The folder `programs` of the wheel `requirement` (`name==version`), whose files can be run.
 *
 * @throws Error that says what is missing, when there is no python3 with pip or PyPI cannot be reached.
 */
export function programsFromPypi(requirement: string, programs: string): string {
  const kept = join(tmpdir(), `oxbow-pypi-${requirement.replace('==', '-')}`);
  const bin = join(kept, programs);
  if (existsSync(bin)) return bin;
  const made = mkdtempSync(join(tmpdir(), 'oxbow-pypi-'));
  try {
    execFileSync('python3', ['-m', 'pip', 'download', '-q', '--no-deps', '-d', made, requirement], { stdio: ['ignore', 'ignore', 'inherit'] });
    const wheel = readdirSync(made).find((name) => name.endsWith('.whl'))!;
    execFileSync('python3', ['-m', 'zipfile', '-e', join(made, wheel), join(made, 'wheel')], { stdio: ['ignore', 'ignore', 'inherit'] });
  } catch (error) {
    throw new Error(`${requirement} from PyPI is needed: python3 with pip, to download it (apt-get install python3-pip)`, { cause: error });
  }
  const unpacked = join(made, 'wheel', programs);
  for (const name of readdirSync(unpacked)) chmodSync(join(unpacked, name), 0o755);
  try {
    renameSync(join(made, 'wheel'), kept);
  } catch {
    // Somebody else was quicker.
  }
  return bin;
}
