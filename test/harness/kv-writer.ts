/**
 * A process that writes into a store without pause, until stdin ends: random puts and deletes, small and large values. Each
 * transaction also writes what the store then holds, so that a reader can tell whether it saw exactly one state.
 *
 * Arguments: path of the file, seed.
 */
import { LmdbKeyValueStore } from '../../engine/kv/lmdb.js';
import type { Keyspace } from '../../engine/kv/key-value-store.js';
import { crc32 } from '../../engine/log/checksum.js';

const [path, seed] = [process.argv[2]!, Number(process.argv[3])];
let state = seed;
function below(n: number): number {
  state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
  return Math.floor((state / 2 ** 32) * n);
}
const kv = new LmdbKeyValueStore({ path });
const SPACES: readonly Keyspace[] = ['heap', 'index', 'deleted'];
const models = new Map(SPACES.map((space) => [space, { entries: new Map<number, number>(), sum: 0 }]));
const key = new Uint8Array(12);
const view = new DataView(key.buffer);
const filling = new Uint8Array(20_000);
filling.forEach((_, i) => (filling[i] = below(256)));

function step(): void {
  const until = Date.now() + 20;
  while (Date.now() < until)
    kv.write((writer) => {
      for (let i = below(200); i >= 0; i--) {
        const space = SPACES[below(3)]!;
        const model = models.get(space)!;
        const id = below(20_000);
        view.setUint32(8, id);
        model.sum -= model.entries.get(id) ?? 0;
        if (below(3) === 0) {
          writer.delete(space, key);
          model.entries.delete(id);
        } else {
          const at = below(4000);
          const value = filling.subarray(at, at + (below(30) === 0 ? below(16_000) : below(120)));
          writer.put(space, key, value);
          const sum = crc32(value, crc32(key));
          model.entries.set(id, sum);
          model.sum += sum;
        }
      }
      writer.put('meta', Uint8Array.of(1), Buffer.from(JSON.stringify(SPACES.map((space) => [models.get(space)!.entries.size, models.get(space)!.sum]))));
    });
  setImmediate(step);
}
step();
process.stdin.on('end', () => process.exit(0)).resume();
console.log('writing');
