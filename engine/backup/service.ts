/**
 * What a running server does for backups: leases that keep one LSN readable, and a thread that reads
 * the state at it and the log. A lease outlives the connection and a restart of the server, so that
 * an interrupted backup goes on; it ends when it is not renewed in time.
 *
 * Leases are kept in the file LEASES of the data directory.
 */
import { DatabaseError } from '../errors.js';
import type { Lsn, StorageId, Xid } from '../ids.js';
import { readAll, writeAll } from '../log/segment.js';
import { SegmentReader } from '../log/segment-reader.js';
import type { LogRange } from '../log/segment-reader.js';
import { compiledModule } from '../runtime-node.js';
import type { Runtime, Thread } from '../runtime.js';
import type { Hold, Storage } from '../storage.js';
import type { StateMark } from '../mvcc/state-mark.js';
import { lineageOf } from './lineage.js';
import type { Lineage } from './lineage.js';
import type { FromScanner, ScanWorkerData, ToScanner } from './scan-protocol.js';
import type { LookedUp, ScanCursor, ScanPart } from './state-scan.js';

export interface BackupBegun {
  readonly lease: string;
  readonly lineage: Lineage;
  readonly mark: StateMark;
  /** The restore of undecided transactions needs the log from here. */
  readonly logFrom: Lsn;
}

interface StoredLease {
  readonly id: string;
  readonly lsn: number;
  readonly logFrom: number;
  readonly dropped: readonly number[];
  expiresMicros: number;
}

interface Lease extends StoredLease {
  readonly pin: Hold;
  readonly log: Hold;
}

export const LEASE_MICROS = 15 * 60 * 1e6;
const MAX_LEASE_MICROS = 24 * 3600 * 1e6;
const EXPIRY_CHECK_MS = 5_000;
const OPEN_WAIT_MS = 200;
/** Transactions that wrote ahead before the backup began are waited for this long. */
const OPEN_WAIT_MAX_MS = 30 * 60_000;
const IDLE_MS = 30_000;

const sameCursor = (a: ScanCursor, b: ScanCursor): boolean => a.space === b.space && Buffer.compare(a.key, b.key) === 0;

type Unnumbered<T> = T extends unknown ? Omit<T, 'id'> : never;

export class BackupService {
  private readonly leases = new Map<string, Lease>();
  private thread: Thread | undefined;
  private readonly waiting = new Map<number, { resolve(message: FromScanner): void; reject(error: unknown): void }>();
  private nextId = 1;
  private usedMs = 0;
  /** The part that comes after the last one that was asked for. */
  private ahead: { readonly id: string; readonly cursor: ScanCursor; readonly maxBytes: number; readonly part: Promise<ScanPart> } | undefined;
  private readonly directory: string;
  private cancel: () => void = () => undefined;
  private closed = false;

  constructor(private readonly runtime: Runtime, private readonly storage: Storage) {
    const { directory } = storage.maintenance;
    if (directory === undefined) throw new DatabaseError('0A000', 'a server in memory cannot be backed up');
    this.directory = directory;
    for (const stored of this.load()) if (stored.expiresMicros > runtime.clock.nowMicros() && this.isKept(stored)) this.adopt(stored);
    this.checkExpiry();
  }

  get lineage(): Lineage {
    return lineageOf(this.runtime, this.directory);
  }

  /** A restart that replayed log kept no versions from before its end. */
  private isKept({ lsn }: StoredLease): boolean {
    try {
      this.storage.past.check(lsn as Lsn);
      return true;
    } catch {
      return false;
    }
  }

  private adopt(stored: StoredLease): Lease {
    const { maintenance } = this.storage;
    const lease = { ...stored, pin: maintenance.pinHorizon(stored.lsn as Lsn), log: maintenance.holdLog(stored.logFrom as Lsn) };
    this.leases.set(lease.id, lease);
    return lease;
  }

  /** Takes a lease at the newest applied LSN. */
  async begin(): Promise<BackupBegun> {
    const { maintenance } = this.storage;
    const { clock } = this.runtime;
    const pin = maintenance.pinHorizon();
    const log = maintenance.holdLog(0 as Lsn);
    try {
      let mark = await maintenance.mark();
      let logFrom = mark.replayFrom;
      // What transactions wrote ahead comes from the log. Where it is older than that, it is in no backup until they have ended.
      // What is being undone (first 0) comes from nowhere: the scan leaves it out.
      const oldest = new SegmentReader(this.runtime, `${this.directory}/log`).oldest() ?? mark.replayFrom;
      const missing = new Set<Xid>(mark.ahead.filter(({ first }) => first > 0 && first < oldest).map(({ xid }) => xid));
      const since = clock.monotonicMs();
      for (let open = missing.size > 0; open; ) {
        if (clock.monotonicMs() - since > OPEN_WAIT_MAX_MS)
          throw new DatabaseError('55000', 'a transaction that writes in bulk has been open for too long', { detail: `Transaction ${mark.ahead.find(({ xid }) => missing.has(xid))?.xid ?? 0} began before what the log still has.` });
        await new Promise<void>((resolve) => clock.after(OPEN_WAIT_MS, resolve));
        mark = await maintenance.mark();
        open = mark.ahead.some(({ xid }) => missing.has(xid));
      }
      for (const { first } of mark.ahead) if (first > 0 && first < logFrom) logFrom = first;
      log.lsn = logFrom;
      const id = Buffer.from(this.runtime.random.bytes(8)).toString('hex');
      const lease = { id, lsn: mark.at, logFrom, dropped: mark.dropped, expiresMicros: clock.nowMicros() + LEASE_MICROS, pin, log };
      // Everything before the pin was applied, so no record lies between the mark and the pin.
      pin.lsn = mark.at;
      this.leases.set(id, lease);
      this.save();
      return { lease: id, lineage: this.lineage, mark, logFrom };
    } catch (error) {
      pin.release();
      log.release();
      throw error;
    }
  }

  private lease(id: string): Lease {
    const lease = this.leases.get(id);
    if (!lease) throw new DatabaseError('42704', `backup lease ${id} does not exist`, { hint: 'It may have expired: begin a new backup.' });
    return lease;
  }

  /** Keeps a lease for longer: `micros` from now. */
  renew(id: string, micros = LEASE_MICROS): void {
    const lease = this.lease(id);
    const until = this.runtime.clock.nowMicros() + Math.min(micros, MAX_LEASE_MICROS);
    if (until < lease.expiresMicros + 1e6) return;
    const save = until - lease.expiresMicros > LEASE_MICROS / 4;
    lease.expiresMicros = until;
    if (save) this.save();
  }

  async read(id: string, cursor: ScanCursor, maxBytes: number): Promise<ScanPart> {
    const lease = this.lease(id);
    this.renew(id);
    const { ahead } = this;
    this.ahead = undefined;
    const part = await (ahead?.id === id && ahead.maxBytes === maxBytes && sameCursor(ahead.cursor, cursor) ? ahead.part : this.readNow(lease, cursor, maxBytes));
    // While it is on its way, the next one is read.
    if (part.next) {
      const next = this.readNow(lease, part.next, maxBytes);
      next.catch(() => undefined);
      this.ahead = { id, cursor: part.next, maxBytes, part: next };
    }
    return part;
  }

  private async readNow(lease: Lease, cursor: ScanCursor, maxBytes: number): Promise<ScanPart> {
    const answer = await this.ask({ kind: 'read', s: lease.lsn as Lsn, dropped: lease.dropped as StorageId[], cursor, maxBytes });
    return (answer as Extract<FromScanner, { kind: 'part' }>).part;
  }

  /** What the state had under these keys (state-scan.ts: lookup). */
  async lookup(id: string, keys: Uint8Array, maxBytes: number): Promise<LookedUp> {
    const lease = this.lease(id);
    this.renew(id);
    const answer = await this.ask({ kind: 'lookup', s: lease.lsn as Lsn, dropped: lease.dropped as StorageId[], keys, maxBytes });
    return (answer as Extract<FromScanner, { kind: 'found' }>).found;
  }

  /** Whole batches of the log from the one that holds `from`. */
  async readLog(from: Lsn, maxBytes: number): Promise<LogRange> {
    const durable = new Float64Array(this.storage.maintenance.durableCell)[0]! as Lsn;
    const answer = await this.ask({ kind: 'log', from, durable, maxBytes });
    return (answer as Extract<FromScanner, { kind: 'range' }>).range;
  }

  end(id: string): void {
    const lease = this.leases.get(id);
    if (!lease) return;
    lease.pin.release();
    lease.log.release();
    if (this.ahead?.id === id) this.ahead = undefined;
    this.leases.delete(id);
    this.save();
  }

  get activeLeases(): number {
    return this.leases.size;
  }

  // ---- the thread

  private ask(message: Unnumbered<ToScanner>): Promise<FromScanner> {
    const id = this.nextId++;
    this.usedMs = this.runtime.clock.monotonicMs();
    const thread = (this.thread ??= this.start());
    return new Promise((resolve, reject) => {
      this.waiting.set(id, { resolve, reject });
      thread.post({ ...message, id } as ToScanner);
    });
  }

  private start(): Thread {
    const data: ScanWorkerData = { statePath: `${this.directory}/state.mdb`, logDirectory: `${this.directory}/log` };
    const thread = this.runtime.threads.start(compiledModule('engine/backup/scan-worker.js', import.meta.url), data);
    thread.onMessage((raw) => {
      const message = raw as FromScanner;
      const asked = this.waiting.get(message.id);
      this.waiting.delete(message.id);
      if (message.kind === 'error') asked?.reject(new DatabaseError(message.sqlstate, message.message, message.detail === undefined ? {} : { detail: message.detail }));
      else asked?.resolve(message);
    });
    thread.onExit((code, error) => {
      if (this.thread === thread) this.thread = undefined;
      for (const { reject } of this.waiting.values()) reject(new DatabaseError('XX000', `the backup thread ended with code ${code}${error instanceof Error ? `: ${error.message}` : ''}`));
      this.waiting.clear();
    });
    return thread;
  }

  private checkExpiry(): void {
    const now = this.runtime.clock.nowMicros();
    for (const lease of [...this.leases.values()]) if (lease.expiresMicros < now) this.end(lease.id);
    if (this.thread && this.waiting.size === 0 && this.runtime.clock.monotonicMs() - this.usedMs > IDLE_MS) void this.thread.terminate();
    if (!this.closed) this.cancel = this.runtime.clock.after(EXPIRY_CHECK_MS, () => this.checkExpiry());
  }

  async close(): Promise<void> {
    this.closed = true;
    this.cancel();
    await this.thread?.terminate();
  }

  // ---- leases on disk

  private load(): StoredLease[] {
    const path = `${this.directory}/LEASES`;
    if (!this.runtime.files.exists(path)) return [];
    const file = this.runtime.files.open(path, 'read');
    try {
      return JSON.parse(Buffer.from(readAll(file)).toString('utf8')) as StoredLease[];
    } catch {
      // Half-written at a crash: the backups that had them begin anew.
      return [];
    } finally {
      file.close();
    }
  }

  private save(): void {
    const { files } = this.runtime;
    const path = `${this.directory}/LEASES`;
    const stored = [...this.leases.values()].map(({ id, lsn, logFrom, dropped, expiresMicros }) => ({ id, lsn, logFrom, dropped, expiresMicros }));
    files.remove(`${path}.new`);
    const file = files.open(`${path}.new`, 'create');
    writeAll(file, Buffer.from(JSON.stringify(stored)), 0);
    file.dataSyncSync();
    file.close();
    files.rename(`${path}.new`, path);
  }
}
