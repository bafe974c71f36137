/**
 * Makes the state of a data directory anew, when `verify` or the scrubber found it damaged: from the
 * directory's own log when that goes back to the beginning, else from a backup, the archived log and the
 * directory's log, which all continue each other. The log stays as it is; nothing that was committed is lost.
 *
 *     backup (or nothing) -> archived log up to the local log's begin -> local log -> state.rebuilt.mdb
 *     state.mdb -> state.damaged.mdb, state.rebuilt.mdb -> state.mdb
 *
 * A crash on the way leaves the old state, or none and the new one beside it: a rebuild can be run again.
 */
import { checkDirectory, takeDirectory } from '../data-directory.js';
import { DatabaseError } from '../errors.js';
import type { Lsn } from '../ids.js';
import { openStateFile } from '../packed/open.js';
import type { PackedKeyValueStore } from '../packed/store.js';
import { FIRST_LSN, readBatchHeader } from '../log/batch.js';
import { SegmentReader } from '../log/segment-reader.js';
import type { Runtime } from '../runtime.js';
import { Findings } from '../verify/findings.js';
import { walkLog } from '../verify/log-walk.js';
import { candidates, openHistory } from './history.js';
import { formatLsn } from './layout.js';
import { lineageOf } from './lineage.js';
import { loadBackup, writeProgress } from './load.js';
import type { ChainBatch } from './log-chain.js';
import type { Manifest } from './manifest.js';
import { Replay } from './replay.js';
import type { Replayed } from './replay.js';
import { DamagedObject } from './sealed.js';
import type { Target } from './target.js';

export interface RebuildOptions {
  /** Where backups and archived log are; undefined: the directory's log alone. */
  readonly target: Target | undefined;
  readonly key: Uint8Array | undefined;
  readonly progress: (phase: 'backup' | 'log', done: number, total: number) => void;
  readonly note: (text: string) => void;
}

export interface Rebuilt {
  readonly backups: readonly string[];
  readonly end: Lsn;
  readonly replayed: Replayed;
  /** Where the former state lies now; undefined when there was none. */
  readonly former: string | undefined;
}

const READ_BYTES = 4 << 20;
const FOREVER = Infinity;

export async function rebuild(runtime: Runtime, directory: string, options: RebuildOptions): Promise<Rebuilt> {
  checkDirectory(runtime, directory);
  const held = takeDirectory(runtime, directory);
  try {
    return await rebuildHeld(runtime, directory, options);
  } finally {
    held.release();
  }
}

async function rebuildHeld(runtime: Runtime, directory: string, options: RebuildOptions): Promise<Rebuilt> {
  const { files } = runtime;
  const findings = new Findings();
  const log = await walkLog(runtime, `${directory}/log`, findings, FOREVER as Lsn, () => undefined);
  if (findings.total > 0)
    throw new DatabaseError('XX001', 'the log of the directory is damaged', {
      detail: findings.list.map(({ message }) => message).join('; '), hint: 'oxbow restore makes a new directory from a backup and the archived log.',
    });
  if (options.target === undefined && log.first > FIRST_LSN)
    throw new DatabaseError('58P01', `the log of the directory begins at LSN ${formatLsn(log.first)}: what was before is in backups only`, { hint: 'Name the target they are in with --from.' });
  const path = `${directory}/state.rebuilt.mdb`;
  for (const name of [path, `${path}-lock`]) files.remove(name);
  const kv = openStateFile({ path });
  let made: Omit<Rebuilt, 'former'>;
  try {
    made = options.target === undefined ? await fromLog(runtime, directory, kv, log.first, log.end, options) : await fromBackup(runtime, directory, kv, log.first, log.end, options.target, options);
    await kv.sync();
  } finally {
    kv.close();
  }
  return { ...made, former: exchange(runtime, directory, path) };
}

async function fromLog(runtime: Runtime, directory: string, kv: PackedKeyValueStore, first: Lsn, end: Lsn, options: RebuildOptions): Promise<Omit<Rebuilt, 'former'>> {
  const replay = new Replay(kv, undefined);
  const replayed = await replay.run(localLog(runtime, directory, first, end), undefined, first, (lsn) => options.progress('log', lsn - first, end - first));
  finish(kv, replay, replayed, 0 as Lsn, 0);
  return { backups: [], end, replayed };
}

async function fromBackup(runtime: Runtime, directory: string, kv: PackedKeyValueStore, first: Lsn, end: Lsn, target: Target, options: RebuildOptions): Promise<Omit<Rebuilt, 'former'>> {
  const history = await openHistory(target, options.key, lineageOf(runtime, directory).id);
  // The newest backup that this log goes on from; an older one when it is damaged.
  const chains = (await candidates(history, { kind: 'latest' }, false)).filter((chain) => chain.at(-1)!.lsn <= end);
  for (const [i, chain] of chains.entries()) {
    try {
      await loadBackup(kv, target, chain, { key: options.key, progress: (done, total) => options.progress('backup', done, total) });
      return await replayBehind(runtime, directory, kv, chain, (from) => archivedThenLocal(history.log.read(from), runtime, directory, from, first, end), end, options);
    } catch (error) {
      if (!(error instanceof DamagedObject) || !error.object.startsWith('backups/') || i === chains.length - 1) throw error;
      options.note(`${error.message}; going back to the backup before`);
      clear(kv);
    }
  }
  throw new DatabaseError('58P01', 'there is no complete backup that the log of the directory goes on from');
}

async function replayBehind(
  runtime: Runtime, directory: string, kv: PackedKeyValueStore, chain: readonly Manifest[], read: (from: Lsn) => AsyncIterable<ChainBatch>, end: Lsn, options: RebuildOptions,
): Promise<Omit<Rebuilt, 'former'>> {
  const manifest = chain.at(-1)!;
  kv.refresh();
  const replay = new Replay(kv, manifest.mark);
  const from = manifest.mark.open.length > 0 ? manifest.logFrom : manifest.lsn;
  const replayed = await replay.run(read(from), undefined, end, (lsn) => options.progress('log', Math.max(0, lsn - from), Math.max(1, end - from)));
  finish(kv, replay, replayed, manifest.lsn, manifest.mark.lastCommitMicros);
  return { backups: chain.map(({ id }) => id), end, replayed };
}

/** What recovery reads: how far the state is, and from where the log is needed for prepared transactions. */
function finish(kv: PackedKeyValueStore, { applier }: Replay, { end, preparedFrom }: Replayed, loaded: Lsn, loadedMicros: number): void {
  kv.write((writer) => writeProgress(writer, Math.max(applier.applied, loaded) as Lsn, preparedFrom ?? end, Math.max(applier.lastCommitMicros, loadedMicros)));
}

/** The directory's log. */
async function* localLog(runtime: Runtime, directory: string, from: Lsn, end: Lsn): AsyncGenerator<ChainBatch> {
  const reader = new SegmentReader(runtime, `${directory}/log`);
  for (let position: Lsn = from; position < end; ) {
    const range = reader.read(position, end, READ_BYTES);
    if (range.kind === 'trimmed' || range.to <= position) throw new DatabaseError('XX001', `the log of the directory cannot be read at LSN ${formatLsn(position)}`);
    let { from: firstLsn } = range;
    for (let at = 0; at < range.bytes.length; ) {
      const header = readBatchHeader(range.bytes, at);
      if (!header) throw new DatabaseError('XX001', `the log of the directory is damaged at LSN ${formatLsn(firstLsn)}`);
      yield { batch: range.bytes.subarray(at, at + header.byteLength), firstLsn, until: FOREVER };
      at += header.byteLength;
      firstLsn = (firstLsn + header.byteLength) as Lsn;
    }
    position = range.to;
  }
}

/** The archived log up to where the local one begins, then that. */
async function* archivedThenLocal(archived: AsyncIterable<ChainBatch>, runtime: Runtime, directory: string, from: Lsn, first: Lsn, end: Lsn): AsyncGenerator<ChainBatch> {
  let position: number = from;
  if (from < first) {
    for await (const piece of archived) {
      if (piece.firstLsn >= first) break;
      yield piece;
      position = piece.firstLsn + piece.batch.length;
    }
    if (position < first)
      throw new DatabaseError('58P01', `the archived log ends at LSN ${formatLsn(position as Lsn)}, the log of the directory begins at ${formatLsn(first)}`, { hint: 'oxbow restore makes a directory as of the end of the archived log.' });
  }
  yield* localLog(runtime, directory, Math.max(position, first) as Lsn, end);
}

function clear(kv: PackedKeyValueStore): void {
  for (const space of ['meta', 'storages', 'heap', 'index', 'values'] as const)
    for (let more = true; more; ) kv.write((writer) => void (more = writer.clear(space, Uint8Array.of(0), new Uint8Array(12).fill(0xff), 2000)));
}

/** The new state takes the old one's place, which is kept. */
function exchange({ files }: Runtime, directory: string, made: string): string | undefined {
  const path = `${directory}/state.mdb`;
  const former = `${directory}/state.damaged.mdb`;
  const there = files.exists(path);
  if (there) {
    files.remove(former);
    files.rename(path, former);
  }
  for (const name of [`${path}-lock`, `${made}-lock`, `${directory}/scrub.json`]) files.remove(name);
  files.rename(made, path);
  files.syncDirectory(directory);
  return there ? former : undefined;
}
