/** What a target holds, for whoever restores or verifies: its lineages and backups, and which backup a recovery target needs. */
import { DatabaseError } from '../errors.js';
import type { Lsn } from '../ids.js';
import type { Lineage } from './lineage.js';
import { LogChain, listLineages } from './log-chain.js';
import { chainOf, listBackups } from './manifest.js';
import type { ListedBackup, Manifest } from './manifest.js';
import { TargetFinder } from './recovery-target.js';
import type { RecoveryTarget } from './recovery-target.js';
import type { Target } from './target.js';

/** One lineage with its ancestors: backups and log that lead to its present. */
export interface History {
  readonly lineage: Lineage;
  readonly log: LogChain;
  /** Complete backups of this history, oldest first. */
  readonly backups: readonly Manifest[];
  /** Of the whole target. */
  readonly listed: readonly ListedBackup[];
}

/** `wanted`: a lineage's id; undefined: the newest one, which must be the only family in the target. */
export async function openHistory(target: Target, key: Uint8Array | undefined, wanted: string | undefined): Promise<History> {
  const lineages = await listLineages(target);
  const listed = await listBackups(target, key);
  if (lineages.length === 0) throw new DatabaseError('58P01', `there is neither a backup nor an archived log in ${target.description}`);
  const lineage = wanted === undefined ? newest(target, lineages) : lineages.find(({ id }) => id === wanted);
  if (!lineage) throw new DatabaseError('42704', `there is no lineage ${wanted ?? ''} in ${target.description}`, { detail: `There are ${lineages.map(({ id }) => id).join(', ')}.` });
  const log = await LogChain.open(target, lineages, lineage.id, key);
  const backups: Manifest[] = [];
  for (const { manifest } of listed) if (manifest && log.holds(manifest.lineage.id, manifest.lsn)) backups.push(manifest);
  return { lineage, log, backups: backups.sort((a, b) => a.lsn - b.lsn || a.startedMicros - b.startedMicros), listed };
}

function newest(target: Target, lineages: readonly Lineage[]): Lineage {
  const roots = lineages.filter(({ parent }) => !parent || !lineages.some(({ id }) => id === parent.id));
  if (roots.length > 1)
    throw new DatabaseError('42725', `${target.description} holds the logs of more than one server`, { detail: `Lineages ${roots.map(({ id }) => id).join(', ')} have nothing in common.`, hint: 'Choose one with --lineage.' });
  return lineages.at(-1)!;
}

/** Backups that a restore to the target may begin with, the best first. */
export async function candidates(history: History, target: RecoveryTarget, exclusive: boolean): Promise<Manifest[][]> {
  const finder = new TargetFinder(target, exclusive);
  const usable = history.backups.filter(({ lsn, mark }) => finder.mayFollow(lsn, mark.lastCommitMicros)).reverse();
  const first = target.kind === 'xid' || target.kind === 'name' ? await firstWith(history, usable, target, exclusive) : usable;
  const chains = first.map((manifest) => chainOf(manifest, history.listed)).filter((chain) => chain !== undefined);
  if (chains.length > 0) return chains;
  if (history.backups.length === 0) throw new DatabaseError('58P01', 'there is no complete backup to restore');
  throw new DatabaseError('22023', 'the target is before the oldest backup');
}

/** Leaves out backups from behind the transaction or restore point: it is looked for in the log, newest stretch first. */
async function firstWith(history: History, newestFirst: readonly Manifest[], target: RecoveryTarget, exclusive: boolean): Promise<readonly Manifest[]> {
  let until: Lsn | undefined;
  for (const [i, manifest] of newestFirst.entries()) {
    const finder = new TargetFinder(target, exclusive);
    for await (const { batch, firstLsn } of history.log.read(manifest.lsn)) {
      if (until !== undefined && firstLsn > until) break;
      if (finder.cut(batch) !== undefined && finder.endLsn > manifest.lsn) return newestFirst.slice(i);
    }
    until = manifest.lsn;
  }
  return newestFirst;
}
