/**
 * Makes a data directory from a backup and the archived log, as of a recovery target.
 *
 * The directory becomes one by its FORMAT file, which is written last: a restore that was cut short
 * leaves a directory that no server opens. The restored server begins a lineage of its own, which
 * branches off the old one where the restore stopped, so its log never mixes with the old one's.
 */
import { writeFormat } from '../data-directory.js';
import { DatabaseError } from '../errors.js';
import type { Lsn } from '../ids.js';
import { openStateFile } from '../packed/open.js';
import type { PackedKeyValueStore } from '../packed/store.js';
import { FileLogStore } from '../log/file-store.js';
import { NO_HASH } from '../log/log-store.js';
import type { Runtime } from '../runtime.js';
import { candidates, openHistory } from './history.js';
import type { History } from './history.js';
import { formatLsn, formatTime } from './layout.js';
import { newLineage, writeLineage } from './lineage.js';
import type { Lineage } from './lineage.js';
import { loadBackup, writeProgress } from './load.js';
import type { ChainEnd } from './log-chain.js';
import type { Manifest } from './manifest.js';
import { TargetFinder } from './recovery-target.js';
import type { RecoveryTarget } from './recovery-target.js';
import { Replay } from './replay.js';
import type { Replayed } from './replay.js';
import { DamagedObject } from './sealed.js';
import type { Target } from './target.js';
import { truncateBatch } from './truncate-batch.js';

export interface RestoreOptions {
  readonly directory: string;
  readonly key: Uint8Array | undefined;
  readonly recoveryTarget: RecoveryTarget;
  readonly exclusive: boolean;
  readonly lineage: string | undefined;
  /** Phase, how much of it is done and how much there is. */
  readonly progress: (phase: 'backup' | 'log', done: number, total: number) => void;
  readonly note: (text: string) => void;
  /** Called with the state before it is closed: a verification looks at it. */
  readonly inspect?: (kv: PackedKeyValueStore, replay: Replay) => Promise<void>;
}

export interface Restored {
  /** Backups it began with, oldest first. */
  readonly backups: readonly string[];
  /** The history ends before this LSN. */
  readonly end: Lsn;
  readonly lastCommitMicros: number;
  readonly lineage: Lineage;
  readonly replayed: Replayed;
}

export async function restore(runtime: Runtime, target: Target, options: RestoreOptions): Promise<Restored> {
  const { directory } = options;
  const { files } = runtime;
  const made = !files.exists(directory);
  checkEmpty(runtime, directory);
  try {
    return await restoreInto(runtime, target, options);
  } catch (error) {
    removeMade(runtime, directory);
    if (made) files.remove(directory);
    throw error;
  }
}

async function restoreInto(runtime: Runtime, target: Target, options: RestoreOptions): Promise<Restored> {
  const { recoveryTarget, exclusive } = options;
  const history = await openHistory(target, options.key, options.lineage);
  const chains = await candidates(history, recoveryTarget, exclusive);
  for (const [i, chain] of chains.entries()) {
    try {
      return await restoreFrom(runtime, target, history, chain, options);
    } catch (error) {
      if (!(error instanceof DamagedObject) || !error.object.startsWith('backups/') || i === chains.length - 1) throw error;
      options.note(`${error.message}; going back to the backup before`);
      removeMade(runtime, options.directory);
    }
  }
  throw new DatabaseError('58P01', 'there is no complete backup to restore');
}

const MADE = ['state.mdb', 'state.mdb-lock', 'log', 'LINEAGE', 'LINEAGE.new'];

function removeMade({ files }: Runtime, directory: string): void {
  for (const name of MADE) files.remove(`${directory}/${name}`);
}

function checkEmpty({ files }: Runtime, directory: string): void {
  if (!files.exists(directory)) return files.mkdir(directory);
  if (!files.isDirectory(directory)) throw new DatabaseError('58P02', `"${directory}" exists and is not a directory`);
  const found = files.list(directory).filter((name) => name !== 'lost+found');
  if (found.length === 0) return;
  throw new DatabaseError('58P02', `directory "${directory}" is not empty`, {
    detail: `It holds ${found.slice(0, 3).join(', ')}${found.length > 3 ? ', ...' : ''}${found.includes('FORMAT') ? '' : ', and no FORMAT: a restore may have been cut short there'}.`,
    hint: 'A restore never overwrites anything: give a new or empty directory.',
  });
}

async function restoreFrom(runtime: Runtime, target: Target, history: History, chain: readonly Manifest[], options: RestoreOptions): Promise<Restored> {
  const { directory, recoveryTarget, exclusive, key, progress } = options;
  const manifest = chain.at(-1)!;
  const { files } = runtime;
  const kv = openStateFile({ path: `${directory}/state.mdb` });
  try {
    files.syncDirectory(directory);
    await loadBackup(kv, target, chain, { key, progress: (done, total) => progress('backup', done, total) });
    kv.refresh();
    const finder = new TargetFinder(recoveryTarget, exclusive);
    finder.lastMicros = manifest.mark.lastCommitMicros;
    const replay = new Replay(kv, manifest.mark);
    const from = manifest.mark.open.length > 0 ? manifest.logFrom : manifest.lsn;
    const logEnd = recoveryTarget.kind === 'lsn' ? Math.min(recoveryTarget.lsn, history.log.newest) : history.log.newest;
    let chainEnd: ChainEnd | undefined;
    const replayed = await replay.run(
      history.log.read(from, (ended) => (chainEnd = ended)), finder, (manifest.lsn + 1) as Lsn,
      (lsn) => progress('log', Math.max(0, lsn - from), Math.max(1, logEnd - from)),
    );
    if (!finder.reached && chainEnd?.problem && !covers(manifest, chainEnd.lsn, recoveryTarget))
      throw new DatabaseError('XX001', chainEnd.problem.message, { detail: `The newest point that can be restored is --to-lsn ${formatLsn(chainEnd.lsn)}${finder.lastMicros > 0 ? ` (last commit ${formatTime(finder.lastMicros)})` : ''}.` });
    finder.atEnd(Math.max(replayed.end, chainEnd?.lsn ?? 0) as Lsn);
    const lineage = newLineage(runtime, { id: lineageAt(history, replayed.end, manifest), lsn: replayed.end });
    const { applier } = replay;
    kv.write((writer) => writeProgress(writer, Math.max(applier.applied, manifest.lsn) as Lsn, replayed.preparedFrom ?? replayed.end, Math.max(applier.lastCommitMicros, manifest.mark.lastCommitMicros)));
    await writeLog(runtime, directory, history, replayed, finder);
    await options.inspect?.(kv, replay);
    await kv.sync();
    writeLineage(runtime, directory, lineage);
    writeFormat(runtime, directory);
    return { backups: chain.map(({ id }) => id), end: replayed.end, lastCommitMicros: Math.max(applier.lastCommitMicros, manifest.mark.lastCommitMicros), lineage, replayed };
  } finally {
    kv.close();
  }
}

/** Whether everything up to an LSN is there though the log ends, damaged, at `end`. */
function covers({ mark, lsn }: Manifest, end: Lsn, target: RecoveryTarget): boolean {
  // What open transactions wrote before the backup comes from the log.
  if (target.kind !== 'lsn' || (mark.open.length > 0 && end <= lsn)) return false;
  return target.lsn <= Math.max(end, lsn);
}

/** Which of the history's lineages the end lies in. */
function lineageAt(history: History, end: Lsn, manifest: Manifest): string {
  return history.log.lineageAt(end) ?? manifest.lineage.id;
}

/** A log that goes on from where the replay ended; what prepared transactions wrote is in it. */
async function writeLog(runtime: Runtime, directory: string, history: History, { end, endHash, preparedFrom }: Replayed, finder: TargetFinder): Promise<void> {
  const path = `${directory}/log`;
  const again = new TargetFinder(finder.target, finder.exclusive);
  let store: FileLogStore | undefined;
  let position = end as number;
  let term = 0;
  const begin = async (lsn: Lsn, hash: Uint8Array): Promise<FileLogStore> => {
    const made = new FileLogStore(runtime, { directory: path, begin: { lsn, hash } });
    ({ term } = await made.lead());
    return made;
  };
  if (preparedFrom !== undefined)
    for await (const { batch, firstLsn, until } of history.log.read(preparedFrom)) {
      if (firstLsn >= end) break;
      const whole = truncateBatch(batch, Math.min(batch.length, until - firstLsn));
      const cut = whole && again.cut(whole);
      const part = cut === undefined ? whole : truncateBatch(whole!, cut);
      if (!part) break;
      store ??= await begin(firstLsn, batch.slice(34, 50));
      await store.append(term, firstLsn, part, firstLsn, false);
      position = firstLsn + part.length;
      if (cut !== undefined) break;
    }
  if (position !== end) throw new DatabaseError('XX001', 'the log of prepared transactions could not be restored');
  store ??= await begin(end, endHash ?? NO_HASH);
  await store.close();
}
