/** What a portal drains: rows of a statement in batches, with their description. */
import type { Batch } from './batch.js';
import type { Pending } from '../../engine/pending.js';

export interface ResultColumn {
  readonly name: string;
  readonly typeOid: number;
  readonly typmod: number;
  /** pg_class OID and attribute number of a plain column reference, else 0. */
  readonly tableOid: number;
  readonly attributeNumber: number;
}

export interface RowSource {
  readonly columns: readonly ResultColumn[];
  /** At most `maxRows` rows if given. null is the end. */
  next(maxRows?: number): Batch | null | Pending;
  close(): void;
  /** Asks for a turn of the event loop between batches; absent: never. */
  timeIsUp?(): boolean;
}
