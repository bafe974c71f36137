/**
 * COPY's binary format.
 *
 *   "PGCOPY\n\377\r\n\0"  flags:int32  extension length:int32  extension
 *   tuples: fields:int16 { length:int32 (-1 NULL)  bytes } ...
 *   trailer: -1:int16
 */
import { DatabaseError } from '../../engine/errors.js';

const SIGNATURE = Buffer.from('PGCOPY\n\xff\r\n\0', 'latin1');
/** Bit 16 once meant OIDs in the data. */
const CRITICAL_FLAGS = 0xffff0000;

export function binaryHeader(): Buffer {
  return Buffer.concat([SIGNATURE, Buffer.alloc(8)]);
}

export function binaryTrailer(): Buffer {
  return Buffer.from([0xff, 0xff]);
}

export function binaryTuple(fields: readonly (Uint8Array | null)[]): Buffer {
  const size = fields.reduce((sum, field) => sum + 4 + (field?.length ?? 0), 2);
  const out = Buffer.allocUnsafe(size);
  let at = out.writeInt16BE(fields.length, 0);
  for (const field of fields) {
    at = out.writeInt32BE(field ? field.length : -1, at);
    if (field) {
      out.set(field, at);
      at += field.length;
    }
  }
  return out;
}

/** Cuts chunks into tuples. */
export class BinaryParser {
  #rest: Buffer = Buffer.alloc(0);
  /** Chunks of a long tuple that is known not to be whole before `#needed` bytes are there. */
  #more: Uint8Array[] = [];
  #moreBytes = 0;
  #needed = 0;
  #headerDone = false;
  #ended = false;

  push(chunk: Uint8Array): (Buffer | null)[][] {
    const out: (Buffer | null)[][] = [];
    this.#more.push(Uint8Array.from(chunk));
    this.#moreBytes += chunk.length;
    if (this.#rest.length + this.#moreBytes < this.#needed) return out;
    this.#rest = Buffer.concat([this.#rest, ...this.#more]);
    this.#more = [];
    this.#moreBytes = 0;
    this.#needed = 0;
    if (!this.#headerDone && !this.#header()) return out;
    for (;;) {
      const tuple = this.#tuple();
      if (!tuple) return out;
      out.push(tuple);
    }
  }

  finish(): void {
    if (!this.#headerDone) throw new DatabaseError('22P04', 'COPY file signature not recognized');
    if (!this.#ended) throw new DatabaseError('22P04', 'unexpected EOF in COPY data');
  }

  #header(): boolean {
    if (this.#rest.length < 19) return false;
    if (!this.#rest.subarray(0, 11).equals(SIGNATURE)) throw new DatabaseError('22P04', 'COPY file signature not recognized');
    const flags = this.#rest.readUInt32BE(11);
    if (flags & 0x10000) throw new DatabaseError('22P04', 'invalid COPY file header (WITH OIDS)');
    if ((flags & CRITICAL_FLAGS) !== 0) throw new DatabaseError('22P04', 'unrecognized critical flags in COPY file header');
    const extension = this.#rest.readInt32BE(15);
    if (extension < 0) throw new DatabaseError('22P04', 'invalid COPY file header (wrong length)');
    if (this.#rest.length < 19 + extension) return false;
    this.#rest = this.#rest.subarray(19 + extension);
    this.#headerDone = true;
    return true;
  }

  #tuple(): (Buffer | null)[] | null {
    if (this.#ended) {
      if (this.#rest.length > 0) throw new DatabaseError('22P04', 'received copy data after EOF marker');
      return null;
    }
    if (this.#rest.length < 2) return null;
    const count = this.#rest.readInt16BE(0);
    if (count === -1) {
      this.#ended = true;
      this.#rest = this.#rest.subarray(2);
      return this.#tuple();
    }
    let at = 2;
    const fields: (Buffer | null)[] = [];
    for (let i = 0; i < count; i++) {
      if (this.#rest.length < at + 4) return null;
      const length = this.#rest.readInt32BE(at);
      at += 4;
      if (length === -1) fields.push(null);
      else if (length < 0) throw new DatabaseError('22P04', 'invalid field size');
      else {
        if (this.#rest.length < at + length) {
          this.#needed = at + length;
          return null;
        }
        fields.push(this.#rest.subarray(at, at + length));
        at += length;
      }
    }
    this.#rest = this.#rest.subarray(at);
    return fields;
  }
}
