import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { writeUint48 } from '../keycode.js';
import type { Lsn, RowId, StorageId, Xid } from '../ids.js';
import type { KeyValueStore } from '../kv/key-value-store.js';
import { LmdbKeyValueStore } from '../kv/lmdb.js';
import { MemoryKeyValueStore } from '../kv/memory.js';
import { Flag, heapKey, historyKey, markDeath, verifyEntry, verifyRow, writeEntryValue, writeRowValue } from '../mvcc/row-format.js';
import { readEntries } from './entries.js';
import { SCAN_START, StateScan } from './state-scan.js';
import type { ScanCursor } from './state-scan.js';

const seed = Number(process.env.OXBOW_SEED ?? 99);
const STORAGE = 7 as StorageId;
const INDEX = 8 as StorageId;
const DROPPED = 9 as StorageId;
const S = 1000 as Lsn;
const COMMITTED = 50 as Xid;
const OPEN = 51 as Xid;

const directory = mkdtempSync(join(tmpdir(), 'oxbow-state-scan-'));
afterAll(() => rmSync(directory, { recursive: true, force: true }));
const STORES: readonly (readonly [string, () => KeyValueStore])[] = [['scans', () => new MemoryKeyValueStore()], ['pages', () => new LmdbKeyValueStore({ path: join(directory, 'state.mdb') })]];

function u48(...numbers: number[]): Uint8Array {
  const out = new Uint8Array(6 * numbers.length);
  numbers.forEach((number, i) => writeUint48(out, i * 6, number));
  return out;
}

describe(`the state at an LSN (seed ${seed})`, () => {
  it.each(STORES)('comes out alike in parts of any size, with what died since, by %s', (_, make) => {
    let state = seed;
    const below = (n: number): number => {
      state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
      return Math.floor((state / 2 ** 32) * n);
    };
    const kv = make();
    /** What the scan must give: key -> stamp and last byte. */
    const expected = new Map<string, string>();
    const row = (key: Uint8Array, flags: number, stamp: number, xid: number, tag: number): Uint8Array => {
      const out = new Uint8Array(300);
      const length = writeRowValue(out, flags, stamp as Lsn, xid as Xid, new Uint8Array(1 + below(120)).fill(tag), key);
      return out.slice(0, length);
    };
    const entry = (key: Uint8Array, flags: number, birth: number, tag: number, stage = 0): Uint8Array => {
      const out = new Uint8Array(100);
      const length = writeEntryValue(out, flags, birth, new Uint8Array(1 + below(9)).fill(tag), key, stage);
      return out.slice(0, length);
    };
    kv.write((writer) => {
      writer.put('meta', Uint8Array.of(0x78, ...u48(COMMITTED)), u48(400));
      for (let id = 1; id < 600; id++) {
        const key = heapKey(new Uint8Array(12), below(10) === 0 ? DROPPED : STORAGE, id as RowId);
        const dropped = key[5] === DROPPED;
        const old = historyKey(new Uint8Array(18), 2000 as Lsn, key[5]!, id);
        const name = Buffer.from(key).toString('hex');
        const tag = id & 0xff;
        const say = (stamp: number): void => void (!dropped && expected.set(`heap ${name}`, `${stamp} ${tag}`));
        switch (below(6)) {
          case 0:
            writer.put('heap', key, row(key, 0, 300, 20, tag));
            say(300);
            break;
          case 1:
            writer.put('heap', key, row(key, Flag.hasPrevious, 900, 20, tag));
            say(900);
            break;
          case 2:
            writer.put('heap', key, row(key, Flag.provisional, 350, COMMITTED, tag));
            say(400);
            break;
          case 3:
            writer.put('heap', key, row(key, Flag.provisional, 350, OPEN, tag));
            break;
          case 4:
            writer.put('heap', key, row(key, Flag.hasPrevious, 2000, 20, 1));
            writer.put('history', old, row(key, 0, 200, 20, tag));
            say(200);
            break;
          default: {
            const dead = row(key, 0, 250, 20, tag);
            markDeath(dead);
            writer.put('history', old, dead);
            writer.put('deleted', key, u48(2000, 20));
            say(250);
          }
        }
        const inIndex = new Uint8Array(6 + 2 + 6);
        inIndex.set(u48(INDEX));
        inIndex.set([below(4), below(200)], 6);
        writeUint48(inIndex, 8, id);
        const there = `index ${Buffer.from(inIndex).toString('hex')}`;
        const grave = (death: number): Uint8Array => Uint8Array.from([...inIndex, ...u48(death)]);
        switch (below(5)) {
          case 0:
            writer.put('index', inIndex, entry(inIndex, 0, 300, tag));
            expected.set(there, `300 ${tag}`);
            break;
          case 1:
            writer.put('index', inIndex, entry(inIndex, Flag.provisional, COMMITTED, tag, 350));
            expected.set(there, `400 ${tag}`);
            break;
          case 2:
            writer.put('index', inIndex, entry(inIndex, Flag.provisional, OPEN, tag, 350));
            break;
          case 3:
            // Dead twice, of which one counts, and there again.
            writer.put('dead', grave(900), entry(inIndex, 0, 100, 1));
            writer.put('dead', grave(2000), entry(inIndex, 0, 950, tag));
            writer.put('index', inIndex, entry(inIndex, 0, 3000, 2));
            expected.set(there, `950 ${tag}`);
            break;
          default:
            writer.put('dead', grave(2000), entry(inIndex, 0, 950, tag));
            expected.set(there, `950 ${tag}`);
        }
      }
    });
    const whole = all(kv, 16 << 20);
    const found = new Map<string, string>();
    let last = '';
    readEntries(whole, 0, (space, key, value) => {
      const name = `${space} ${Buffer.from(key).toString('hex')}`;
      expect(name > last).toBe(true);
      last = name;
      (space === 'heap' ? verifyRow : verifyEntry)(value!, key);
      expect(value![0]).toBe(0);
      found.set(name, `${Buffer.from(value!).readUIntBE(1, 6)} ${value!.at(-1)!}`);
    });
    expect(found).toEqual(expected);
    for (const bytes of [1, 100, 1000, 10_000]) expect(Buffer.compare(all(kv, bytes), whole)).toBe(0);
    kv.close();
  });
});

function all(kv: KeyValueStore, maxBytes: number): Buffer {
  const scan = new StateScan(kv, S, new Set([DROPPED]));
  const parts: Uint8Array[] = [];
  for (let at: ScanCursor | undefined = SCAN_START; at; ) {
    const part = scan.read(at, maxBytes);
    parts.push(part.bytes);
    at = part.next;
  }
  return Buffer.concat(parts);
}
