import { expect, it } from 'vitest';
import { seededRandom } from '../../test/crash/simulated-runtime.js';
import { sortSteps } from './sliced-sort.js';

const seed = Number(process.env.OXBOW_SEED ?? Math.floor(Math.random() * 1e9));

it(`sorts as a sort in one piece does, equal ones in their order (OXBOW_SEED=${seed})`, () => {
  const random = seededRandom(seed);
  for (const count of [0, 1, 2, 255, 256, 257, 512, 1000, 5000, 70_000]) {
    for (const different of [1, 3, 1000, 1e9]) {
      const shape = Math.floor(random() * 3);
      const keys = Array.from({ length: count }, (_, i) => (shape === 0 ? i : shape === 1 ? -i : Math.floor(random() * different)));
      const compare = (a: number, b: number): number => keys[a]! - keys[b]!;
      const steps = sortSteps(count, compare);
      let step = steps.next();
      let taken = 0;
      for (; !step.done; step = steps.next()) taken++;
      expect(Array.from(step.value)).toEqual(Array.from(keys.keys()).sort(compare));
      if (count > 1000) expect(taken).toBeGreaterThan(count / 4096);
    }
  }
});
