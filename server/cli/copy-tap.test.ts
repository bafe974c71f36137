import { EventEmitter } from 'node:events';
import type { Socket } from 'node:net';
import { describe, expect, it } from 'vitest';
import { CopyTap } from './copy-tap.js';

const seed = Number(process.env.OXBOW_SEED ?? 12);

function message(code: string, body: Uint8Array): Buffer {
  const head = Buffer.alloc(5);
  head.write(code, 0, 'latin1');
  head.writeUInt32BE(body.length + 4, 1);
  return Buffer.concat([head, body]);
}

describe(`the tap on COPY data (seed ${seed})`, () => {
  it('takes the data and passes everything else on, however the bytes are cut', () => {
    let state = seed;
    const below = (n: number): number => {
      state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
      return Math.floor((state / 2 ** 32) * n);
    };
    for (let round = 0; round < 300; round++) {
      const stream = new EventEmitter();
      const passed: Buffer[] = [];
      stream.on('data', (bytes: Buffer) => passed.push(Buffer.from(bytes)));
      const tap = new CopyTap(stream as unknown as Socket);
      const messages = Array.from({ length: 1 + below(12) }, () => {
        const body = Buffer.alloc(below(3) === 0 ? 0 : below(40), below(256));
        return { copy: below(2) === 0, body };
      });
      const bytes = Buffer.concat(messages.map(({ copy, body }) => message(copy ? 'd' : 'HcCZD'[below(5)]!, body)));
      const others: Buffer[] = [];
      for (let at = 0; at < bytes.length; ) {
        const length = 5 + bytes.readUInt32BE(at + 1) - 4;
        if (bytes[at] !== 0x64) others.push(bytes.subarray(at, at + length));
        at += length;
      }
      const most = 1 + below(30);
      for (let at = 0; at < bytes.length; ) {
        const end = Math.min(bytes.length, at + 1 + below(most));
        stream.emit('data', bytes.subarray(at, end));
        at = end;
      }
      expect(Buffer.concat(tap.take()).equals(Buffer.concat(messages.filter(({ copy }) => copy).map(({ body }) => body)))).toBe(true);
      expect(Buffer.concat(passed).equals(Buffer.concat(others))).toBe(true);
      expect(tap.take()).toEqual([]);
    }
  });
});
