import { expect, test } from 'vitest';
import type { Clock } from '../engine/runtime.js';
import { Spinner } from './spinner.js';

/** A clock that is moved by hand. */
class HandClock implements Clock {
  ms = 1000;
  nowMicros = (): number => this.ms * 1000;
  monotonicMs = (): number => this.ms;
  turn = (): Promise<void> => Promise.resolve();
  after = (): (() => void) => () => undefined;
}

const turns = async (count: number): Promise<void> => {
  for (let i = 0; i < count; i++) await new Promise<void>((resolve) => setImmediate(resolve));
};

/** How long it spins when nothing comes, to a hundredth of a millisecond. */
async function spinMs(clock: HandClock, spinner: Spinner): Promise<number> {
  spinner.kick();
  const began = clock.ms;
  while (spinner.spinning && clock.ms - began < 5) {
    clock.ms += 0.01;
    await turns(2);
  }
  return clock.ms - began;
}

test('messages that come just too late have it spin longer, much later ones shorter again', async () => {
  const clock = new HandClock();
  const spinner = new Spinner(clock, 0.05);
  expect(await spinMs(clock, spinner)).toBeCloseTo(0.05, 1);
  // 0.12 ms after the answer
  clock.ms += 0.07;
  spinner.arrived();
  const longer = await spinMs(clock, spinner);
  expect(longer).toBeGreaterThan(0.13);
  expect(longer).toBeLessThan(0.21);
  clock.ms += 50;
  spinner.arrived();
  expect(await spinMs(clock, spinner)).toBeLessThan(0.08);
});

test('clients that are always late are not waited for', async () => {
  const clock = new HandClock();
  const spinner = new Spinner(clock, 0.05);
  let spun = 0;
  for (let i = 0; i < 60; i++) {
    spun += await spinMs(clock, spinner);
    clock.ms += 20;
    spinner.arrived();
  }
  expect(spun).toBeLessThan(60 * 0.05 * 0.6);
});

test('0: never', async () => {
  const clock = new HandClock();
  const spinner = new Spinner(clock, 0);
  spinner.kick();
  expect(spinner.spinning).toBe(false);
});
