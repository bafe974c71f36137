/**
 * An index scan of a serializable transaction: what it has read so far is registered as it goes, so
 * that a LIMIT does not count as having read all of the range.
 */
import type { StorageId } from '../ids.js';
import { compareBytes, prefixSuccessor } from '../keycode.js';
import { entryBounds } from '../mvcc/index-scan.js';
import type { Pending } from '../pending.js';
import type { IndexBlock, IndexCursor, KeyRange } from '../storage.js';
import type { RangeRead } from './predicate-track.js';
import type { Serializable, SerializableTransactions } from './serializable.js';

export class TrackedIndexScan implements IndexCursor {
  private range: RangeRead<Serializable> | undefined;
  private started = false;

  constructor(
    private readonly inner: IndexCursor,
    private readonly manager: SerializableTransactions,
    private readonly me: Serializable,
    private readonly index: StorageId,
    private readonly wanted: KeyRange,
  ) {}

  fill(block: IndexBlock, max: number): number | Pending {
    const filled = this.inner.fill(block, max);
    if (typeof filled === 'number' && !this.me.safe) this.register(filled === 0 ? undefined : block.keys[filled - 1]!);
    return filled;
  }

  /** `last`: the key that the scan has come to; undefined: its end. */
  private register(last: Uint8Array | undefined): void {
    const { manager, me, index, wanted } = this;
    const reverse = wanted.reverse === true;
    if (!this.started) {
      this.started = true;
      if (isOneKey(wanted)) {
        manager.readPrefix(me, index, wanted.lower!);
        return;
      }
      const bounds = entryBounds(wanted);
      if (!bounds) return;
      const [lower, upper] = last === undefined ? [bounds.lower, bounds.upper] : reverse ? [last, bounds.upper] : [bounds.lower, prefixSuccessor(last)];
      this.range = manager.beginRange(me, index, lower, upper);
      return;
    }
    if (!this.range) return;
    const bounds = entryBounds(wanted)!;
    const bound = last === undefined ? (reverse ? bounds.lower : bounds.upper) : reverse ? last : prefixSuccessor(last);
    manager.extendRange(me, index, this.range, bound, reverse);
  }

  close(): void {
    this.inner.close();
  }
}

function isOneKey({ lower, upper, lowerInclusive, upperInclusive }: KeyRange): boolean {
  return lower !== undefined && upper !== undefined && lowerInclusive !== false && upperInclusive !== false && lower.length > 0 && compareBytes(lower, upper) === 0;
}
