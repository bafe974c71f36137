import { describe, expect, it } from 'vitest';
import { RingReader, RingWriter, createRing } from './ring.js';

describe('the ring', () => {
  it('hands over every batch once, in order, across its end and when full', () => {
    const memory = createRing(1000);
    const writer = new RingWriter(memory);
    const reader = new RingReader(memory);
    const sent: number[] = [];
    const got: number[] = [];
    let seed = 5;
    const next = (n: number): number => (seed = (seed * 1103515245 + 12345) & 0x7fffffff) % n;
    let refused = 0;
    for (let i = 0; i < 20_000; i++) {
      if (next(2) === 0) {
        const batch = new Uint8Array(1 + next(300)).fill(i & 0xff);
        if (writer.write(batch)) sent.push(batch.length * 256 + (i & 0xff));
        else refused++;
      } else {
        const batch = reader.read();
        if (batch) got.push(batch.length * 256 + batch[0]!);
        expect(batch?.every((byte) => byte === batch[0])).not.toBe(false);
      }
    }
    for (let batch = reader.read(); batch; batch = reader.read()) got.push(batch.length * 256 + batch[0]!);
    expect(got).toEqual(sent);
    expect(refused).toBeGreaterThan(10);
  });

  it('wakes a waiting reader', async () => {
    const memory = createRing(1000);
    const reader = new RingReader(memory);
    const waiting = reader.wait(10_000);
    const writer = new RingWriter(memory);
    writer.write(Uint8Array.of(1));
    writer.wake();
    await waiting;
    expect(reader.read()).toEqual(Uint8Array.of(1));
  });

  it('lets a reader sleep beside a trickle until it is woken, but not on what it has seen', async () => {
    const memory = createRing(1000);
    const reader = new RingReader(memory);
    const writer = new RingWriter(memory);
    let woken = 0;
    const wait = async (): Promise<void> => {
      await reader.wait(10_000);
      woken++;
    };
    writer.write(Uint8Array.of(1));
    writer.write(Uint8Array.of(2));
    writer.wake();
    reader.look();
    reader.read();
    await wait();
    reader.read();
    const waiting = wait();
    writer.write(Uint8Array.of(3));
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(woken).toBe(1);
    writer.wake();
    await waiting;
    // Woken between the look and the wait.
    reader.look();
    expect(reader.read()).toEqual(Uint8Array.of(3));
    writer.wake();
    await wait();
    expect(woken).toBe(3);
  });
});
