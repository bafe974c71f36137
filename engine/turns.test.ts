import { expect, test } from 'vitest';
import { endOfTurn, sliceMs, turn } from './turns.js';

test('one who waits goes on per turn of the event loop, and answers leave before', async () => {
  const happened: string[] = [];
  const loop = async (name: string): Promise<void> => {
    for (let i = 0; i < 3; i++) {
      await turn();
      happened.push(name);
    }
  };
  let turns = 0;
  let open = true;
  const count = (): void => {
    turns++;
    happened.push('|');
    if (open) setImmediate(count);
  };
  setImmediate(count);
  const both = Promise.all([loop('a'), loop('b')]);
  endOfTurn(() => happened.push('answer'));
  await both;
  open = false;
  expect(happened.join(' ').replace(/^\| /, '')).toMatch(/^answer a \| b \| a \| b \| a \| b/);
  expect(turns).toBeGreaterThanOrEqual(6);
});

test('slices are short for a while after somebody was answered', async () => {
  endOfTurn(() => undefined);
  const short = sliceMs();
  for (let i = 0; i < 1000; i++) await turn();
  expect(short).toBeLessThan(sliceMs());
});
