/** Random values through text, binary, row and key forms. A failure prints the seed that replays it (FUZZ_SEED). */
import { describe, expect, it } from 'vitest';
import { KeyReader, KeyWriter } from '../../engine/keycode.js';
import type { EvalContext } from '../functions/context.js';
import type { DataType, KeySource } from './data-type.js';
import type { Datum } from './datum.js';
import { addInt8, subtractInt8 } from './calendar.js';
import { BORN_TYPES } from './index.js';
import { Numeric, compareNumeric } from './numeric.js';
import { encodeRowValue, decodeRowValue } from './row-value.js';

const seed = Number(process.env.FUZZ_SEED ?? 20261121);
let state = seed;
function random(): number {
  state = (state + 0x6d2b79f5) | 0;
  let t = Math.imul(state ^ (state >>> 15), 1 | state);
  t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
  return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
}
const below = (n: number): number => Math.floor(random() * n);

const context = {
  settings: { dateStyle: 'ISO', dateOrder: 'MDY', intervalStyle: 'postgres', timeZone: 'America/New_York', extraFloatDigits: 1, byteaOutput: 'hex', searchPath: [], get: () => undefined },
  transactionTimestamp: 0,
} as unknown as EvalContext;

const scratch = new DataView(new ArrayBuffer(8));
function anyFloat(): number {
  scratch.setUint32(0, below(4294967296));
  scratch.setUint32(4, below(4294967296));
  return random() < 0.3 ? below(2000) - 1000 : scratch.getFloat64(0);
}
const bigInt = (bits: number): bigint => {
  let value = 0n;
  for (let i = 0; i < bits; i += 30) value = (value << 30n) | BigInt(below(1 << 30));
  return BigInt.asIntN(bits, value);
};
const int8 = (): Datum => addInt8(0, bigInt(1 + below(64)));
const anyNumeric = (): Numeric => Numeric.fromBig(bigInt(1 + below(200)), below(40));
const timestamp = (): Datum => {
  const r = random();
  if (r < 0.02) return Infinity;
  if (r < 0.04) return -Infinity;
  return addInt8(-60000000000000000n, bigInt(r < 0.5 ? 50 : 56));
};

const generators: Readonly<Record<string, () => Datum>> = {
  int2: () => below(65536) - 32768,
  int4: () => below(4294967296) - 2147483648,
  int8,
  float8: anyFloat,
  float4: () => Math.fround(anyFloat()),
  numeric: anyNumeric,
  text: () => Array.from({ length: below(20) }, () => String.fromCodePoint(random() < 0.8 ? 32 + below(95) : [0xe9, 0x20ac, 0xffff, 0x1f600][below(4)]!)).join(''),
  bytea: () => Uint8Array.from({ length: below(30) }, () => below(256)),
  date: () => below(3000000) - 1500000,
  time: () => below(86400) * 1000000 + below(1000000),
  timestamp,
  timestamptz: timestamp,
  timetz: () => ({ micros: below(86400) * 1000000 + below(1000000), zone: below(31 * 60) * 60 - 15 * 3600 - 1800 }),
  interval: () => ({ months: below(20000) - 10000, days: below(20000) - 10000, micros: subtractInt8(0, bigInt(45)) }),
  oid: () => below(4294967296),
};

function compareKeys(a: Uint8Array, b: Uint8Array): number {
  return Buffer.compare(a, b);
}

describe(`round trips (seed ${seed})`, () => {
  for (const [name, generate] of Object.entries(generators)) {
    it(name, () => {
      const type = BORN_TYPES.get(name)! as DataType & { compare(a: unknown, b: unknown): number };
      let previous: { value: Datum; key: Uint8Array } | undefined;
      for (let i = 0; i < 400; i++) {
        const value = generate();
        const text = type.output(value, context);
        expect(type.output(type.input(text, -1, context), context), `seed ${seed} text`).toBe(text);
        expect(type.output(type.receive(type.send(value, context), -1, context), context), `seed ${seed} binary`).toBe(text);
        expect(type.output(decodeRowValue(type, encodeRowValue(type, value)), context), `seed ${seed} row`).toBe(text);
        if (!type.key) continue;
        const writer = new KeyWriter();
        type.key.encode(value as never, writer as never);
        const key = writer.copy();
        if (type.key.lossless && type.key.decode && name !== 'text') {
          expect(type.output(type.key.decode(new KeyReader(key) as unknown as KeySource), context), `seed ${seed} key`).toBe(text);
        }
        if (previous) expect(Math.sign(compareKeys(key, previous.key)), `seed ${seed}: ${text} against ${type.output(previous.value, context)}`).toBe(Math.sign(type.compare(value, previous.value)));
        previous = { value, key };
      }
    });
  }
});

describe(`numeric arithmetic (seed ${seed})`, () => {
  it('agrees with itself', () => {
    for (let i = 0; i < 500; i++) {
      const a = anyNumeric();
      const b = anyNumeric();
      expect(compareNumeric(a.add(b).subtract(b), a)).toBe(0);
      expect(a.multiply(b).toString()).toBe(b.multiply(a).toString());
      if (b.isZero) continue;
      const quotient = a.divideTruncating(b);
      expect(compareNumeric(quotient.multiply(b).add(a.mod(b)), a), `seed ${seed}: ${a.toString()} / ${b.toString()}`).toBe(0);
    }
  });
});
