/**
 * What all sessions of one server share: the engine's storage, the catalogs, the directory of
 * backends. One per process.
 */
import type { Runtime } from '../../engine/runtime.js';
import type { Storage } from '../../engine/storage.js';
import { setQuotedKeywords } from '../analyzer/names.js';
import { factList } from '../catalog/born-rows.js';
import { CatalogStore } from '../catalog/catalog-store.js';
import { dropLeftoverTemporarySchemas } from '../catalog/temporary-objects.js';
import { useFunctions } from '../executor/function-lookup.js';
import { implementationOf } from '../functions/index.js';
import { LongTextParser } from '../parser/parse-long.js';
import { loadParser } from '../parser/parse.js';
import { deriveDataType } from '../types/index.js';
import { Backends } from './backends.js';
import { DamagedRelations } from './damage.js';
import { NotificationHub } from './notifications.js';

/** Counters that the server exports as metrics; the session increments them. */
export interface SessionMetrics {
  statement(kind: string, outcome: 'ok' | 'error', durationMs: number): void;
  transaction(outcome: 'commit' | 'rollback'): void;
  rows(count: number): void;
  planCache(hit: boolean): void;
}

const NO_METRICS: SessionMetrics = { statement() {}, transaction() {}, rows() {}, planCache() {} };

export class Cluster {
  readonly backends: Backends;
  readonly notifications: NotificationHub;
  readonly damaged = new DamagedRelations();
  metrics: SessionMetrics = NO_METRICS;
  /** Parses statements of megabytes. */
  readonly longTexts: LongTextParser;

  private constructor(
    readonly runtime: Runtime,
    readonly storage: Storage,
    readonly catalogs: CatalogStore,
    /** Settings given on the command line: defaults of every session. */
    readonly serverSettings: ReadonlyMap<string, string>,
  ) {
    this.backends = new Backends(runtime.clock.nowMicros());
    this.notifications = new NotificationHub(storage);
    this.longTexts = new LongTextParser(runtime);
  }

  static async open(runtime: Runtime, storage: Storage, serverSettings: ReadonlyMap<string, string> = new Map()): Promise<Cluster> {
    await loadParser();
    useFunctions(implementationOf);
    const keywords = factList('keywords');
    const word = keywords.columns.indexOf('word');
    const category = keywords.columns.indexOf('catcode');
    setQuotedKeywords(keywords.rows.filter((row) => row[category] !== 'U').map((row) => row[word] as string));
    const catalogs = await CatalogStore.open(storage, deriveDataType);
    await dropLeftoverTemporarySchemas(catalogs);
    return new Cluster(runtime, storage, catalogs, serverSettings);
  }
}
