/** The thread that reads the state and the log for backups and for the scrubber, beside the server's work. */
import { DatabaseError } from '../errors.js';
import { LmdbKeyValueStore } from '../kv/lmdb.js';
import { SegmentReader } from '../log/segment-reader.js';
import { nodeRuntime, workerContext } from '../runtime-node.js';
import type { FromScanner, ScanWorkerData, ToScanner } from './scan-protocol.js';
import { StateScan } from './state-scan.js';
import { walkState } from './walk.js';

const context = workerContext<ScanWorkerData, ToScanner, FromScanner>();
const kv = new LmdbKeyValueStore({ path: context.data.statePath });
const log = new SegmentReader(nodeRuntime(), context.data.logDirectory);
/** The scan of the newest snapshot asked for. */
let scan: { readonly s: number; readonly scan: StateScan } | undefined;

async function serve(message: ToScanner): Promise<FromScanner> {
  switch (message.kind) {
    case 'log':
      return { kind: 'range', id: message.id, range: log.read(message.from, message.durable, message.maxBytes) };
    case 'walk':
      return { kind: 'walked', id: message.id, findings: await walkState(kv, message, () => new Promise((resolve) => setTimeout(resolve, message.pauseMs))) };
    case 'read': {
      if (scan?.s !== message.s) scan = { s: message.s, scan: new StateScan(kv, message.s, new Set(message.dropped)) };
      return { kind: 'part', id: message.id, part: scan.scan.read(message.cursor, message.maxBytes) };
    }
  }
}

context.onMessage((message) => {
  serve(message).then(
    (answer) => context.post(answer),
    (error: unknown) => {
      const known = error instanceof DatabaseError ? error : undefined;
      context.post({ kind: 'error', id: message.id, sqlstate: known?.sqlstate ?? 'XX000', message: error instanceof Error ? error.message : String(error), detail: known?.detail });
    },
  );
});
