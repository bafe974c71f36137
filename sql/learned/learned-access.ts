/** What was learned of one index (engine/learned), as one execution may use it. */
import type { KeyClass, KeyValue } from '../../engine/learned/key-class.js';
import { int64Key } from '../../engine/learned/key-class.js';
import { learnedStore, type Generation, type LearnedOptions } from '../../engine/learned/learned-store.js';
import { Pending } from '../../engine/pending.js';
import type { Catalog, Index } from '../catalog/catalog.js';
import type { ExecState } from '../executor/exec-state.js';
import { kilobytesOf } from '../executor/spill/memory.js';
import type { EvalContext } from '../functions/context.js';
import type { Datum } from '../types/datum.js';
import { baseType, epsilonOf, isLearned } from './learned-options.js';

const DEFAULT_KILOBYTES = 1 << 19;
const FLOAT8 = 701;
/** An entry costs the thread that learns about so much of a look-up by the tree. */
const WAIT_PART = 1 / 40;

const CLASSES: Readonly<Record<number, KeyClass>> = { 21: 'int32', 23: 'int32', 26: 'int32', 1082: 'int32', 20: 'int64', 1114: 'int64', 1184: 'int64', [FLOAT8]: 'float64' };

export function learnedMemory({ settings }: EvalContext): number {
  return kilobytesOf(settings.get('oxbow.learned_memory'), DEFAULT_KILOBYTES) * 1024;
}

export function learnedOptions(index: Index, catalog: Catalog): LearnedOptions {
  return { class: CLASSES[baseType(catalog, index.keyColumns[0]!.typeOid)]!, error: epsilonOf(index) };
}

/** Whether a key's column can be had from the model: both zeros of a float are one key. */
export function givesColumn(index: Index, catalog: Catalog): boolean {
  return baseType(catalog, index.keyColumns[0]!.typeOid) !== FLOAT8;
}

/** A value of the key column's type (integers: of any width) as the number that orders it. */
export function keyConverter(index: Index, catalog: Catalog): (value: Datum) => KeyValue {
  switch (baseType(catalog, index.keyColumns[0]!.typeOid)) {
    case 20: case 1114: case 1184: return (value) => int64Key(value as KeyValue);
    case 26: return (value) => ((value as number) ^ 0x80000000) | 0;
    case 1082: return (value) => (value === Infinity ? 2147483647 : value === -Infinity ? -2147483648 : (value as number));
    default: return (value) => value as KeyValue;
  }
}

export class LearnedAccess {
  private readonly options: LearnedOptions;
  /** Look-ups of this execution, and those that the model answered. */
  lookups = 0;
  hits = 0;

  constructor(readonly index: Index, private readonly state: ExecState) {
    this.options = learnedOptions(index, state.catalog);
  }

  /** What answers now for this statement's snapshot; undefined: the tree must. Asked anew after each wait. */
  current(): Generation | undefined {
    const { state, index } = this;
    const { transaction, snapshot, context } = state;
    // SERIALIZABLE keeps which keys were read: the tree's scans say so.
    if (snapshot.kind !== 'at' || transaction.isolation === 'serializable' || transaction.asOf !== undefined || context.storage.isTemporary(index.storage)) return undefined;
    if (transaction.changed(index.storage) || transaction.isNew(index.storage)) return undefined;
    const generation = learnedStore(context.storage, context.runtime.clock).use(index.storage, this.options, learnedMemory(context));
    return generation && generation.valid && snapshot.lsn >= generation.since ? generation : undefined;
  }

  /** The wait until it is learned, if it is being learned and that takes less than so many look-ups by the tree. */
  *await(lookups: number): Generator<Pending, void> {
    const { state, index } = this;
    const { storage, runtime } = state.context;
    if (!state.canWait || lookups < storage.rowCount(state.catalog.relation(index.tableOid)!.storage) * WAIT_PART) return;
    const ready = learnedStore(storage, runtime.clock).ready(index.storage);
    if (ready) yield new Pending(ready, 'IO', 'DataFileRead');
  }

  /** Counts for EXPLAIN ANALYZE. */
  report(node: object): void {
    const details = this.state.instrument?.(node).details;
    if (!details) return;
    details.set('Learned Lookups', Number(details.get('Learned Lookups') ?? 0) + this.lookups);
    details.set('Learned Hits', Number(details.get('Learned Hits') ?? 0) + this.hits);
    this.lookups = this.hits = 0;
  }
}

/** EXPLAIN's line; null for other indexes. */
export function describeLearned(index: Index, context: EvalContext): string | null {
  if (!isLearned(index)) return null;
  const error = `error <= ${epsilonOf(index)}`;
  const generation = learnedStore(context.storage, context.runtime.clock).peek(index.storage);
  if (!generation) return `${error}, not in memory`;
  const { pieces, levels } = generation.entries;
  return `${error}, ${pieces} ${pieces === 1 ? 'piece' : 'pieces'}, levels ${levels}`;
}
