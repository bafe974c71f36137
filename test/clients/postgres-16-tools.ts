/**
 * pg_dump, pg_restore and pg_dumpall of PostgreSQL 16 (Debian's are 15 and refuse a newer server): from PyPI's
 * `pgserver`, whose wheel carries them.
 */
import { programsFromPypi } from '../harness/pypi.js';

/** The folder with the programs. */
export function postgres16Tools(): string {
  return programsFromPypi('pgserver==0.1.4', 'pgserver/pginstall/bin');
}
