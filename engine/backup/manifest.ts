/** What a backup says about itself: written last, so a backup that has one is complete. */
import type { Lsn, StorageId, Xid } from '../ids.js';
import type { StateMark } from '../mvcc/state-mark.js';
import { StorageInfo } from '../mvcc/storage-info.js';
import { manifestName, provenName } from './layout.js';
import type { Lineage } from './lineage.js';
import { DamagedObject, unseal } from './sealed.js';
import type { Target } from './target.js';

export interface ManifestObject {
  readonly name: string;
  /** Bytes as stored, and their SHA-256. */
  readonly bytes: number;
  readonly sha256: string;
  readonly rawBytes: number;
  readonly entries: number;
}

/** The engine's StateMark with bytes in base64. */
export interface StoredMark {
  readonly at: Lsn;
  readonly replayFrom: Lsn;
  readonly lastCommitMicros: number;
  readonly storages: readonly { readonly id: StorageId; readonly record: string }[];
  readonly sequences: readonly { readonly key: string; readonly value: string }[];
  readonly reserve?: string;
  readonly dropped: readonly StorageId[];
  readonly open: readonly Xid[];
  readonly ahead: readonly Xid[];
}

export function storedMark({ storages, sequences, reserve, ahead, ...mark }: StateMark): StoredMark {
  const base64 = (bytes: Uint8Array): string => Buffer.from(bytes).toString('base64');
  return {
    ...mark,
    ahead: ahead.map(({ xid }) => xid),
    storages: storages.map(({ id, record }) => ({ id, record: base64(record) })),
    sequences: sequences.map(({ key, value }) => ({ key: base64(key), value: base64(value) })),
    ...(reserve ? { reserve: base64(reserve) } : {}),
  };
}

export interface Manifest {
  readonly format: 1;
  readonly id: string;
  readonly kind: 'full' | 'incremental';
  /** The backup that an incremental one builds on. */
  readonly parent: string | null;
  readonly lineage: Lineage;
  /** The state is as of the record at this LSN. */
  readonly lsn: Lsn;
  /** Undecided transactions need the log from here. */
  readonly logFrom: Lsn;
  readonly mark: StoredMark;
  readonly startedMicros: number;
  readonly finishedMicros: number;
  readonly encrypted: boolean;
  /** Incremental: storages that went away since the parent. */
  readonly dropped: readonly StorageId[];
  readonly objects: readonly ManifestObject[];
}

export const FORMAT = 1;

/** Rows and their bytes in the state that the backup is of. */
export function stateSize(mark: StoredMark): { rows: number; bytes: number } {
  let rows = 0;
  let bytes = 0;
  for (const { id, record } of mark.storages) {
    const info = StorageInfo.decode(id, Buffer.from(record, 'base64'));
    rows += info.count;
    bytes += info.bytes;
  }
  return { rows, bytes };
}

/** Bytes of the backup's objects in the target. */
export function storedSize(manifest: Manifest): number {
  return manifest.objects.reduce((bytes, object) => bytes + object.bytes, 0);
}

export async function readManifest(target: Target, id: string, key: Uint8Array | undefined): Promise<Manifest | undefined> {
  const name = manifestName(id);
  const object = await target.get(name);
  if (!object) return undefined;
  const raw = await unseal(name, object, key);
  const manifest = JSON.parse(Buffer.from(raw).toString('utf8')) as Manifest;
  if (manifest.format !== FORMAT) throw new DamagedObject(name, `it has format ${String(manifest.format)}, this version reads ${FORMAT}`);
  return manifest;
}

export interface ListedBackup {
  readonly id: string;
  /** Undefined: not finished. */
  readonly manifest: Manifest | undefined;
  /** Its manifest is there and cannot be read. */
  readonly damage: Error | undefined;
  /** When a restore of it was last proven. */
  readonly provenMicros: number | undefined;
}

/** All backups in the order they were begun. */
export async function listBackups(target: Target, key: Uint8Array | undefined): Promise<ListedBackup[]> {
  const proven = new Map<string, number>();
  const ids = new Set<string>();
  for (const { name } of await target.list('backups/')) {
    const id = /^backups\/([^/]+)\//.exec(name)?.[1];
    if (id === undefined) continue;
    ids.add(id);
    const micros = Number(/\/proven-(\d+)$/.exec(name)?.[1] ?? NaN);
    if (name === provenName(id, micros)) proven.set(id, Math.max(micros, proven.get(id) ?? 0));
  }
  const out: ListedBackup[] = [];
  for (const id of [...ids].sort()) {
    let manifest: Manifest | undefined;
    let damage: Error | undefined;
    try {
      manifest = await readManifest(target, id, key);
    } catch (error) {
      if (!(error instanceof DamagedObject)) throw error;
      damage = error;
    }
    out.push({ id, manifest, damage, provenMicros: proven.get(id) });
  }
  return out;
}

/** The full backup and the incremental ones after it that `manifest` stands on, in order; undefined when one is missing. */
export function chainOf(manifest: Manifest, all: readonly ListedBackup[]): Manifest[] | undefined {
  const chain = [manifest];
  while (chain[0]!.parent !== null) {
    const parent = all.find(({ id }) => id === chain[0]!.parent)?.manifest;
    if (!parent) return undefined;
    chain.unshift(parent);
  }
  return chain;
}
