/** Runs the backup job (backup-job.ts) whenever something is due, answers what it asks, and keeps what the metrics show. */
import { fork } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { Logger } from 'pino';
import { storedMark } from '../engine/backup/manifest.js';
import type { RemoteCursor } from '../engine/backup/remote.js';
import type { BackupService } from '../engine/backup/service.js';
import { DatabaseError } from '../engine/errors.js';
import type { Lsn } from '../engine/ids.js';
import type { Runtime } from '../engine/runtime.js';
import { compiledModule } from '../engine/runtime-node.js';
import type { BackupPlan, FromJob, ToJob } from './backup-job.js';

export interface ScheduleStatus {
  /** Unix time in seconds; 0: never. */
  readonly lastBackupSeconds: number;
  readonly lastProvenSeconds: number;
  readonly failures: number;
  readonly running: boolean;
}

const LOOK_MS = 60_000;
const RETRY_MS = 300_000;

export class BackupSchedule {
  private child: ChildProcess | undefined;
  private cancel: () => void = () => undefined;
  private lastBackupMicros = 0;
  private lastProvenMicros = 0;
  private failures = 0;
  private known = false;
  private retryAtMs = 0;
  private closed = false;

  constructor(
    private readonly runtime: Runtime,
    private readonly backups: BackupService,
    private readonly plan: BackupPlan,
    private readonly log: Logger,
  ) {
    this.look();
  }

  status(): ScheduleStatus {
    return { lastBackupSeconds: this.lastBackupMicros / 1e6, lastProvenSeconds: this.lastProvenMicros / 1e6, failures: this.failures, running: this.child !== undefined };
  }

  private look(): void {
    if (this.closed) return;
    const { clock } = this.runtime;
    if (!this.child && clock.monotonicMs() >= this.retryAtMs && this.due()) this.start();
    const { backupEveryMs, checkEveryMs } = this.plan;
    const shortest = Math.min(...[backupEveryMs, checkEveryMs].filter((ms) => ms > 0));
    this.cancel = clock.after(Math.min(LOOK_MS, shortest / 4), () => this.look());
  }

  private due(): boolean {
    const now = this.runtime.clock.nowMicros();
    const { backupEveryMs, checkEveryMs } = this.plan;
    const passed = (last: number, everyMs: number): boolean => everyMs > 0 && now - last >= everyMs * 1000;
    return !this.known || passed(this.lastBackupMicros, backupEveryMs) || passed(this.lastProvenMicros, checkEveryMs);
  }

  private start(): void {
    const child = fork(fileURLToPath(compiledModule('server/backup-job.js', import.meta.url)), [], { serialization: 'advanced', stdio: ['ignore', 'ignore', 'inherit', 'ipc'] });
    this.child = child;
    child.on('message', (message) => void this.receive(child, message as FromJob));
    child.on('exit', (code) => {
      this.child = undefined;
      if (code === 0 || this.closed) return;
      this.failed();
    });
    child.on('error', () => undefined);
    child.send({ kind: 'run', plan: this.plan } satisfies ToJob);
  }

  private failed(): void {
    this.failures++;
    this.retryAtMs = this.runtime.clock.monotonicMs() + Math.min(RETRY_MS, ...[this.plan.backupEveryMs, this.plan.checkEveryMs].filter((ms) => ms > 0));
  }

  private async receive(child: ChildProcess, message: FromJob): Promise<void> {
    switch (message.kind) {
      case 'event':
        this.log[message.level](message.fields, message.message);
        return;
      case 'state':
        this.known = true;
        this.lastBackupMicros = message.lastBackupMicros;
        this.lastProvenMicros = message.lastProvenMicros;
        if (message.failed) this.failed();
        return;
      case 'ask': {
        let answer: ToJob;
        try {
          answer = { kind: 'answer', id: message.id, value: await this.answer(message) };
        } catch (error) {
          answer = { kind: 'answer', id: message.id, error: { sqlstate: error instanceof DatabaseError ? error.sqlstate : 'XX000', message: (error as Error).message } };
        }
        if (child.connected) child.send(answer);
      }
    }
  }

  private async answer({ method, args }: Extract<FromJob, { kind: 'ask' }>): Promise<unknown> {
    const { backups } = this;
    switch (method) {
      case 'begin': {
        const begun = await backups.begin();
        return { ...begun, mark: storedMark(begun.mark) };
      }
      case 'read': {
        const [lease, cursor, bytes] = args as [string, RemoteCursor | undefined, number];
        const part = await backups.read(lease, cursor ? { space: cursor.space, key: Buffer.from(cursor.key, 'base64') } : { space: 'heap', key: Uint8Array.of(0) }, bytes);
        return { entries: part.entries, pieces: [part.bytes], next: part.next ? { space: part.next.space, key: Buffer.from(part.next.key).toString('base64') } : null };
      }
      case 'lookup':
        return backups.lookup(args[0] as string, args[1] as Uint8Array, args[2] as number);
      case 'readLog': {
        const range = await backups.readLog(args[0] as Lsn, args[1] as number);
        return range.kind === 'trimmed' ? { trimmed: range.oldest } : range;
      }
      case 'end':
        return backups.end(args[0] as string);
    }
  }

  close(): void {
    this.closed = true;
    this.cancel();
    this.child?.kill('SIGKILL');
  }
}
