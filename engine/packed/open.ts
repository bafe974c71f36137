/** Opens the state's file: LMDB, and over it what keeps index entries in blocks. Whoever reads or writes a state does it through this. */
import { LmdbKeyValueStore } from '../kv/lmdb.js';
import type { LmdbOptions } from '../kv/lmdb.js';
import { PackedKeyValueStore } from './store.js';

export function openStateFile(options: LmdbOptions): PackedKeyValueStore {
  return new PackedKeyValueStore(new LmdbKeyValueStore(options));
}
