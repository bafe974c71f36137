/**
 * Removes what no kept restore needs: backups beyond those to keep, and the log before the oldest kept
 * one. What stays is enough for every point behind the oldest kept backup; the newest complete backup
 * always stays, and so does what cannot be read (it may be somebody else's, or wait for its key).
 *
 * A backup's manifest goes first, so one that is half removed is not taken for a backup; log goes oldest
 * first, so what is left of it has no gap.
 */
import type { Lsn } from '../ids.js';
import { backupPrefix, logPrefix, manifestName, parseOwner, parsePiece } from './layout.js';
import { listLineages } from './log-chain.js';
import { chainOf, listBackups } from './manifest.js';
import type { Manifest } from './manifest.js';
import type { Lineage } from './lineage.js';
import type { Target } from './target.js';

export interface RetentionPolicy {
  /** Full backups kept, with the incremental ones on top of them. */
  readonly keepFull: number | undefined;
  /** Every point of the last so many days stays restorable. */
  readonly keepDays: number | undefined;
}

export interface Removed {
  readonly backups: readonly string[];
  readonly logObjects: number;
  readonly bytes: number;
}

const DAY_MICROS = 86_400e6;
/** A backup without a manifest may be under way; older than this it was given up. */
const UNFINISHED_MICROS = 2 * DAY_MICROS;

export async function applyRetention(target: Target, key: Uint8Array | undefined, policy: RetentionPolicy, nowMicros: number): Promise<Removed> {
  const listed = await listBackups(target, key);
  const complete = listed.map(({ manifest }) => manifest).filter((manifest) => manifest !== undefined);
  const kept = new Set(chooseKept(complete, policy, nowMicros).map(({ id }) => id));
  // Whatever a kept backup builds on stays.
  for (const manifest of complete) if (kept.has(manifest.id)) for (const { id } of chainOf(manifest, listed) ?? []) kept.add(id);
  const removed: string[] = [];
  let bytes = 0;
  for (const { id, manifest, damage } of listed) {
    if (damage || kept.has(id) || (!manifest && startedMicros(id) > nowMicros - UNFINISHED_MICROS)) continue;
    bytes += await removeBackup(target, id);
    removed.push(id);
  }
  const stay = complete.filter(({ id }) => kept.has(id));
  const log = stay.length > 0 ? await removeLog(target, stay) : { objects: 0, bytes: 0 };
  return { backups: removed, logObjects: log.objects, bytes: bytes + log.bytes };
}

/** Backups of all lineages are one sequence in time: a restored server goes on where the other ended. */
function chooseKept(complete: readonly Manifest[], { keepFull, keepDays }: RetentionPolicy, nowMicros: number): Manifest[] {
  const byTime = [...complete].sort((a, b) => a.startedMicros - b.startedMicros);
  const full = byTime.filter(({ kind }) => kind === 'full');
  if (full.length === 0 || (keepFull === undefined && keepDays === undefined)) return byTime;
  let from = full.at(-1)!.startedMicros;
  if (keepFull !== undefined) from = Math.min(from, full.at(-Math.max(1, keepFull))?.startedMicros ?? -Infinity);
  if (keepDays !== undefined) {
    const horizon = nowMicros - keepDays * DAY_MICROS;
    // The newest full backup that is as old as the oldest point to keep.
    from = Math.min(from, full.filter((manifest) => manifest.finishedMicros <= horizon).at(-1)?.startedMicros ?? -Infinity);
  }
  return byTime.filter((manifest) => manifest.startedMicros >= from);
}

function startedMicros(id: string): number {
  const match = /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)(\d{3})Z-/.exec(id);
  if (!match) return Infinity;
  const [, year, month, day, hour, minute, second, ms] = match.map(Number) as [number, number, number, number, number, number, number, number];
  return Date.UTC(year, month - 1, day, hour, minute, second, ms) * 1000;
}

async function removeBackup(target: Target, id: string): Promise<number> {
  await target.delete(manifestName(id));
  let bytes = 0;
  for (const object of await target.list(backupPrefix(id))) {
    bytes += object.bytes;
    await target.delete(object.name);
  }
  return bytes;
}

async function removeLog(target: Target, kept: readonly Manifest[]): Promise<{ objects: number; bytes: number }> {
  const lineages = await listLineages(target);
  let objects = 0;
  let bytes = 0;
  for (const lineage of lineages) {
    const from = neededFrom(lineage, lineages, kept);
    const found = await target.list(logPrefix(lineage.id));
    const owners = found.map(({ name }) => parseOwner(name) ?? 0);
    const newestOwner = Math.max(0, ...owners);
    for (const object of found) {
      const piece = parsePiece(object.name, object.bytes);
      const owner = parseOwner(object.name);
      if (!(piece && piece.to <= from) && !(owner !== undefined && owner < newestOwner)) continue;
      await target.delete(object.name);
      objects++;
      bytes += object.bytes;
    }
  }
  return { objects, bytes };
}

/** The LSN before which no kept backup needs the lineage's log. */
function neededFrom(lineage: Lineage, all: readonly Lineage[], kept: readonly Manifest[]): number {
  let from = Infinity;
  for (const { lineage: of, lsn, logFrom, mark } of kept) {
    const own = mark.open.length > 0 ? Math.min(logFrom, lsn) : lsn;
    if (of.id === lineage.id) from = Math.min(from, own);
    else if (descends(lineage, of.id, lsn, all)) return 0;
    // An ancestor's log is needed where the backup's own reaches back behind the branch.
    else if (descends(of, lineage.id, own as Lsn, all)) from = Math.min(from, own);
  }
  // Nobody kept has to do with it: perhaps a server that has no backup yet.
  return from === Infinity && !kept.some(({ lineage: of }) => descends(of, lineage.id, Infinity as Lsn, all)) ? 0 : from;
}

/** Whether `lineage` goes back to `ancestor` and branched off it behind `lsn` (Infinity: anywhere). */
function descends(lineage: Lineage, ancestor: string, lsn: number, all: readonly Lineage[]): boolean {
  for (let at: Lineage | undefined = lineage; at?.parent; ) {
    const { id, lsn: branch }: NonNullable<Lineage['parent']> = at.parent;
    if (id === ancestor) return lsn === Infinity || lsn < branch;
    at = all.find((candidate) => candidate.id === id);
  }
  return false;
}
