/**
 * Proof that a target restores: it is restored into a scratch directory, the replay compares every
 * relation with the sums that the log carries, and in the end every value of the restored state is
 * read and counted against the applier's records. Then the backup is marked as proven.
 */
import type { PackedKeyValueStore } from '../packed/store.js';
import { storagePrefix } from '../mvcc/row-format.js';
import type { Runtime } from '../runtime.js';
import { provenName } from './layout.js';
import type { RecoveryTarget } from './recovery-target.js';
import type { Replay } from './replay.js';
import { restore } from './restore.js';
import type { Restored } from './restore.js';
import { sealSync } from './sealed.js';
import type { Target } from './target.js';
import { walkState } from './walk.js';
import type { Findings } from './walk.js';

export interface ProveOptions {
  /** An existing directory in which the scratch directory is made and removed again. */
  readonly scratch: string;
  readonly key: Uint8Array | undefined;
  readonly recoveryTarget: RecoveryTarget;
  readonly exclusive: boolean;
  readonly lineage: string | undefined;
  readonly progress: (phase: 'backup' | 'log', done: number, total: number) => void;
  readonly note: (text: string) => void;
}

export interface Proof {
  readonly restored: Restored;
  readonly findings: Findings;
  readonly provenMicros: number;
}

/** Raises when the restore fails or differs; `findings.problems` says what a walk found. */
export async function prove(runtime: Runtime, target: Target, options: ProveOptions): Promise<Proof> {
  const directory = `${options.scratch}/oxbow-verify-${Buffer.from(runtime.random.bytes(6)).toString('hex')}`;
  let findings: Findings | undefined;
  try {
    const restored = await restore(runtime, target, { ...options, directory, inspect: async (kv, replay) => void (findings = await walk(kv, replay)) });
    const provenMicros = runtime.clock.nowMicros();
    if (findings!.problems.length === 0) {
      const name = provenName(restored.backups.at(-1)!, provenMicros);
      await target.putIfAbsent(name, sealSync(name, Buffer.from(JSON.stringify({ end: restored.end, rows: findings!.rows })), { random: runtime.random, key: undefined }));
    }
    return { restored, findings: findings!, provenMicros };
  } finally {
    runtime.files.remove(directory);
  }
}

async function walk(kv: PackedKeyValueStore, { applier }: Replay): Promise<Findings> {
  kv.refresh();
  const mark = applier.mark();
  const storages = mark.storages.map(({ id }) => ({ id, record: kv.get('storages', storagePrefix(id))!.slice() }));
  return walkState(kv, { s: applier.applied, dropped: mark.dropped, storages }, () => Promise.resolve());
}
