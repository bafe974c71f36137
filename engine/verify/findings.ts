/**
 * What a check of a data directory found. Damage is gathered, named, and never ends the check: the
 * rest of the directory is looked at all the same.
 */
import type { StorageId } from '../ids.js';

export type Part = 'log' | 'state' | 'catalog' | 'relation' | 'process';

export interface Finding {
  readonly part: Part;
  readonly message: string;
  /** Whose rows or entries they are. */
  readonly storage?: StorageId;
  /** The keyspace and the key's bytes in hex. */
  readonly where?: string;
}

/** Findings kept by name; beyond, they are counted. */
const KEPT = 200;

export class Findings {
  readonly list: Finding[] = [];
  total = 0;

  constructor(private readonly onFinding: (finding: Finding) => void = () => undefined) {}

  add(finding: Finding): void {
    this.total++;
    if (this.list.length >= KEPT) return;
    this.list.push(finding);
    this.onFinding(finding);
  }

  /** Storages that something was found in. */
  storages(): Set<StorageId> {
    return new Set(this.list.flatMap((finding) => (finding.storage === undefined ? [] : [finding.storage])));
  }
}

export const hex = (bytes: Uint8Array): string => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('hex');
