/**
 * What a session is doing, for pg_stat_activity, and what may end it: cancel, terminate,
 * statement_timeout, lock_timeout, and the time slices between which others get their turn.
 */
import { DatabaseError } from '../../engine/errors.js';
import type { Pending } from '../../engine/pending.js';
import { sliceMs } from '../../engine/turns.js';
import { SliceInterrupts } from '../executor/interrupts.js';
import type { BackendInfo } from '../functions/context.js';
import { POSTGRES_EPOCH_MICROS } from './backends.js';
import type { Session } from './session.js';

/** A backend's state as pg_stat_activity calls it. */
type State = BackendInfo['state'];

export class SessionActivity {
  readonly slices: SliceInterrupts;
  #interrupt: DatabaseError | null = null;
  #onInterrupt: (() => void) | null = null;
  #state: State = 'idle';
  #query = '';
  #queryStart = 0;
  #stateChange: number;
  readonly #backendStart: number;
  #waiting: Pending | null = null;
  #statementTimer: (() => void) | null = null;
  #lockTimer: (() => void) | null = null;
  #lastBreath = 0;

  /** `endConnection`: told when an idle session is terminated. */
  constructor(private readonly session: Session, private readonly endConnection: (error: DatabaseError) => void) {
    this.#backendStart = this.#now();
    this.#stateChange = this.#backendStart;
    this.slices = new SliceInterrupts(() => this.#clock.monotonicMs(), () => this.check());
  }

  get #clock() {
    return this.session.cluster.runtime.clock;
  }

  #now(): number {
    return this.#clock.nowMicros() - POSTGRES_EPOCH_MICROS;
  }

  get state(): State {
    return this.#state;
  }

  /** Milliseconds since the statement began. */
  get statementMs(): number {
    return (this.#now() - this.#queryStart) / 1000;
  }

  /** Begins a statement: timestamps, timeout. */
  begin(text: string): void {
    this.#query = text;
    this.#queryStart = this.#now();
    this.session.context.statementTimestamp = this.#queryStart;
    this.#setState('active', this.#queryStart);
    if (this.#statementTimer !== null) return;
    const timeoutMs = this.session.settings.statement.statementTimeoutMs;
    if (timeoutMs > 0) this.#statementTimer = this.#clock.after(timeoutMs, () => this.#interruptWith(new DatabaseError('57014', 'canceling statement due to statement timeout')));
  }

  end(): void {
    this.#statementTimer?.();
    this.#statementTimer = null;
    this.#interrupt = null;
    const { status } = this.session.transaction;
    this.#setState(status === 'block' ? 'idle in transaction' : status === 'failed' ? 'idle in transaction (aborted)' : 'idle', this.#now());
  }

  #setState(state: State, now: number): void {
    this.#state = state;
    this.#stateChange = now;
  }

  /** Throws what shall end the statement. */
  check(): void {
    if (!this.#interrupt) return;
    const error = this.#interrupt;
    this.#interrupt = null;
    throw error;
  }

  /** Resolves when something wants to end the statement while it waits. */
  interrupted(): Promise<void> {
    return this.#interrupt ? Promise.resolve() : new Promise((resolve) => (this.#onInterrupt = resolve));
  }

  /** CancelRequest or pg_cancel_backend: only while a statement runs. */
  cancel(): void {
    if (this.#state === 'active') this.#interruptWith(new DatabaseError('57014', 'canceling statement due to user request'));
  }

  /** pg_terminate_backend */
  terminate(): void {
    const error = new DatabaseError('57P01', 'terminating connection due to administrator command', { severity: 'FATAL' });
    if (this.#state === 'active') this.#interruptWith(error);
    else this.endConnection(error);
  }

  #interruptWith(error: DatabaseError): void {
    this.#interrupt = error;
    const current = this.session.transaction.current?.transaction;
    if (current?.state === 'active' && current.cancelWaits(error)) this.#interrupt = null;
    else this.#onInterrupt?.();
  }

  /** What the session waits for, null when that is over; a wait for a lock has its timeout. */
  setWaiting(event: Pending | null): void {
    this.#waiting = event;
    this.#lockTimer?.();
    this.#lockTimer = null;
    if (event?.waitEventType !== 'Lock') return;
    const timeoutMs = this.session.settings.number('lock_timeout');
    if (timeoutMs > 0) this.#lockTimer = this.#clock.after(timeoutMs, () => this.#interruptWith(new DatabaseError('55P03', 'canceling statement due to lock timeout')));
  }

  /** For long loops outside operators: checks for cancel, and now and then gives others a turn. */
  breathe(): Promise<void> | undefined {
    this.check();
    if (this.#clock.monotonicMs() - this.#lastBreath < sliceMs()) return undefined;
    return this.#clock.turn().then(() => void (this.#lastBreath = this.#clock.monotonicMs()));
  }

  info(): BackendInfo {
    const { session } = this;
    const { transaction } = session;
    const active = this.#state === 'active';
    return {
      pid: session.pid, databaseOid: session.databaseOid, databaseName: session.databaseName, userOid: session.sessionUser.oid, userName: session.sessionUser.name,
      applicationName: session.settings.stored('application_name') ?? '', clientAddress: session.client.address, clientPort: session.client.port,
      backendStart: this.#backendStart, transactionStart: transaction.active ? transaction.startMicros - POSTGRES_EPOCH_MICROS : null,
      queryStart: this.#queryStart || null, stateChange: this.#stateChange, state: this.#state, query: this.#query,
      waitEventType: this.#waiting?.waitEventType ?? (active ? null : 'Client'), waitEvent: this.#waiting?.waitEvent ?? (active ? null : 'ClientRead'),
      xid: transaction.current?.transaction.xid ?? 0, virtualId: transaction.current?.transaction.virtualId ?? 0,
    };
  }

  /** The connection is gone: whatever runs ends with `error`. */
  close(error: DatabaseError): void {
    this.#statementTimer?.();
    this.#lockTimer?.();
    this.#interrupt = error;
  }
}
