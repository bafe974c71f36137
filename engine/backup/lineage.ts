/**
 * Which history a data directory belongs to (PostgreSQL's timelines). A new directory begins a
 * lineage; a restore begins another that branches off at the LSN it stopped at, so that two servers
 * restored from one backup never write the same part of a target.
 *
 * The file LINEAGE in the data directory: one line of JSON.
 */
import { DatabaseError } from '../errors.js';
import type { Lsn } from '../ids.js';
import { readAll, writeAll } from '../log/segment.js';
import type { Runtime } from '../runtime.js';

export interface Lineage {
  /** 16 hexadecimal digits. */
  readonly id: string;
  /** Where it branched off: the parent's log counts up to (not including) this LSN. */
  readonly parent: { readonly id: string; readonly lsn: Lsn } | null;
  readonly createdMicros: number;
}

export function newLineage(runtime: Runtime, parent: Lineage['parent']): Lineage {
  return { id: Buffer.from(runtime.random.bytes(8)).toString('hex'), parent, createdMicros: runtime.clock.nowMicros() };
}

export function parseLineage(text: string, where: string): Lineage {
  try {
    const value = JSON.parse(text) as Lineage;
    if (/^[0-9a-f]{16}$/.test(value.id)) return value;
  } catch {
    // Reported below.
  }
  throw new DatabaseError('XX001', `${where} is damaged`);
}

/** The directory's lineage, made when it has none. */
export function lineageOf(runtime: Runtime, directory: string): Lineage {
  const path = `${directory}/LINEAGE`;
  if (runtime.files.exists(path)) {
    const file = runtime.files.open(path, 'read');
    try {
      return parseLineage(Buffer.from(readAll(file)).toString('utf8'), `file "${path}"`);
    } finally {
      file.close();
    }
  }
  const lineage = newLineage(runtime, null);
  writeLineage(runtime, directory, lineage);
  return lineage;
}

export function writeLineage(runtime: Runtime, directory: string, lineage: Lineage): void {
  const path = `${directory}/LINEAGE`;
  const { files } = runtime;
  files.remove(`${path}.new`);
  const file = files.open(`${path}.new`, 'create');
  writeAll(file, Buffer.from(`${JSON.stringify(lineage)}\n`), 0);
  file.dataSyncSync();
  file.close();
  files.rename(`${path}.new`, path);
  files.syncDirectory(directory);
}
