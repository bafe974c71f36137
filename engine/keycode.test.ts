import { describe, expect, it } from 'vitest';
import { KeyReader, KeyWriter, LONG_KEY, compareBytes, isCutKey, prefixSuccessor, readUint48, scanBound, storedKey, writeUint48 } from './keycode.js';

/** mulberry32: a failure names the seed that replays it. */
function seeded(seed: number): () => number {
  let a = seed;
  return () => {
    a = (a + 0x6d2b79f5) | 0;
    let t = Math.imul(a ^ (a >>> 15), 1 | a);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

const sign = (n: number | bigint) => (n < 0 ? -1 : n > 0 ? 1 : 0);
const writer = new KeyWriter();

function checkOrder<T>(values: T[], encode: (value: T) => Uint8Array, compare: (a: T, b: T) => number, label: string): void {
  const keys = values.map(encode);
  for (let i = 0; i < values.length; i++)
    for (let j = 0; j < values.length; j++)
      if (sign(compareBytes(keys[i]!, keys[j]!)) !== sign(compare(values[i]!, values[j]!)))
        throw new Error(`${label}: ${String(values[i])} against ${String(values[j])}`);
}

describe('keycode', () => {
  const seed = 20261121;
  const random = seeded(seed);

  it('orders integers', () => {
    const ints = [0, 1, -1, 255, 256, -256, 2 ** 31 - 1, -(2 ** 31), ...Array.from({ length: 60 }, () => Math.floor((random() - 0.5) * 2 ** 32))];
    checkOrder(ints, (v) => writer.reset().int32(v).copy(), (a, b) => a - b, 'int32');
    const shorts = ints.map((v) => (v << 16) >> 16);
    checkOrder(shorts, (v) => writer.reset().int16(v).copy(), (a, b) => a - b, 'int16');
    for (const v of shorts) expect(new KeyReader(writer.reset().int16(v).copy()).int16()).toBe(v);
    const bigs = [0n, 1n, -1n, 2n ** 63n - 1n, -(2n ** 63n), ...ints.map((v) => BigInt(v) * 3000000001n)];
    checkOrder(bigs, (v) => writer.reset().int64(v).copy(), (a, b) => (a < b ? -1 : a > b ? 1 : 0), 'int64');
    for (const v of bigs) expect(new KeyReader(writer.reset().int64(v).copy()).int64()).toBe(v);
    for (const v of [0, -1, 1, 2 ** 52, -(2 ** 52), 123456789012, -123456789012]) {
      expect(writer.reset().int64(v).copy()).toEqual(writer.reset().int64(BigInt(v)).copy());
      expect(new KeyReader(writer.reset().int64(v).copy()).int64Number()).toBe(v);
    }
  });

  it('orders floats with NaN greatest and -0 equal to 0', () => {
    const floats = [0, -0, 1, -1, Infinity, -Infinity, NaN, 5e-324, -5e-324, 1e308, -1e308, ...Array.from({ length: 60 }, () => (random() - 0.5) * 10 ** (random() * 40 - 20))];
    const compare = (a: number, b: number) => (a !== a ? (b !== b ? 0 : 1) : b !== b ? -1 : a - b || 0);
    checkOrder(floats, (v) => writer.reset().float64(v).copy(), compare, 'float64');
    for (const v of floats) expect(new KeyReader(writer.reset().float64(v).copy()).float64()).toBe(v === 0 ? 0 : v);
  });

  it('orders byte strings, NUL included, and text by code point', () => {
    const strings = Array.from({ length: 80 }, () => Uint8Array.from({ length: Math.floor(random() * 5) }, () => [0, 1, 255, 97][Math.floor(random() * 4)]!));
    checkOrder(strings, (v) => writer.reset().bytes(v).copy(), compareBytes, 'bytes');
    for (const v of strings) expect(new KeyReader(writer.reset().bytes(v).copy()).bytes()).toEqual(v);
    const texts = ['', 'a', 'ab', 'b', '\uffff', '\u{1f600}', 'é', 'zz'];
    checkOrder(texts, (v) => writer.reset().text(v).copy(), (a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)), 'text');
  });

  it('orders rows of nullable ascending and descending columns', () => {
    type Row = { a: number | null; b: string | null };
    const rows: Row[] = Array.from({ length: 60 }, () => ({
      a: random() < 0.3 ? null : Math.floor(random() * 3),
      b: random() < 0.3 ? null : 'ab'.repeat(Math.floor(random() * 3)),
    }));
    const encode = (row: Row) => {
      writer.reset();
      if (row.a === null) writer.null(true);
      else writer.notNull().int32(row.a);
      if (row.b === null) writer.null(false);
      else {
        writer.notNull();
        const start = writer.length;
        writer.text(row.b).invertFrom(start);
      }
      return writer.copy();
    };
    const compare = (x: Row, y: Row) => {
      if (x.a !== y.a) return x.a === null ? -1 : y.a === null ? 1 : x.a - y.a;
      if (x.b !== y.b) return x.b === null ? 1 : y.b === null ? -1 : x.b < y.b ? 1 : -1;
      return 0;
    };
    checkOrder(rows, encode, compare, 'rows');
    const reader = new KeyReader(encode({ a: 7, b: 'xyz' }));
    expect(reader.isNull()).toBe(false);
    expect(reader.int32()).toBe(7);
    expect(reader.isNull()).toBe(false);
    expect(Buffer.from(reader.descending(true).bytes()).toString()).toBe('xyz');
  });

  it('cuts long keys to a prefix and a hash', () => {
    const long = writer.reset().text('x'.repeat(2000)).copy();
    const other = writer.reset().text('x'.repeat(1999) + 'y').copy();
    expect(storedKey(long).length).toBe(LONG_KEY);
    expect(isCutKey(storedKey(long))).toBe(true);
    expect(storedKey(long)).toEqual(storedKey(long.slice()));
    expect(storedKey(long)).not.toEqual(storedKey(other));
    const { bound, cut } = scanBound(long);
    expect(cut).toBe(true);
    expect(compareBytes(bound, storedKey(long))).toBeLessThan(0);
    expect(compareBytes(storedKey(long), prefixSuccessor(bound)!)).toBeLessThan(0);
    expect(isCutKey(storedKey(new Uint8Array(999)))).toBe(false);
  });

  it('finds the successor of a prefix', () => {
    expect(prefixSuccessor(Uint8Array.of(1, 255, 255))).toEqual(Uint8Array.of(2));
    expect(prefixSuccessor(Uint8Array.of(255))).toBeUndefined();
  });

  it('keeps 48-bit numbers', () => {
    const buffer = new Uint8Array(6);
    for (const v of [0, 1, 2 ** 32 - 1, 2 ** 32, 2 ** 48 - 1, 123456789012345]) {
      writeUint48(buffer, 0, v);
      expect(readUint48(buffer, 0)).toBe(v);
    }
  });
});
