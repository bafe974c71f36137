import { expect, test } from 'vitest';
import type { PackedColumn } from './build-protocol.js';
import { unpackDictionary } from './dictionary.js';
import { ColumnBuilder, packColumn } from './segment.js';
import { decodeColumn, encodeColumn } from './segment-file.js';
import type { DeclaredClass } from './column-class.js';
import { Numeric } from '../types/numeric.js';
import type { Datum } from '../types/datum.js';
import { decodeManifest, encodeManifest } from './manifest.js';

const identity = { storage: 70001, block: 3, lsn: 123456789, attnum: 2 };

function column(of: DeclaredClass, values: readonly Datum[]): PackedColumn {
  const builder = new ColumnBuilder(of, values.length);
  values.forEach((value, i) => builder.set(i, value));
  return packColumn(identity.attnum, builder.finish(values.length, true));
}

const COLUMNS: Readonly<Record<string, PackedColumn>> = {
  bytes: column({ kind: 'int', wide: false }, [1, 2, null, 255]),
  dates: column({ kind: 'int', wide: false }, [-2900, 10, null]),
  integers: column({ kind: 'int', wide: false }, [-2147483648, 2147483647]),
  wide: column({ kind: 'int', wide: true }, [1e12, null, -5]),
  big: column({ kind: 'int', wide: true }, [9223372036854775807n, 1, null]),
  floats: column({ kind: 'float' }, [NaN, -0, Infinity, 0.1]),
  decimals: column({ kind: 'decimal', scale: 2 }, [Numeric.of(1234567, 2), null]),
  booleans: column({ kind: 'bool' }, [true, false, null]),
  texts: column({ kind: 'text' }, ['a', null, 'é😀', 'a', '']),
  many: column({ kind: 'text' }, Array.from({ length: 5000 }, (_, i) => `text ${i} é`)),
  nothing: column({ kind: 'text' }, [null, null]),
};

for (const [name, packed] of Object.entries(COLUMNS)) {
  test(`a file gives back ${name}`, () => {
    const found = decodeColumn(identity, encodeColumn(identity, packed))!;
    const { dictionary, ...rest } = packed;
    const { dictionary: other, ...others } = found;
    expect(others).toEqual(rest);
    const texts = (of: typeof dictionary): string[] => {
      const unpacked = of && unpackDictionary(of);
      return unpacked ? Array.from({ length: unpacked.length }, (_, code) => unpacked.get(code)) : [];
    };
    expect(texts(other)).toEqual(texts(dictionary));
    expect(found.data.buffer).toBeInstanceOf(SharedArrayBuffer);
  });
}

test('a file that is damaged anywhere, cut, or of something else is refused', () => {
  const file = encodeColumn(identity, COLUMNS.texts!);
  for (let at = 0; at < file.length; at++) {
    const damaged = file.slice();
    damaged[at]! ^= 1 << at % 8;
    expect(decodeColumn(identity, damaged), `byte ${at}`).toBeUndefined();
  }
  for (let length = 0; length < file.length; length += 7) expect(decodeColumn(identity, file.slice(0, length))).toBeUndefined();
  for (const other of [{ storage: 70002 }, { block: 2 }, { lsn: 1 }, { attnum: 3 }]) expect(decodeColumn({ ...identity, ...other }, file)).toBeUndefined();
});

test('a list that is damaged is refused', () => {
  const manifest = { lsn: 77, relations: [{ storage: 70001, relation: 16384, database: 5, blocks: 1, lookedAt: 1, segments: [{ block: 0, lsn: 70, slots: 100, runs: [2, 1, 0, 99, 2, 65436], columns: [[1, 500]] as const }] }] };
  const bytes = encodeManifest(manifest);
  expect(decodeManifest(bytes)).toEqual(manifest);
  for (let at = 0; at < bytes.length; at++) {
    const damaged = bytes.slice();
    damaged[at]! ^= 1 << at % 7;
    expect(decodeManifest(damaged), `byte ${at}`).toBeUndefined();
  }
});
