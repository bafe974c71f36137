/**
 * Checks a target: every object of every backup against its SHA-256 and its manifest, every piece of
 * the log against its seal, and the chain of batches from the oldest backup on without a gap. Says by
 * name what is wrong, which points cannot be restored for it, and the newest one that can.
 */
import type { Lsn } from '../ids.js';
import { DatabaseError } from '../errors.js';
import { openHistory } from './history.js';
import { formatLsn, formatTime } from './layout.js';
import { readObject } from './load.js';
import type { ChainEnd } from './log-chain.js';
import { chainOf } from './manifest.js';
import type { Manifest } from './manifest.js';
import { TargetFinder } from './recovery-target.js';
import { checkSeal } from './sealed.js';
import type { Target } from './target.js';

export interface VerifyReport {
  readonly lineage: string;
  readonly objects: number;
  readonly bytes: number;
  readonly backups: number;
  /** What is wrong, each with the name of the object or the range of the log. */
  readonly problems: readonly string[];
  /** The newest point that can be restored, and the backup that it begins with; undefined: none. */
  readonly newest: { readonly lsn: Lsn; readonly lastCommitMicros: number; readonly backup: string } | undefined;
}

export async function verifyTarget(target: Target, key: Uint8Array | undefined, lineage: string | undefined, progress: (done: number, total: number) => void): Promise<VerifyReport> {
  const history = await openHistory(target, key, lineage);
  const problems: string[] = [];
  const pieces = history.log.pieces();
  const total = pieces.length + history.listed.reduce((count, { manifest }) => count + (manifest?.objects.length ?? 0) + 1, 0);
  let objects = 0;
  let bytes = 0;
  const step = (size: number): void => {
    bytes += size;
    progress(++objects, total);
  };
  const whole = new Set<string>();
  for (const { id, manifest, damage } of history.listed) {
    if (damage) problems.push(`backup ${id}: ${damage.message}`);
    if (!manifest) continue;
    step(0);
    let intact = true;
    for (const object of manifest.objects) {
      try {
        await readObject(target, object, key);
      } catch (error) {
        intact = false;
        problems.push(`backup ${id}: ${messageOf(error)}`);
      }
      step(object.bytes);
    }
    if (intact) whole.add(id);
  }
  for (const piece of pieces) {
    try {
      const object = await target.get(piece.name);
      if (!object) problems.push(`log: object "${piece.name}" is missing`);
      else checkSeal(piece.name, object);
    } catch (error) {
      problems.push(`log: ${messageOf(error)}`);
    }
    step(piece.bytes);
  }
  const usable = history.backups.filter((manifest) => {
    const chain = chainOf(manifest, history.listed);
    if (!chain) problems.push(`backup ${manifest.id}: a backup that it builds on is missing`);
    return chain?.every(({ id }) => whole.has(id)) ?? false;
  });
  let newest: VerifyReport['newest'];
  for (let manifest: Manifest | undefined = usable[0]; manifest; ) {
    const begin: Manifest = manifest;
    const finder = new TargetFinder({ kind: 'latest' }, false);
    let end: ChainEnd = { lsn: begin.lsn, problem: undefined };
    for await (const { batch } of history.log.read(begin.mark.open.length > 0 ? begin.logFrom : begin.lsn, (ended) => (end = ended))) finder.cut(batch);
    // The log of undecided transactions may end before the backup's own LSN: then it is of no use.
    if (begin.mark.open.length === 0 || end.lsn > begin.lsn)
      newest = { lsn: Math.max(end.lsn, begin.lsn) as Lsn, lastCommitMicros: Math.max(finder.lastMicros, begin.mark.lastCommitMicros), backup: usable.filter(({ lsn }) => lsn <= Math.max(end.lsn, begin.lsn)).at(-1)?.id ?? begin.id };
    manifest = end.problem ? usable.find(({ lsn }) => lsn > Math.max(end.lsn, begin.lsn)) : undefined;
    if (end.problem) {
      const text = `log: ${end.problem.message}`;
      if (!problems.includes(text)) problems.push(text);
      problems.push(manifest ? `no point between LSN ${formatLsn(end.lsn)} and ${formatLsn(manifest.lsn)} can be restored` : `no point behind LSN ${formatLsn(end.lsn)} can be restored`);
    }
  }
  return { lineage: history.lineage.id, objects, bytes, backups: history.backups.length, problems, newest };
}

export function describeNewest({ newest }: VerifyReport): string {
  return newest ? `newest restorable point: LSN ${formatLsn(newest.lsn)}, last commit ${formatTime(newest.lastCommitMicros)}, with backup ${newest.backup}` : 'nothing can be restored';
}

function messageOf(error: unknown): string {
  if (error instanceof DatabaseError) return error.message;
  throw error;
}
