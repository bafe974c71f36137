/** Debian's psql and pgbench: installed when they are missing, or a failure that says what to install. */
import { execFileSync } from 'node:child_process';

function has(command: string): boolean {
  try {
    execFileSync('sh', ['-c', `command -v ${command}`], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

export default function setup(): void {
  if (has('psql') && has('pgbench')) return;
  try {
    execFileSync('sh', ['-c', 'apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq postgresql-client postgresql-contrib'], { stdio: 'inherit' });
  } catch {
    // said below
  }
  if (!has('psql') || !has('pgbench')) throw new Error('psql and pgbench are needed: install Debian\'s postgresql-client and postgresql-contrib (apt-get install postgresql-client postgresql-contrib)');
}
