/**
 * The process that takes scheduled backups and proves that they restore: beside the server, so that
 * compression, encryption and the scratch restore cost it nothing but cores that are idle. It asks the
 * server for data over its channel and ends when it has done what was due.
 */
import { setPriority } from 'node:os';
import { fullBackup } from '../engine/backup/full-backup.js';
import { incrementalBackup } from '../engine/backup/incremental-backup.js';
import { listBackups } from '../engine/backup/manifest.js';
import { prove } from '../engine/backup/prove.js';
import type { Remote } from '../engine/backup/remote.js';
import { applyRetention } from '../engine/backup/retention.js';
import { openTarget } from '../engine/backup/target.js';
import { DatabaseError } from '../engine/errors.js';
import { nodeRuntime } from '../engine/runtime-node.js';

export interface BackupPlan {
  readonly target: string;
  readonly key: Uint8Array | undefined;
  /** 0: never. */
  readonly backupEveryMs: number;
  readonly fullEveryMs: number;
  readonly checkEveryMs: number;
  readonly keepFull: number | undefined;
  readonly keepDays: number | undefined;
  readonly scratch: string;
}

export type ToJob = { readonly kind: 'run'; readonly plan: BackupPlan } | { readonly kind: 'answer'; readonly id: number; readonly value?: unknown; readonly error?: { readonly sqlstate: string; readonly message: string } };

export type FromJob =
  | { readonly kind: 'ask'; readonly id: number; readonly method: keyof Remote; readonly args: readonly unknown[] }
  | { readonly kind: 'event'; readonly level: 'info' | 'warn' | 'error'; readonly message: string; readonly fields: Record<string, unknown> }
  | { readonly kind: 'state'; readonly lastBackupMicros: number; readonly lastProvenMicros: number; readonly failed: boolean };

const send = (message: FromJob): void => void process.send!(message);
const waiting = new Map<number, { resolve(value: unknown): void; reject(error: unknown): void }>();
let nextId = 1;

function ask<T>(method: keyof Remote, ...args: readonly unknown[]): Promise<T> {
  const id = nextId++;
  return new Promise((resolve, reject) => {
    waiting.set(id, { resolve: resolve as (value: unknown) => void, reject });
    send({ kind: 'ask', id, method, args });
  });
}

const remote: Remote = {
  begin: () => ask('begin'),
  read: (lease, cursor, bytes) => ask('read', lease, cursor, bytes),
  lookup: (lease, keys, bytes) => ask('lookup', lease, keys, bytes),
  readLog: (from, bytes) => ask('readLog', from, bytes),
  end: (lease) => ask('end', lease),
};

async function run(plan: BackupPlan): Promise<void> {
  const runtime = nodeRuntime();
  const target = openTarget(runtime, plan.target, process.env);
  const { key } = plan;
  const look = async (): Promise<{ any: number; full: number; proven: number }> => {
    const listed = await listBackups(target, key);
    const finished = (kind?: string): number => Math.max(0, ...listed.map(({ manifest }) => (manifest && (kind === undefined || manifest.kind === kind) ? manifest.finishedMicros : 0)));
    return { any: finished(), full: finished('full'), proven: Math.max(0, ...listed.map(({ provenMicros }) => provenMicros ?? 0)) };
  };
  let failed = false;
  let state = await look();
  const now = (): number => runtime.clock.nowMicros();
  const due = (last: number, everyMs: number): boolean => everyMs > 0 && now() - last >= everyMs * 1000;
  const options = { key, maxRate: undefined, progress: () => undefined, note: (text: string) => send({ kind: 'event', level: 'info', message: text, fields: {} }) };
  try {
    if (due(state.any, plan.backupEveryMs)) {
      const full = state.full === 0 || due(state.full, plan.fullEveryMs);
      const manifest = await (full ? fullBackup(runtime, target, remote, options) : incrementalBackup(runtime, target, remote, options).catch((error: unknown) => {
        // Its log is gone, or what it would build on.
        if (!(error instanceof DatabaseError) || !['55000', '58P01', 'XX001'].includes(error.sqlstate)) throw error;
        return fullBackup(runtime, target, remote, options);
      }));
      send({ kind: 'event', level: 'info', message: 'backup complete', fields: { id: manifest.id, lsn: manifest.lsn } });
      if (plan.keepFull !== undefined || plan.keepDays !== undefined) {
        const removed = await applyRetention(target, key, plan, now());
        if (removed.backups.length > 0) send({ kind: 'event', level: 'info', message: 'old backups removed', fields: { ...removed } });
      }
      state = await look();
    }
  } catch (error) {
    failed = true;
    send({ kind: 'event', level: 'error', message: 'the scheduled backup failed', fields: { reason: (error as Error).message } });
  }
  try {
    if (state.any > 0 && due(state.proven, plan.checkEveryMs)) {
      const { restored, findings, provenMicros } = await prove(runtime, target, { ...options, scratch: plan.scratch, recoveryTarget: { kind: 'latest' }, exclusive: false, lineage: undefined });
      if (findings.problems.length > 0) throw new DatabaseError('XX001', findings.problems.join('; '));
      send({ kind: 'event', level: 'info', message: 'backups proven to restore', fields: { end: restored.end, rows: findings.rows } });
      state = { ...state, proven: provenMicros };
    }
  } catch (error) {
    failed = true;
    send({ kind: 'event', level: 'error', message: 'the backups do not restore', fields: { reason: (error as Error).message } });
  }
  send({ kind: 'state', lastBackupMicros: state.any, lastProvenMicros: state.proven, failed });
}

process.on('message', (message: ToJob) => {
  if (message.kind === 'answer') {
    const asked = waiting.get(message.id);
    waiting.delete(message.id);
    if (message.error) asked?.reject(new DatabaseError(message.error.sqlstate, message.error.message));
    else asked?.resolve(message.value);
    return;
  }
  setPriority(10);
  run(message.plan).then(
    () => process.disconnect(),
    (error: unknown) => {
      send({ kind: 'event', level: 'error', message: 'the backup job failed', fields: { reason: (error as Error).message } });
      process.exitCode = 1;
      process.disconnect();
    },
  );
});
