/**
 * Takes an incremental backup: of every key that the log has named since the last backup, what the
 * state has under it now. It costs what changed, not what there is: the log since then is read (from
 * the server, or from the archive where the server has let go of it), and its keys are looked up.
 */
import { DatabaseError } from '../errors.js';
import type { Lsn } from '../ids.js';
import { readBatchHeader } from '../log/batch.js';
import type { Runtime } from '../runtime.js';
import { BackupWriter, Throttle, beginNoting, finishBackup, storeLineage } from './backup-writer.js';
import type { BackupOptions } from './backup-writer.js';
import { ChangedKeys, remaining } from './changed-keys.js';
import { encodePart } from './data-part.js';
import { openHistory } from './history.js';
import type { History } from './history.js';
import { backupId, dataName, formatLsn } from './layout.js';
import { chainOf } from './manifest.js';
import type { Manifest } from './manifest.js';
import type { Remote, RemoteBegun } from './remote.js';
import type { Target } from './target.js';

/** Keys kept in memory at once; with more the rest of the log comes in another round. */
const MAX_KEYS = 1_000_000;
const LOOKUP_BYTES = 4 << 20;
const LOG_BYTES = 8 << 20;

export async function incrementalBackup(runtime: Runtime, target: Target, remote: Remote, options: BackupOptions): Promise<Manifest> {
  const startedMicros = runtime.clock.nowMicros();
  const begun = await beginNoting(runtime, remote, options.note);
  try {
    await storeLineage(runtime, target, begun);
    const history = await openHistory(target, options.key, begun.lineage.id);
    const parent = [...history.backups].reverse().find((manifest) => manifest.lsn <= begun.mark.at && chainOf(manifest, history.listed));
    if (!parent) throw new DatabaseError('55000', 'there is no backup to build on', { hint: 'Take a full backup first.' });
    const id = backupId(startedMicros, begun.mark.at, 'incremental');
    const writer = new BackupWriter(runtime, target, options.key);
    const throttle = new Throttle(runtime, options.maxRate);
    const keys = new ChangedKeys();
    const from = parent.mark.open.length > 0 ? parent.logFrom : parent.lsn;
    for await (const batch of changes(history, remote, from, begun)) {
      keys.batch(batch, begun.mark.at);
      options.progress(Math.max(0, readBatchHeader(batch)!.firstLsn - from), begun.mark.at - from);
      await throttle.took(batch.length);
      if (keys.size >= MAX_KEYS) await store(writer, remote, begun, id, keys, throttle);
    }
    await store(writer, remote, begun, id, keys, throttle);
    return await finishBackup(writer, remote, begun, { id, kind: 'incremental', parent: parent.id, dropped: [...keys.dropped], startedMicros });
  } catch (error) {
    await remote.end(begun.lease).catch(() => undefined);
    throw error;
  }
}

async function store(writer: BackupWriter, remote: Remote, { lease }: RemoteBegun, id: string, changed: ChangedKeys, throttle: Throttle): Promise<void> {
  for (let keys of changed.take())
    while (keys.length > 0) {
      const found = await remote.lookup(lease, keys, LOOKUP_BYTES);
      await writer.store(dataName(id, writer.objects.length), encodePart({ entries: found.entries, next: null }, found.bytes), found.entries);
      await throttle.took(found.bytes.length);
      keys = remaining(keys, found.done, found.chunk);
    }
}

/** Batches of the log from `from` to beyond the backup's LSN. */
async function* changes(history: History, remote: Remote, from: Lsn, { mark, lineage }: RemoteBegun): AsyncGenerator<Uint8Array> {
  let position: number = from;
  // The server knows only its own lineage.
  let archivedUntil = lineage.parent && from < lineage.parent.lsn ? lineage.parent.lsn : (0 as number);
  while (position <= mark.at) {
    if (position < archivedUntil) {
      const before = position;
      for await (const { batch, firstLsn, until } of history.log.read(position as Lsn)) {
        if (firstLsn >= archivedUntil) break;
        yield batch;
        position = Math.min(firstLsn + batch.length, until);
        if (position > mark.at) break;
      }
      if (position === before) throw missing(position);
      continue;
    }
    const range = await remote.readLog(position as Lsn, LOG_BYTES);
    if ('trimmed' in range) {
      if (range.trimmed <= position) throw missing(position);
      archivedUntil = range.trimmed;
      continue;
    }
    if (range.bytes.length === 0) return;
    for (let at = 0; at < range.bytes.length; ) {
      const length = readBatchHeader(range.bytes, at)!.byteLength;
      yield range.bytes.subarray(at, at + length);
      at += length;
    }
    position = range.to;
  }
}

function missing(lsn: number): DatabaseError {
  return new DatabaseError('58P01', `the log from ${formatLsn(lsn)} on is neither on the server nor in the archive`, { hint: 'Take a full backup.' });
}
