/** Ranks by a zipfian distribution, after Gray et al., as YCSB's ZipfianGenerator; scrambled by a fixed permutation-like hash. */
import type { Random } from '../client/load.js';

const THETA = 0.99;

export class Zipfian {
  private readonly alpha = 1 / (1 - THETA);
  private readonly zetan: number;
  private readonly eta: number;

  constructor(private readonly items: number, private readonly random: Random) {
    let zetan = 0;
    for (let i = 1; i <= items; i++) zetan += 1 / i ** THETA;
    this.zetan = zetan;
    const zeta2 = 1 + 1 / 2 ** THETA;
    this.eta = (1 - (2 / items) ** (1 - THETA)) / (1 - zeta2 / zetan);
  }

  /** 0 is the most frequent. */
  next(): number {
    const u = this.random.uniform();
    const uz = u * this.zetan;
    if (uz < 1) return 0;
    if (uz < 1 + 0.5 ** THETA) return 1;
    return Math.min(this.items - 1, Math.floor(this.items * (this.eta * u - this.eta + 1) ** this.alpha));
  }

  /** Spreads the frequent ones over all items. */
  scramble(rank: number): number {
    let h = Math.imul(rank + 1, 0x9e3779b1);
    h = Math.imul(h ^ (h >>> 15), 0x85ebca6b);
    return ((h ^ (h >>> 13)) >>> 0) % this.items;
  }
}
