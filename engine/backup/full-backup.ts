/**
 * Takes a full backup: the state at one LSN, read part by part over the server's connection, each
 * part compressed, sealed and stored as an object. A few parts are in flight at once. The object
 * `begun` and the cursors in the data objects are enough to go on after an interruption while the
 * server keeps the lease.
 */
import { createHash } from 'node:crypto';
import { DatabaseError } from '../errors.js';
import type { Lsn } from '../ids.js';
import type { Runtime } from '../runtime.js';
import { decodePart, encodePart } from './data-part.js';
import { backupId, begunName, dataName, lineageName, manifestName, pieceName } from './layout.js';
import { FORMAT, stateSize } from './manifest.js';
import type { Manifest, ManifestObject } from './manifest.js';
import type { Remote, RemoteBegun, RemoteCursor } from './remote.js';
import { seal, unseal } from './sealed.js';
import type { Target } from './target.js';

export interface Progress {
  /** Bytes of state done, and about how many there are. */
  (done: number, total: number): void;
}

export interface BackupOptions {
  readonly key: Uint8Array | undefined;
  /** Bytes of state a second; undefined: as fast as it goes. */
  readonly maxRate: number | undefined;
  readonly progress: Progress;
  readonly note: (text: string) => void;
}

interface Begun extends RemoteBegun {
  readonly startedMicros: number;
}

const PART_BYTES = 4 << 20;
const IN_FLIGHT = 4;
export class BackupWriter {
  readonly objects: ManifestObject[] = [];
  private readonly flying = new Set<Promise<void>>();
  private failure: unknown;

  constructor(readonly runtime: Runtime, readonly target: Target, readonly key: Uint8Array | undefined) {}

  /** Seals and stores an object; waits while too many are under way. */
  async store(name: string, raw: Uint8Array, entries: number): Promise<void> {
    while (this.flying.size >= IN_FLIGHT) await Promise.race(this.flying);
    if (this.failure !== undefined) throw this.failure;
    const at = this.objects.length;
    this.objects.push({ name, bytes: 0, sha256: '', rawBytes: raw.length, entries });
    const work = this.put(name, raw, entries, at).catch((error: unknown) => void (this.failure ??= error)).finally(() => this.flying.delete(work));
    this.flying.add(work);
  }

  private async put(name: string, raw: Uint8Array, entries: number, at: number): Promise<void> {
    const object = await seal(name, raw, { random: this.runtime.random, key: this.key });
    if ((await this.target.putIfAbsent(name, object)) === 'exists') throw new DatabaseError('55000', `object "${name}" exists: another backup writes there`);
    this.objects[at] = describe(name, object, raw.length, entries);
  }

  async settle(): Promise<void> {
    await Promise.all(this.flying);
    if (this.failure !== undefined) throw this.failure;
  }
}

function describe(name: string, object: Uint8Array, rawBytes: number, entries: number): ManifestObject {
  return { name, bytes: object.length, sha256: createHash('sha256').update(object).digest('hex'), rawBytes, entries };
}

/** Holds the average rate below a bound. */
export class Throttle {
  private readonly startMs: number;
  private bytes = 0;

  constructor(private readonly runtime: Runtime, private readonly rate: number | undefined) {
    this.startMs = runtime.clock.monotonicMs();
  }

  async took(bytes: number): Promise<void> {
    if (!this.rate) return;
    this.bytes += bytes;
    const due = this.startMs + (this.bytes / this.rate) * 1000 - this.runtime.clock.monotonicMs();
    if (due > 0) await new Promise<void>((resolve) => this.runtime.clock.after(due, resolve));
  }
}

/** The newest unfinished full backup of this lineage whose lease the server still keeps. */
async function unfinished(target: Target, remote: Remote, key: Uint8Array | undefined): Promise<{ id: string; begun: Begun; done: ManifestObject[]; cursor: RemoteCursor | null | undefined } | undefined> {
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
    const done: ManifestObject[] = [];
    let cursor: RemoteCursor | null | undefined;
    for (;;) {
      const name = dataName(id, done.length);
      const data = names.includes(name) ? await target.get(name) : undefined;
      if (!data) break;
      const { head, bytes } = decodePart(await unseal(name, data, key));
      done.push(describe(name, data, bytes.length, head.entries));
      cursor = head.next;
    }
    // What was stored out of order is taken anew.
    for (const name of names) if (/\/data-/.test(name) && !done.some((object) => object.name === name)) await target.delete(name);
    return { id, begun, done, cursor };
  }
  return undefined;
}

export async function fullBackup(runtime: Runtime, target: Target, remote: Remote, options: BackupOptions): Promise<Manifest> {
  const { key } = options;
  const taken = await unfinished(target, remote, key);
  let begun: Begun;
  let id: string;
  const writer = new BackupWriter(runtime, target, key);
  let cursor: RemoteCursor | null | undefined;
  let done = 0;
  if (taken) {
    ({ id, begun, cursor } = taken);
    writer.objects.push(...taken.done);
    for (const object of taken.done) done += object.rawBytes;
    options.note(`going on with backup ${id} after ${taken.done.length} objects`);
  } else {
    const startedMicros = runtime.clock.nowMicros();
    begun = { ...(await remote.begin()), startedMicros };
    id = backupId(startedMicros, begun.mark.at, 'full');
    await storeLineage(runtime, target, begun);
    const name = begunName(id);
    if ((await target.putIfAbsent(name, await seal(name, Buffer.from(JSON.stringify(begun)), { random: runtime.random, key }))) === 'exists')
      throw new DatabaseError('55000', `backup ${id} exists`);
  }
  const total = stateSize(begun.mark).bytes;
  const throttle = new Throttle(runtime, options.maxRate);
  while (cursor !== null) {
    const part = await remote.read(begun.lease, cursor, PART_BYTES);
    await writer.store(dataName(id, writer.objects.length), encodePart({ entries: part.entries, next: part.next }, part.bytes), part.entries);
    cursor = part.next;
    done += part.bytes.length;
    options.progress(done, Math.max(total, done));
    await throttle.took(part.bytes.length);
  }
  await writer.settle();
  if (begun.mark.open.length > 0) await storeLog(runtime, target, remote, key, begun.lineage.id, begun.logFrom, begun.mark.at);
  const manifest: Manifest = {
    format: FORMAT, id, kind: 'full', parent: null, lineage: begun.lineage, lsn: begun.mark.at, logFrom: begun.logFrom, mark: begun.mark,
    startedMicros: begun.startedMicros, finishedMicros: runtime.clock.nowMicros(), encrypted: key !== undefined, dropped: [], objects: writer.objects,
  };
  await storeManifest(runtime, target, manifest, key);
  await remote.end(begun.lease);
  return manifest;
}

export async function storeManifest(runtime: Runtime, target: Target, manifest: Manifest, key: Uint8Array | undefined): Promise<void> {
  const name = manifestName(manifest.id);
  const object = await seal(name, Buffer.from(JSON.stringify(manifest)), { random: runtime.random, key });
  if ((await target.putIfAbsent(name, object)) === 'exists') throw new DatabaseError('55000', `backup ${manifest.id} was finished by somebody else`);
}

export async function storeLineage(runtime: Runtime, target: Target, { lineage }: Pick<RemoteBegun, 'lineage'>): Promise<void> {
  const name = lineageName(lineage.id);
  await target.putIfAbsent(name, await seal(name, Buffer.from(JSON.stringify(lineage)), { random: runtime.random, key: undefined }));
}

/** Stores the log from `from` to beyond `upTo` (epoch 0: an archiver's own pieces go before them). */
export async function storeLog(runtime: Runtime, target: Target, remote: Remote, key: Uint8Array | undefined, lineage: string, from: Lsn, upTo: Lsn): Promise<void> {
  for (let position: number = from; position <= upTo; ) {
    const range = await remote.readLog(position as Lsn, 8 << 20);
    if ('trimmed' in range) throw new DatabaseError('58P01', `the server's log begins at ${range.trimmed}, but the backup needs it from ${position}`);
    if (range.bytes.length === 0) break;
    const name = pieceName(lineage, range.from, range.to, 0);
    await target.putIfAbsent(name, await seal(name, range.bytes, { random: runtime.random, key }));
    position = range.to;
  }
}
