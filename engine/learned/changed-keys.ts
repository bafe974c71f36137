/** Keys of an index whose entries changed since a moment: the tree is asked for them. */
import type { EntryListener } from '../storage.js';
import { compareKeys, isKeyOf, keyValue, type KeyClass, type KeyValue } from './key-class.js';

const NONE: readonly KeyValue[] = [];

export class ChangedKeys implements EntryListener {
  readonly values = new Set<KeyValue>();
  /** Nothing more is known: what was learned before cannot be used any more. */
  isLost = false;
  /** Called when it becomes so. */
  onLost: () => void = () => undefined;
  private sortedValues: KeyValue[] | null = null;

  /** `max`: with more keys it is lost. */
  constructor(private readonly of: KeyClass, private max: number) {}

  get size(): number {
    return this.values.size;
  }

  /** Ascending, NaN last. */
  get sorted(): readonly KeyValue[] {
    return (this.sortedValues ??= [...this.values].sort(compareKeys));
  }

  /** Those from `lower` on and up to `upper`, in a list of its own; without a bound: all. */
  within(lower: KeyValue | undefined, upper: KeyValue | undefined): readonly KeyValue[] {
    if (this.values.size === 0) return NONE;
    const { sorted } = this;
    const from = lower === undefined ? 0 : this.place(lower, false);
    return sorted.slice(from, upper === undefined ? sorted.length : this.place(upper, true));
  }

  private place(value: KeyValue, behind: boolean): number {
    const { sorted } = this;
    let low = 0;
    let high = sorted.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const order = compareKeys(sorted[middle]!, value);
      if (order < 0 || (behind && order === 0)) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  bound(max: number): void {
    this.max = max;
    if (this.values.size > max) this.lost();
  }

  changed(key: Uint8Array): void {
    if (this.isLost) return;
    if (key[0] === 2 && !isKeyOf(this.of, key.length)) {
      this.lost();
      return;
    }
    const value = keyValue(this.of, key);
    if (value === null) return;
    this.add(value);
  }

  add(value: KeyValue): void {
    // Both zeros are one key.
    this.values.add(value === 0 ? 0 : value);
    this.sortedValues = null;
    if (this.values.size > this.max) this.lost();
  }

  lost(): void {
    if (this.isLost) return;
    this.isLost = true;
    this.values.clear();
    this.sortedValues = null;
    this.onLost();
  }
}
