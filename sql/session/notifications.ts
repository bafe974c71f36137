/**
 * LISTEN, NOTIFY, UNLISTEN. A transaction's notifications ride in its commit record; the hub hears
 * of each commit when it is durable, in the order of the log, and hands its messages to the sessions
 * that listen. A session passes them on when it is idle and outside a transaction.
 *
 * LISTEN counts from just before its transaction commits, so that nothing committed after it can be
 * missed. What waits for sessions in transactions, or for slow clients, is bounded: when it is full,
 * NOTIFY fails at commit, as in PostgreSQL.
 */
import { DatabaseError } from '../../engine/errors.js';
import type { SubId } from '../../engine/ids.js';
import type { CommitNotice, Storage } from '../../engine/storage.js';

export const NOTIFY_PREFIX = 'notify';
const HEADER = 8;
/** NAMEDATALEN, and NOTIFY_PAYLOAD_MAX_LENGTH. */
const MAX_CHANNEL = 63;
const MAX_PAYLOAD = 7999;
const QUEUE_BYTES = 64 << 20;
/** What one waiting message costs beside its bytes. */
const OVERHEAD = 64;

export interface Notification {
  readonly pid: number;
  readonly channel: string;
  readonly payload: string;
  readonly bytes: number;
}

/** A session's side: who it is and how it is told that something came. */
export interface Listener {
  readonly databaseOid: number;
  arrived(notification: Notification): void;
  /** Everything of a commit has arrived. */
  deliver(): void;
}

/** 22023 unless PostgreSQL would take it. */
export function checkNotification(channel: string, payload: string): void {
  if (channel === '') throw new DatabaseError('22023', 'channel name cannot be empty');
  if (Buffer.byteLength(channel) > MAX_CHANNEL) throw new DatabaseError('22023', 'channel name too long');
  if (Buffer.byteLength(payload) > MAX_PAYLOAD) throw new DatabaseError('22023', 'payload string too long');
}

export class NotificationHub {
  private readonly listeners = new Map<string, Set<Listener>>();
  private readonly dirty = new Set<Listener>();
  private queuedBytes = 0;

  constructor(storage: Storage) {
    storage.onCommit((commit) => this.committed(commit));
  }

  /** Share of the queue that is in use, 0 to 1 (pg_notification_queue_usage). */
  get usage(): number {
    return this.queuedBytes / QUEUE_BYTES;
  }

  /** Before a commit that notifies. */
  checkRoom(): void {
    if (this.queuedBytes >= QUEUE_BYTES) throw new DatabaseError('54000', 'too many notifications in the NOTIFY queue');
  }

  listen(listener: Listener, channel: string): void {
    const key = `${listener.databaseOid}/${channel}`;
    const set = this.listeners.get(key);
    if (set) set.add(listener);
    else this.listeners.set(key, new Set([listener]));
  }

  unlisten(listener: Listener, channel: string): void {
    const key = `${listener.databaseOid}/${channel}`;
    const set = this.listeners.get(key);
    set?.delete(listener);
    if (set?.size === 0) this.listeners.delete(key);
  }

  /** A waiting message has left, or will never. */
  left(notification: Notification): void {
    this.queuedBytes -= notification.bytes;
  }

  private committed({ messages }: CommitNotice): void {
    if (messages.length === 0 || this.listeners.size === 0) return;
    for (const { prefix, content } of messages) {
      if (prefix !== NOTIFY_PREFIX) continue;
      const { databaseOid, notification } = decode(content);
      for (const listener of this.listeners.get(`${databaseOid}/${notification.channel}`) ?? []) {
        this.queuedBytes += notification.bytes;
        listener.arrived(notification);
        if (this.dirty.size === 0) setImmediate(this.deliver);
        this.dirty.add(listener);
      }
    }
  }

  private readonly deliver = (): void => {
    const listeners = [...this.dirty];
    this.dirty.clear();
    for (const listener of listeners) listener.deliver();
  };
}

function encode(databaseOid: number, pid: number, channel: string, payload: string): Uint8Array {
  const text = Buffer.from(`${channel}\0${payload}`, 'utf8');
  const content = Buffer.alloc(HEADER + text.length);
  content.writeUInt32BE(databaseOid, 0);
  content.writeUInt32BE(pid, 4);
  content.set(text, HEADER);
  return content;
}

function decode(content: Uint8Array): { databaseOid: number; notification: Notification } {
  const bytes = Buffer.from(content.buffer, content.byteOffset, content.length);
  const text = bytes.toString('utf8', HEADER);
  const end = text.indexOf('\0');
  return { databaseOid: bytes.readUInt32BE(0), notification: { pid: bytes.readUInt32BE(4), channel: text.slice(0, end), payload: text.slice(end + 1), bytes: content.length + OVERHEAD } };
}

type Action = { readonly kind: 'listen' | 'unlisten'; readonly channel: string; readonly sub: SubId } | { readonly kind: 'unlisten all'; readonly channel: ''; readonly sub: SubId };
interface Outgoing { readonly channel: string; readonly payload: string; readonly sub: SubId }

/** What the session offers. */
export interface NotifyingSession {
  readonly pid: number;
  readonly databaseOid: number;
  /** Idle, and outside a transaction. */
  readonly idle: boolean;
  send(notification: Notification): void;
  /** Sends what was written; a promise while the client does not keep up. */
  flush(): Promise<void> | undefined;
}

/** One session's channels, its transaction's notifications and actions, and what waits to be passed on. */
export class SessionNotifications implements Listener {
  readonly channels = new Set<string>();
  private actions: Action[] = [];
  private outgoing: Outgoing[] = [];
  /** Listened to from before the commit on, that is not over. */
  private tentative: string[] = [];
  private incoming: Notification[] = [];
  private held = false;

  constructor(private readonly hub: NotificationHub, private readonly session: NotifyingSession) {}

  get databaseOid(): number {
    return this.session.databaseOid;
  }

  /** The transaction has executed LISTEN, UNLISTEN or NOTIFY. */
  get pending(): boolean {
    return this.actions.length > 0 || this.outgoing.length > 0;
  }

  // ---- statements

  listen(channel: string, sub: SubId): void {
    this.actions.push({ kind: 'listen', channel, sub });
  }

  unlisten(channel: string | null, sub: SubId): void {
    if (channel === null) this.actions.push({ kind: 'unlisten all', channel: '', sub });
    else this.actions.push({ kind: 'unlisten', channel, sub });
  }

  notify(channel: string, payload: string, sub: SubId): void {
    checkNotification(channel, payload);
    this.outgoing.push({ channel, payload, sub });
  }

  // ---- the transaction's ends

  /** The messages for the commit record, each once; channels are listened to from here on. */
  beforeCommit(): Uint8Array[] {
    if (this.outgoing.length > 0) this.hub.checkRoom();
    for (const { kind, channel } of this.actions) {
      if (kind !== 'listen' || this.channels.has(channel)) continue;
      this.tentative.push(channel);
      this.hub.listen(this, channel);
    }
    const seen = new Set<string>();
    const messages: Uint8Array[] = [];
    for (const { channel, payload } of this.outgoing) {
      const name = `${channel}\0${payload}`;
      if (seen.has(name)) continue;
      seen.add(name);
      messages.push(encode(this.session.databaseOid, this.session.pid, channel, payload));
    }
    return messages;
  }

  ended(committed: boolean): void {
    if (committed) for (const action of this.actions) this.apply(action);
    for (const channel of this.tentative) if (!this.channels.has(channel)) this.hub.unlisten(this, channel);
    if (this.tentative.length > 0) this.tentative = [];
    if (this.actions.length > 0) this.actions = [];
    if (this.outgoing.length > 0) this.outgoing = [];
  }

  private apply({ kind, channel }: Action): void {
    if (kind === 'listen') {
      this.channels.add(channel);
      this.hub.listen(this, channel);
      return;
    }
    for (const gone of kind === 'unlisten' ? [channel] : [...this.channels]) {
      this.channels.delete(gone);
      this.hub.unlisten(this, gone);
    }
  }

  rolledBackTo(sub: SubId): void {
    this.actions = this.actions.filter((action) => action.sub < sub);
    this.outgoing = this.outgoing.filter((outgoing) => outgoing.sub < sub);
  }

  // ---- delivery

  arrived(notification: Notification): void {
    this.incoming.push(notification);
  }

  deliver(): void {
    if (this.incoming.length === 0 || this.held || !this.session.idle) return;
    this.passOn();
    const slow = this.session.flush();
    if (!slow) return;
    this.held = true;
    void slow.then(() => {
      this.held = false;
      this.deliver();
    });
  }

  /** Before ReadyForQuery, outside a transaction. */
  passOn(): void {
    this.held = false;
    for (const notification of this.incoming) {
      this.hub.left(notification);
      // It may have come before an UNLISTEN.
      if (this.channels.has(notification.channel)) this.session.send(notification);
    }
    if (this.incoming.length > 0) this.incoming = [];
  }

  close(): void {
    for (const channel of [...this.channels, ...this.tentative]) this.hub.unlisten(this, channel);
    for (const notification of this.incoming) this.hub.left(notification);
    this.incoming = [];
    this.channels.clear();
  }
}
