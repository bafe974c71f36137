/**
 * What was learned of an engine's indexes: for each, entries as of an LSN and the keys that changed since. The tree stays the
 * truth. What is here answers for a key that no commit touched since that LSN, to whoever reads at or after it; it is made
 * when it is first asked for, in the background, made anew when too many keys changed, and let go of, least used first, when
 * there is too much of it.
 *
 *     listen for changed keys -> since = assigned LSN -> wait until that is in the state -> read the index -> fit
 *              |                                                                               |
 *              +---- keys changed meanwhile: ask the tree <------------------------------------+
 */
import type { Lsn, StorageId } from '../ids.js';
import { Pending } from '../pending.js';
import type { IndexBlock, Storage } from '../storage.js';
import type { Clock } from '../runtime.js';
import { Slice } from '../turns.js';
import { ChangedKeys } from './changed-keys.js';
import { EntryCollector, type LearnedArrays } from './entry-collector.js';
import { isKeyOf, type KeyClass } from './key-class.js';
import { LearnThread } from './learn-thread.js';
import { LearnedEntries } from './learned-entries.js';

/** Keys that may change while an index is read for the first time. */
const MAX_CHANGED_MEANWHILE = 1 << 20;
/** Made anew when so many keys changed, and this part of all. */
const REBUILD_CHANGED = 2048;
const REBUILD_PART = 1 / 32;
/** Beyond this part the model is of no use. */
const LOST_PART = 1 / 4;
const LOST_LEAST = 1 << 16;
/** Bytes for an entry, at most. */
const ENTRY_BYTES = { int32: 12, int64: 16, float64: 16 } as const;
/** An index that could not be learned is not tried again for so long. */
const RETRY_MS = 5_000;
const FILL_ENTRIES = 512;

export interface LearnedOptions {
  readonly class: KeyClass;
  readonly error: number;
}

/** Entries as of `since`: what they say of a key that is not among `changed` holds for every snapshot from there on. */
export class Generation {
  used = 0;

  constructor(readonly index: StorageId, readonly since: Lsn, readonly entries: LearnedEntries, readonly changed: ChangedKeys, readonly stop: () => void) {}

  get valid(): boolean {
    return !this.changed.isLost;
  }

  get bytes(): number {
    return this.entries.bytes + this.changed.size * 40;
  }
}

interface Known {
  generation: Generation | undefined;
  building: Promise<void> | undefined;
  /** Not before this moment (monotonic ms). */
  retryAt: number;
}

const stores = new WeakMap<Storage, LearnedStore>();

/** The learned indexes that belong to an engine. */
export function learnedStore(storage: Storage, clock: Clock): LearnedStore {
  let store = stores.get(storage);
  if (!store) stores.set(storage, (store = new LearnedStore(storage, clock)));
  return store;
}

export class LearnedStore {
  private readonly indexes = new Map<StorageId, Known>();
  private readonly thread: LearnThread | null;
  private uses = 0;
  private closed = false;

  constructor(private readonly storage: Storage, private readonly clock: Clock) {
    const reader = storage.stateReader;
    this.thread = reader ? new LearnThread(reader) : null;
  }

  /** What there is, without asking for more. */
  peek(index: StorageId): Generation | undefined {
    const generation = this.indexes.get(index)?.generation;
    return generation?.valid ? generation : undefined;
  }

  /** What there is for readers at or after its LSN. Has it made, or made anew, where that is due. `bound`: bytes of all that is kept. */
  use(index: StorageId, options: LearnedOptions, bound: number): Generation | undefined {
    const known = this.known(index);
    let { generation } = known;
    if (generation && (!generation.valid || generation.entries.class !== options.class || generation.entries.error !== options.error)) {
      this.drop(known);
      generation = undefined;
    }
    if (generation) {
      generation.used = ++this.uses;
      const { changed, entries } = generation;
      if (changed.size > REBUILD_CHANGED && changed.size > entries.rows.length * REBUILD_PART) this.build(index, known, options, bound);
      else if (this.bytes > bound) this.evict(bound);
      return generation;
    }
    this.build(index, known, options, bound);
    return undefined;
  }

  /** Resolves when what is being made of the index is made. */
  async ready(index: StorageId): Promise<void> {
    await this.indexes.get(index)?.building;
  }

  /** Bytes of an index's entries, before they are read. */
  estimate(entries: number, of: KeyClass): number {
    return entries * ENTRY_BYTES[of];
  }

  get bytes(): number {
    let total = 0;
    for (const { generation } of this.indexes.values()) total += generation?.bytes ?? 0;
    return total;
  }

  close(): void {
    this.closed = true;
    for (const known of this.indexes.values()) this.drop(known);
    this.indexes.clear();
    this.thread?.end();
  }

  private known(index: StorageId): Known {
    let known = this.indexes.get(index);
    if (!known) this.indexes.set(index, (known = { generation: undefined, building: undefined, retryAt: -Infinity }));
    return known;
  }

  private drop(known: Known): void {
    known.generation?.stop();
    known.generation = undefined;
  }

  /** Least used first, until there is `bound` at most. */
  private evict(bound: number): void {
    let { bytes } = this;
    const all = [...this.indexes.entries()].filter(([, known]) => known.generation).sort(([, a], [, b]) => a.generation!.used - b.generation!.used);
    for (const [index, known] of all) {
      if (bytes <= bound) return;
      bytes -= known.generation!.bytes;
      this.drop(known);
      if (!known.building) this.indexes.delete(index);
    }
  }

  private build(index: StorageId, known: Known, options: LearnedOptions, bound: number): void {
    if (known.building || this.closed || this.storage.isTemporary(index)) return;
    const now = this.clock.monotonicMs();
    if (now < known.retryAt) return;
    known.building = this.learn(index, options)
      .then((generation) => {
        if (!generation || this.closed || this.indexes.get(index) !== known) {
          generation?.stop();
          known.retryAt = now + RETRY_MS;
          return;
        }
        if (!generation.valid || generation.bytes > bound) {
          // It alone is too much; or a commit that lists nothing came in between: the next who asks has it made anew.
          generation.stop();
          if (generation.bytes > bound) known.retryAt = now + RETRY_MS * 12;
          return;
        }
        this.drop(known);
        generation.used = ++this.uses;
        known.generation = generation;
        // Whoever reads by it goes on; nobody begins to.
        generation.changed.onLost = () => {
          if (known.generation !== generation) return;
          this.drop(known);
          if (!known.building) this.indexes.delete(index);
        };
        this.evict(bound);
      }, () => {
        // Only the model is missing; who reads the index by the tree will say what is wrong.
        known.retryAt = now + RETRY_MS;
      })
      .finally(() => {
        known.building = undefined;
        if (!known.generation && known.retryAt === -Infinity && this.indexes.get(index) === known) this.indexes.delete(index);
      });
  }

  private async learn(index: StorageId, options: LearnedOptions): Promise<Generation | undefined> {
    const changed = new ChangedKeys(options.class, MAX_CHANGED_MEANWHILE);
    const { since, stop } = this.storage.watchEntries(index, changed);
    let kept = false;
    try {
      const arrays = this.thread ? await this.learnElsewhere(this.thread, index, options, changed) : await this.learnHere(index, options, since);
      if (!arrays) return undefined;
      changed.bound(Math.max(LOST_LEAST, Math.floor(arrays.rows.length * LOST_PART)));
      kept = true;
      return new Generation(index, since, new LearnedEntries(arrays), changed, stop);
    } finally {
      if (!kept) stop();
    }
  }

  private async learnElsewhere(thread: LearnThread, index: StorageId, options: LearnedOptions, changed: ChangedKeys): Promise<LearnedArrays | null> {
    const { arrays, doubtful } = await thread.learn({ index, ...options });
    for (const value of doubtful) changed.add(value);
    return arrays;
  }

  /** In slices of this thread, where the state is only in this process' memory. */
  private async learnHere(index: StorageId, { class: of, error }: LearnedOptions, since: Lsn): Promise<LearnedArrays | null> {
    await this.storage.whenDurable(since);
    const slice = new Slice(() => this.clock.monotonicMs());
    const transaction = this.storage.begin({ isolation: 'repeatable read', readOnly: true });
    const snapshot = transaction.takeSnapshot();
    const cursor = transaction.scanIndex(index, snapshot, {});
    const block: IndexBlock = { length: 0, keys: [], rowIds: [], payloads: [] };
    const entries = new EntryCollector(of);
    try {
      for (;;) {
        const filled = cursor.fill(block, FILL_ENTRIES);
        if (filled instanceof Pending) {
          await filled.until;
          continue;
        }
        if (filled === 0) break;
        for (let i = 0; i < filled; i++) {
          const key = block.keys[i]!;
          if (key[0] !== 2) continue;
          if (!isKeyOf(of, key.length)) return null;
          entries.add(key, 1, block.rowIds[i]!);
        }
        if (slice.over) await slice.turn();
      }
    } finally {
      cursor.close();
      snapshot.release();
      transaction.rollback();
    }
    const steps = entries.finish(error);
    for (;;) {
      const step = steps.next();
      if (step.done) return step.value;
      if (slice.over) await slice.turn();
    }
  }
}
