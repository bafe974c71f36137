/** What a backup asks of a server, wherever the server runs. */
import type { Lsn } from '../ids.js';
import type { Lineage } from './lineage.js';
import type { StoredMark } from './manifest.js';

export interface RemoteBegun {
  readonly lease: string;
  readonly lineage: Lineage;
  readonly mark: StoredMark;
  readonly logFrom: Lsn;
}

/** A scan's position with its key in base64; null: the end. */
export interface RemoteCursor {
  readonly space: 'heap' | 'index' | 'values';
  readonly key: string;
}

export type RemoteLog = { readonly trimmed: Lsn } | { readonly from: Lsn; readonly to: Lsn; readonly closed: boolean; readonly bytes: Uint8Array };

/** What a look-up found: `done` bytes of the key list are answered; of a large value that follows, the chunks before `chunk`. */
export interface RemoteFound {
  readonly entries: number;
  readonly done: number;
  readonly chunk: number;
  readonly bytes: Uint8Array;
}

export interface RemotePart {
  readonly entries: number;
  readonly next: RemoteCursor | null;
  /** The part's bytes, in as many pieces as they came. */
  readonly pieces: readonly Uint8Array[];
}

export interface Remote {
  begin(): Promise<RemoteBegun>;
  read(lease: string, cursor: RemoteCursor | undefined, bytes: number): Promise<RemotePart>;
  lookup(lease: string, keys: Uint8Array, bytes: number): Promise<RemoteFound>;
  readLog(from: Lsn, bytes: number): Promise<RemoteLog>;
  end(lease: string): Promise<void>;
}
