/**
 * The archived log as one stream again: the pieces of a lineage in order, its ancestors before the
 * point where it branched off. Every piece is checked against its seal, every batch against its CRC
 * and against the hash of the batch before it; so what is missing or damaged is found and named.
 */
import { DatabaseError } from '../errors.js';
import type { Lsn } from '../ids.js';
import { batchHash, readBatchHeader } from '../log/batch.js';
import { formatLsn, lineageName, logPrefix, parsePiece } from './layout.js';
import type { LogPiece } from './layout.js';
import { parseLineage } from './lineage.js';
import type { Lineage } from './lineage.js';
import { DamagedObject, unseal } from './sealed.js';
import type { Target } from './target.js';

/** Part of a lineage's log that counts: its own from where it begins, a parent's up to the branch. */
interface Stretch {
  readonly lineage: string;
  readonly until: number;
  readonly pieces: readonly LogPiece[];
}

export interface ChainBatch {
  readonly batch: Uint8Array;
  readonly firstLsn: Lsn;
  /** Records at or beyond this LSN are not part of the history. */
  readonly until: number;
}

/** Where the log ends that can be followed, and why. */
export interface ChainEnd {
  readonly lsn: Lsn;
  /** Undefined: there simply is no more. */
  readonly problem: DatabaseError | undefined;
}

export async function listLineages(target: Target): Promise<Lineage[]> {
  const names = new Set<string>();
  for (const { name } of await target.list('log/')) {
    const id = /^log\/([0-9a-f]{16})\//.exec(name)?.[1];
    if (id) names.add(id);
  }
  const out: Lineage[] = [];
  for (const id of names) {
    const name = lineageName(id);
    const object = await target.get(name);
    if (!object) continue;
    out.push(parseLineage(Buffer.from(await unseal(name, object, undefined)).toString('utf8'), `object "${name}"`));
  }
  return out.sort((a, b) => a.createdMicros - b.createdMicros);
}

export class LogChain {
  private constructor(private readonly target: Target, private readonly key: Uint8Array | undefined, private readonly stretches: readonly Stretch[]) {}

  /** The history that ends in `lineage`. */
  static async open(target: Target, lineages: readonly Lineage[], lineage: string, key: Uint8Array | undefined): Promise<LogChain> {
    const stretches: Stretch[] = [];
    let until = Infinity;
    for (let id: string | undefined = lineage; id !== undefined; ) {
      const pieces: LogPiece[] = [];
      for (const { name, bytes } of await target.list(logPrefix(id))) {
        const piece = parsePiece(name, bytes);
        if (piece) pieces.push(piece);
      }
      pieces.sort((a, b) => a.from - b.from || b.epoch - a.epoch);
      stretches.unshift({ lineage: id, until, pieces });
      const known = lineages.find((candidate) => candidate.id === id);
      until = known?.parent ? known.parent.lsn : 0;
      id = known?.parent?.id;
    }
    return new LogChain(target, key, stretches);
  }

  /** Whether the state of `lineage` at `lsn` is part of this history. */
  holds(lineage: string, lsn: Lsn): boolean {
    return this.stretches.some((stretch) => stretch.lineage === lineage && lsn < stretch.until);
  }

  /** The lineage whose log a history that ends before `lsn` ends in. */
  lineageAt(lsn: Lsn): string | undefined {
    return this.stretches.find((stretch) => lsn <= stretch.until)?.lineage;
  }

  /** Every piece of the history. */
  pieces(): LogPiece[] {
    return this.stretches.flatMap((stretch) => stretch.pieces.filter((piece) => piece.from < stretch.until));
  }

  /** LSN after the newest piece, whether or not the way there is whole. */
  get newest(): Lsn {
    return Math.max(0, ...this.pieces().map((piece) => piece.to)) as Lsn;
  }

  /**
   * Batches from the one that begins at or holds `from`, as far as the chain is whole. `onEnd` is
   * told why it ended there.
   */
  async *read(from: Lsn, onEnd: (end: ChainEnd) => void = () => undefined): AsyncGenerator<ChainBatch> {
    let position: number = from;
    let begun = false;
    let hash: Uint8Array | undefined;
    for (const { pieces, until } of this.stretches) {
      if (position >= until) continue;
      // A branch's first batch does not name the hash of a batch that was cut.
      hash = undefined;
      const bad = new Map<string, DatabaseError>();
      while (position < until) {
        const piece = choose(pieces, position, bad);
        if (!piece) {
          const problem = this.explain(pieces, position, bad);
          if (until !== Infinity || problem) return onEnd({ lsn: position as Lsn, problem: problem ?? missing(position, until) });
          break;
        }
        let raw: Uint8Array;
        try {
          const object = await this.target.get(piece.name);
          if (!object) throw new DamagedObject(piece.name, 'it is gone');
          raw = await unseal(piece.name, object, this.key);
          checkPiece(piece, raw, position, begun ? hash : undefined);
        } catch (error) {
          if (!(error instanceof DamagedObject)) throw error;
          bad.set(piece.name, error);
          continue;
        }
        for (let at = 0; at < raw.length; ) {
          const header = readBatchHeader(raw, at)!;
          const batch = raw.subarray(at, at + header.byteLength);
          const end = header.firstLsn + header.byteLength;
          at += header.byteLength;
          hash = batchHash(batch);
          if (end <= position) continue;
          if (header.firstLsn >= until) break;
          begun = true;
          position = end;
          yield { batch, firstLsn: header.firstLsn, until };
        }
        if (position >= until) position = until;
      }
    }
    onEnd({ lsn: position as Lsn, problem: undefined });
  }

  private explain(pieces: readonly LogPiece[], position: number, bad: ReadonlyMap<string, DatabaseError>): DatabaseError | undefined {
    for (const piece of pieces) if (piece.from <= position && piece.to > position && bad.has(piece.name)) return bad.get(piece.name);
    const next = pieces.find((piece) => piece.from > position);
    return next && missing(position, next.from);
  }
}

function missing(from: number, to: number): DatabaseError {
  return new DatabaseError('XX001', `the archived log has a gap from ${formatLsn(from)} to ${formatLsn(to)}`);
}

/** The piece to go on with at `position`: of those that hold it the one of the highest epoch, then the longest. */
function choose(pieces: readonly LogPiece[], position: number, bad: ReadonlyMap<string, DatabaseError>): LogPiece | undefined {
  let best: LogPiece | undefined;
  for (const piece of pieces) {
    if (piece.from > position) break;
    if (piece.to <= position || bad.has(piece.name)) continue;
    if (!best || piece.epoch > best.epoch || (piece.epoch === best.epoch && piece.to > best.to)) best = piece;
  }
  return best;
}

function checkPiece(piece: LogPiece, raw: Uint8Array, position: number, previous: Uint8Array | undefined): void {
  let lsn: number = piece.from;
  let hash: Uint8Array | undefined;
  for (let at = 0; at < raw.length; ) {
    const header = readBatchHeader(raw, at);
    if (!header) throw new DamagedObject(piece.name, `the batch at ${formatLsn(lsn)} is not valid`);
    if (header.firstLsn !== lsn) throw new DamagedObject(piece.name, `it has a batch of ${formatLsn(header.firstLsn)} where ${formatLsn(lsn)} belongs`);
    const expected = hash ?? (lsn === position ? previous : undefined);
    if (expected && Buffer.compare(header.previousHash, expected) !== 0) throw new DamagedObject(piece.name, `the batch at ${formatLsn(lsn)} does not continue the one before`);
    hash = batchHash(raw.subarray(at, at + header.byteLength));
    at += header.byteLength;
    lsn += header.byteLength;
  }
  if (lsn !== piece.to) throw new DamagedObject(piece.name, `it ends at ${formatLsn(lsn)}`);
}
