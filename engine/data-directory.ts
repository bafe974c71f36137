/**
 * Who owns a data directory, and which format it has.
 *
 *     FORMAT       "oxbow data directory, format 6\n"
 *     LOCK         identity of the process that has it open
 *     log/         commit log (engine/log)
 *     state.mdb    LMDB (engine/kv), state.mdb-lock beside it
 *     columns/     files of column segments (sql/columnar/column-files.ts): a cache
 *     temp/        what sorts and hash tables do not keep in memory; of the running process only
 */
import { DatabaseError } from './errors.js';
import { readAll, writeAll } from './log/segment.js';
import type { Runtime } from './runtime.js';

export const DATA_FORMAT = 6;
/** What has this format is of the new one, too: there are no blocks of rows in it. */
const FORMER_FORMAT = 5;
/** Files in it are nobody's after a start. */
export const TEMPORARY_FOLDER = 'temp';
const FORMAT_LINE = /^oxbow data directory, format (\d+)\n$/;

export interface HeldDirectory {
  release(): void;
}

/** Creates the directory if needed, checks its format, and locks it. SQLSTATE F0001 when another server has it. */
export function takeDirectory(runtime: Runtime, directory: string): HeldDirectory {
  const { files } = runtime;
  if (!files.exists(directory)) files.mkdir(directory);
  const format = checkFormat(runtime, directory);
  const held = lock(runtime, `${directory}/LOCK`, directory);
  if (format !== DATA_FORMAT) writeFormat(runtime, directory);
  const temporary = `${directory}/${TEMPORARY_FOLDER}`;
  if (files.exists(temporary)) for (const name of files.list(temporary)) files.remove(`${temporary}/${name}`);
  return held;
}

/** Raises F0000 when it is no data directory of this format. Changes nothing. */
export function checkDirectory(runtime: Runtime, directory: string): void {
  if (!runtime.files.exists(`${directory}/FORMAT`)) {
    const what = runtime.files.exists(directory) ? 'is not a data directory' : 'does not exist';
    throw new DatabaseError('F0000', `directory "${directory}" ${what}`, { severity: 'FATAL' });
  }
  checkFormat(runtime, directory);
}

/** The process that has the directory open; undefined for none. */
export function holderOf(runtime: Runtime, directory: string): string | undefined {
  const path = `${directory}/LOCK`;
  if (!runtime.files.exists(path)) return undefined;
  const holder = readText(runtime, path);
  return holder !== '' && runtime.processes.isAlive(holder) ? holder.split(' ')[0] : undefined;
}

function readText(runtime: Runtime, path: string): string {
  const file = runtime.files.open(path, 'read');
  try {
    return Buffer.from(readAll(file)).toString('utf8');
  } finally {
    file.close();
  }
}

function writeNew(runtime: Runtime, path: string, text: string): void {
  const file = runtime.files.open(path, 'create');
  try {
    writeAll(file, Buffer.from(text), 0);
    file.dataSyncSync();
  } finally {
    file.close();
  }
}

/** Makes an empty directory one of ours; answers the format. */
function checkFormat(runtime: Runtime, directory: string): number {
  const { files } = runtime;
  const path = `${directory}/FORMAT`;
  if (files.exists(path)) {
    const text = readText(runtime, path);
    const format = FORMAT_LINE.exec(text)?.[1];
    if (format === String(DATA_FORMAT) || format === String(FORMER_FORMAT)) return Number(format);
    throw new DatabaseError('F0000', `data directory "${directory}" has format ${format ?? 'unknown'}, this server reads format ${DATA_FORMAT}`, {
      severity: 'FATAL',
      hint: 'Dump it with the version that wrote it and restore the dump here.',
    });
  }
  const strangers = files.list(directory).filter((name) => name !== 'lost+found' && name !== 'FORMAT.new' && name !== 'LOCK');
  if (strangers.length > 0)
    throw new DatabaseError('F0000', `directory "${directory}" is not empty and not a data directory`, {
      severity: 'FATAL',
      detail: `It holds ${strangers.slice(0, 3).join(', ')}${strangers.length > 3 ? ', ...' : ''}.`,
    });
  writeFormat(runtime, directory);
  return DATA_FORMAT;
}

/** Makes the directory a data directory: the last step of making one. */
export function writeFormat(runtime: Runtime, directory: string): void {
  const { files } = runtime;
  const path = `${directory}/FORMAT`;
  files.remove(`${directory}/FORMAT.new`);
  writeNew(runtime, `${directory}/FORMAT.new`, `oxbow data directory, format ${DATA_FORMAT}\n`);
  files.rename(`${directory}/FORMAT.new`, path);
  files.syncDirectory(directory);
}

function lock(runtime: Runtime, path: string, directory: string): HeldDirectory {
  const { files, processes } = runtime;
  const identity = processes.identity();
  for (let attempt = 0; attempt < 3; attempt++) {
    try {
      writeNew(runtime, path, identity);
      return { release: () => files.remove(path) };
    } catch (error) {
      if ((error as { code?: string }).code !== 'EEXIST') throw error;
    }
    const holder = readText(runtime, path);
    if (holder !== '' && processes.isAlive(holder)) throw inUse(directory, holder);
    // Left by a process that is gone. The rename lets only one of two newcomers take it away.
    const stale = `${path}.${identity.split(' ')[0]}`;
    try {
      files.rename(path, stale);
    } catch {
      continue;
    }
    if (readText(runtime, stale) !== holder) {
      files.rename(stale, path);
      continue;
    }
    files.remove(stale);
  }
  throw inUse(directory, readText(runtime, path));
}

function inUse(directory: string, holder: string): DatabaseError {
  return new DatabaseError('F0001', `data directory "${directory}" is in use by another server (process ${holder.split(' ')[0]})`, {
    severity: 'FATAL',
    hint: 'Stop that server first, or choose another directory.',
  });
}
