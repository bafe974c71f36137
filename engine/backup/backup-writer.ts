/** What full and incremental backups have in common: objects stored a few at a time, the log of open transactions, the manifest. */
import { createHash } from 'node:crypto';
import { DatabaseError } from '../errors.js';
import type { Lsn } from '../ids.js';
import type { Runtime } from '../runtime.js';
import { backupPrefix, lineageName, manifestName, pieceName, writerName } from './layout.js';
import { FORMAT } from './manifest.js';
import type { Manifest, ManifestObject } from './manifest.js';
import type { Remote, RemoteBegun } from './remote.js';
import { seal } from './sealed.js';
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

const IN_FLIGHT = 4;
const NOTHING = new Uint8Array(0);

export class BackupWriter {
  readonly objects: ManifestObject[] = [];
  private readonly flying = new Set<Promise<void>>();
  private failure: unknown;
  private claimed = 0;

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
    // It may be there from a try whose answer was lost.
    if ((await this.target.putIfAbsent(name, object)) === 'exists' && Buffer.compare((await this.target.get(name)) ?? NOTHING, object) !== 0) throw new DatabaseError('55000', `object "${name}" exists: another backup writes there`);
    this.objects[at] = describe(name, object, raw.length, entries);
  }

  /** Claims the backup for this process; false when another was quicker. */
  async claim(id: string, number: number): Promise<boolean> {
    const name = writerName(id, number);
    this.claimed = number;
    return (await this.target.putIfAbsent(name, await seal(name, Buffer.from(this.runtime.processes.identity()), { random: this.runtime.random, key: undefined }))) === 'stored';
  }

  /** Raises when another process has taken the backup over. */
  async checkClaim(id: string): Promise<void> {
    if (this.claimed > 0 && (await writersOf(this.target, id)) > this.claimed) throw new DatabaseError('55000', `backup ${id} was taken over by another process`);
  }

  async settle(): Promise<void> {
    await Promise.all(this.flying);
    if (this.failure !== undefined) throw this.failure;
  }
}

/** The highest claim on a backup. */
export async function writersOf(target: Target, id: string): Promise<number> {
  return Math.max(0, ...(await target.list(backupPrefix(id))).map(({ name }) => Number(/\/owner-(\d+)$/.exec(name)?.[1] ?? 0)));
}

export function describe(name: string, object: Uint8Array, rawBytes: number, entries: number): ManifestObject {
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

/** Begins a backup; when the server has it wait, says why. */
export async function beginNoting(runtime: Runtime, remote: Remote, note: (text: string) => void): Promise<RemoteBegun> {
  const cancel = runtime.clock.after(5000, () => note('waiting for transactions that had written more than 16 MB before the backup began'));
  try {
    return await remote.begin();
  } finally {
    cancel();
  }
}

/** Stores what the restore needs besides the data, then the manifest, and lets the server forget the lease. */
export async function finishBackup(writer: BackupWriter, remote: Remote, begun: RemoteBegun, what: Pick<Manifest, 'id' | 'kind' | 'parent' | 'dropped' | 'startedMicros'>): Promise<Manifest> {
  const { runtime, target, key } = writer;
  await writer.settle();
  if (begun.mark.open.length > 0) await storeLog(runtime, target, remote, key, begun.lineage.id, begun.logFrom, begun.mark.at);
  const manifest: Manifest = {
    format: FORMAT, ...what, lineage: begun.lineage, lsn: begun.mark.at, logFrom: begun.logFrom, mark: begun.mark,
    finishedMicros: runtime.clock.nowMicros(), encrypted: key !== undefined, objects: writer.objects,
  };
  await writer.checkClaim(what.id);
  await storeManifest(runtime, target, manifest, key);
  await remote.end(begun.lease);
  return manifest;
}

async function storeManifest(runtime: Runtime, target: Target, manifest: Manifest, key: Uint8Array | undefined): Promise<void> {
  const name = manifestName(manifest.id);
  const object = await seal(name, Buffer.from(JSON.stringify(manifest)), { random: runtime.random, key });
  if ((await target.putIfAbsent(name, object)) === 'exists') throw new DatabaseError('55000', `backup ${manifest.id} was finished by somebody else`);
}

export async function storeLineage(runtime: Runtime, target: Target, { lineage }: Pick<RemoteBegun, 'lineage'>): Promise<void> {
  const name = lineageName(lineage.id);
  await target.putIfAbsent(name, await seal(name, Buffer.from(JSON.stringify(lineage)), { random: runtime.random, key: undefined }));
}

/** Stores the log from `from` to beyond `upTo` (epoch 0: an archiver's own pieces go before them). */
async function storeLog(runtime: Runtime, target: Target, remote: Remote, key: Uint8Array | undefined, lineage: string, from: Lsn, upTo: Lsn): Promise<void> {
  for (let position: number = from; position <= upTo; ) {
    const range = await remote.readLog(position as Lsn, 8 << 20);
    if ('trimmed' in range) throw new DatabaseError('58P01', `the server's log begins at ${range.trimmed}, but the backup needs it from ${position}`);
    if (range.bytes.length === 0) break;
    const name = pieceName(lineage, range.from, range.to, 0);
    await target.putIfAbsent(name, await seal(name, range.bytes, { random: runtime.random, key }));
    position = range.to;
  }
}
