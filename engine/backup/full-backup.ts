/**
 * Takes a full backup: the state at one LSN, read part by part over the server's connection, each
 * part compressed, sealed and stored as an object. A few parts are in flight at once. The object
 * `begun` and the cursors in the data objects are enough to go on after an interruption while the
 * server keeps the lease.
 */
import { DatabaseError } from '../errors.js';
import type { Runtime } from '../runtime.js';
import { decodePart, encodePart } from './data-part.js';
import { backupId, backupPrefix, begunName, dataName, manifestName } from './layout.js';
import { BackupWriter, Throttle, beginNoting, describe, finishBackup, storeLineage, writersOf } from './backup-writer.js';
import type { BackupOptions } from './backup-writer.js';
import { stateSize } from './manifest.js';
import type { Manifest, ManifestObject } from './manifest.js';
import type { Remote, RemoteBegun, RemoteCursor } from './remote.js';
import { seal, unseal } from './sealed.js';
import type { Target } from './target.js';

interface Begun extends RemoteBegun {
  readonly startedMicros: number;
}

/** Of an object, at least. */
const PART_BYTES = 8 << 20;
/** Between taking an interrupted backup over and going on with it. */
const TAKEOVER_MS = 2000;
/** Asked for at once: the server answers others in between. */
const READ_BYTES = 1 << 20;

/** The newest unfinished full backup of this lineage whose lease the server still keeps. */
async function unfinished(writer: BackupWriter, remote: Remote): Promise<{ id: string; begun: Begun; done: ManifestObject[]; cursor: RemoteCursor | null | undefined } | undefined> {
  const { target, key } = writer;
  const byId = new Map<string, string[]>();
  for (const { name } of await target.list('backups/')) {
    const id = name.split('/')[1]!;
    byId.set(id, [...(byId.get(id) ?? []), name]);
  }
  for (const [id, names] of [...byId].reverse()) {
    if (names.includes(manifestName(id)) || !names.includes(begunName(id)) || !id.endsWith('F')) continue;
    const object = await target.get(begunName(id));
    const begun = object && (JSON.parse(Buffer.from(await unseal(begunName(id), object, key)).toString('utf8')) as Begun);
    if (!begun) continue;
    try {
      await remote.read(begun.lease, { space: 'values', key: '////////' }, 65536);
    } catch (error) {
      if (error instanceof Error && /lease/.test(error.message)) continue;
      throw error;
    }
    // Whoever began it may only be slow: it is told to stop, and has the time to finish what it was about to.
    if (!(await writer.claim(id, (await writersOf(target, id)) + 1))) continue;
    await new Promise<void>((resolve) => writer.runtime.clock.after(TAKEOVER_MS, resolve));
    const now = (await target.list(backupPrefix(id))).map(({ name }) => name);
    if (now.includes(manifestName(id))) continue;
    const done: ManifestObject[] = [];
    let cursor: RemoteCursor | null | undefined;
    for (;;) {
      const name = dataName(id, done.length);
      const data = now.includes(name) ? await target.get(name) : undefined;
      if (!data) break;
      const { head, bytes } = decodePart(await unseal(name, data, key));
      done.push(describe(name, data, bytes.length, head.entries));
      cursor = head.next;
    }
    // What was stored out of order is taken anew.
    for (const name of now) if (/\/data-/.test(name) && !done.some((object) => object.name === name)) await target.delete(name);
    return { id, begun, done, cursor };
  }
  return undefined;
}

export async function fullBackup(runtime: Runtime, target: Target, remote: Remote, options: BackupOptions): Promise<Manifest> {
  const { key } = options;
  const writer = new BackupWriter(runtime, target, key);
  const taken = await unfinished(writer, remote);
  let begun: Begun;
  let id: string;
  let cursor: RemoteCursor | null | undefined;
  let done = 0;
  if (taken) {
    ({ id, begun, cursor } = taken);
    writer.objects.push(...taken.done);
    for (const object of taken.done) done += object.rawBytes;
    options.note(`going on with backup ${id} after ${taken.done.length} objects`);
  } else {
    const startedMicros = runtime.clock.nowMicros();
    begun = { ...(await beginNoting(runtime, remote, options.note)), startedMicros };
    id = backupId(startedMicros, begun.mark.at, 'full');
    await storeLineage(runtime, target, begun);
    const name = begunName(id);
    if ((await target.putIfAbsent(name, await seal(name, Buffer.from(JSON.stringify(begun)), { random: runtime.random, key }))) === 'exists')
      throw new DatabaseError('55000', `backup ${id} exists`);
    await writer.claim(id, 1);
  }
  const total = stateSize(begun.mark).bytes;
  const throttle = new Throttle(runtime, options.maxRate);
  let gathered: Uint8Array[] = [];
  let bytes = 0;
  let entries = 0;
  while (cursor !== null) {
    const part = await remote.read(begun.lease, cursor, READ_BYTES);
    const length = part.pieces.reduce((sum, piece) => sum + piece.length, 0);
    gathered.push(...part.pieces);
    bytes += length;
    entries += part.entries;
    cursor = part.next;
    if (bytes >= PART_BYTES || cursor === null) {
      await writer.store(dataName(id, writer.objects.length), encodePart({ entries, next: part.next }, ...gathered), entries);
      gathered = [];
      bytes = entries = 0;
    }
    done += length;
    options.progress(done, Math.max(total, done));
    await throttle.took(length);
  }
  return finishBackup(writer, remote, begun, { id, kind: 'full', parent: null, dropped: [], startedMicros: begun.startedMicros });
}
