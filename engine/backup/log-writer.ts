/**
 * Writes a lineage's log into a target, piece after piece, under fencing: whoever begins claims the
 * next epoch; whoever finds a higher epoch than its own stops for good. Between that look and the
 * write the older one may still store a piece: readers prefer, at every position, the piece of the
 * highest epoch whose batches continue the chain (log-chain.ts).
 */
import { DatabaseError } from '../errors.js';
import type { Lsn } from '../ids.js';
import { batchHash, readBatchHeader } from '../log/batch.js';
import { lineageName, logPrefix, ownerName, ownerPrefix, parseOwner, parsePiece, pieceName } from './layout.js';
import type { Lineage } from './lineage.js';
import { sealSync, unseal } from './sealed.js';
import type { Sealing } from './sealed.js';
import type { Target } from './target.js';

export class Fenced extends DatabaseError {
  constructor(message: string) {
    super('55000', message);
  }
}

export class LogWriter {
  private epoch = 0;
  /** End of what the target has of this lineage; 0: nothing. */
  end = 0 as Lsn;
  /** Hash of the last batch there. */
  private endHash: Uint8Array | undefined;

  constructor(private readonly target: Target, private readonly lineage: Lineage, private readonly sealing: Sealing, private readonly who: string) {}

  /** Registers the lineage, claims an epoch and finds where to go on. */
  async begin(): Promise<void> {
    const { target, lineage, sealing } = this;
    const name = lineageName(lineage.id);
    await target.putIfAbsent(name, sealSync(name, Buffer.from(JSON.stringify(lineage)), { random: sealing.random, key: undefined }));
    for (;;) {
      const objects = await target.list(logPrefix(lineage.id));
      let epoch = 1;
      for (const object of objects) epoch = Math.max(epoch, (parseOwner(object.name) ?? 0) + 1);
      const owner = ownerName(lineage.id, epoch);
      const claim = sealSync(owner, Buffer.from(this.who), { random: sealing.random, key: undefined });
      if ((await target.putIfAbsent(owner, claim)) === 'exists') continue;
      this.epoch = epoch;
      break;
    }
    const pieces = (await target.list(logPrefix(lineage.id))).map(({ name: piece, bytes }) => parsePiece(piece, bytes)).filter((piece) => piece !== undefined);
    pieces.sort((a, b) => a.to - b.to || a.epoch - b.epoch);
    const last = pieces.at(-1);
    if (!last) return;
    const object = await target.get(last.name);
    if (!object) return;
    const raw = await unseal(last.name, object, sealing.key);
    this.end = last.to;
    for (let at = 0; at < raw.length; ) {
      const header = readBatchHeader(raw, at)!;
      if (at + header.byteLength === raw.length) this.endHash = batchHash(raw.subarray(at));
      at += header.byteLength;
    }
  }

  /** Raises Fenced when another archiver has begun on this lineage since. */
  async checkOwner(): Promise<void> {
    for (const { name } of await this.target.list(ownerPrefix(this.lineage.id))) {
      const epoch = parseOwner(name);
      if (epoch !== undefined && epoch > this.epoch) throw new Fenced(`another server archives lineage ${this.lineage.id} (epoch ${epoch}, ours is ${this.epoch})`);
    }
  }

  /** Stores whole batches that continue what is there (or leave a gap). Returns the bytes stored. */
  async write(from: Lsn, to: Lsn, batches: Uint8Array): Promise<number> {
    if (from === this.end && this.endHash) {
      const first = readBatchHeader(batches, 0);
      if (first && Buffer.compare(first.previousHash, this.endHash) !== 0)
        throw new Fenced(`the archive of lineage ${this.lineage.id} has another history before ${from}`);
    } else if (from < this.end) throw new Fenced(`the archive of lineage ${this.lineage.id} goes to ${this.end}, beyond this server's ${from}`);
    await this.checkOwner();
    const name = pieceName(this.lineage.id, from, to, this.epoch);
    const object = sealSync(name, batches, this.sealing);
    if ((await this.target.putIfAbsent(name, object)) === 'exists') {
      // Ours from before a failure whose outcome was not known, or somebody's: only equal bytes will do.
      const there = await this.target.get(name);
      const raw = there && (await unseal(name, there, this.sealing.key));
      if (!raw || Buffer.compare(raw, batches) !== 0) throw new Fenced(`object "${name}" was written by another server`);
    }
    this.end = to;
    this.endHash = lastHash(batches);
    return object.length;
  }
}

function lastHash(batches: Uint8Array): Uint8Array | undefined {
  let hash: Uint8Array | undefined;
  for (let at = 0; at < batches.length; ) {
    const header = readBatchHeader(batches, at);
    if (!header) break;
    if (at + header.byteLength === batches.length) hash = batchHash(batches.subarray(at));
    at += header.byteLength;
  }
  return hash;
}
