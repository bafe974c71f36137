/** What backups and the archive ask of a running engine: holds on the log and the horizon, marks, restore points. */
import { DatabaseError } from '../errors.js';
import type { Lsn, Xid } from '../ids.js';
import { RecordKind } from '../log/batch.js';
import type { Hold, Maintenance } from '../storage.js';
import type { ApplierDriver } from './applier-driver.js';
import type { Engine } from './engine.js';

/** Prefix of the message that is a restore point; its content is the name. */
export const RESTORE_POINT = 'oxbow.restore_point';

export class Holds {
  private readonly held = new Set<Hold>();

  add(lsn: Lsn): Hold {
    const hold: Hold = { lsn, release: () => void this.held.delete(hold) };
    this.held.add(hold);
    return hold;
  }

  /** Infinity when nobody holds anything. */
  get oldest(): number {
    let oldest = Infinity;
    for (const hold of this.held) if (hold.lsn < oldest) oldest = hold.lsn;
    return oldest;
  }
}

export function engineMaintenance(engine: Engine, applier: ApplierDriver, durableCell: SharedArrayBuffer): Maintenance {
  return {
    directory: engine.options.directory,
    durableCell,
    refuseCommits: undefined,
    readLog: (from) => engine.readLog(from),
    holdLog: (lsn) => engine.logHolds.add(lsn),
    pinHorizon: (lsn = engine.visibleLsn) => engine.pins.add(lsn),
    async mark() {
      await engine.log.drain();
      return applier.mark();
    },
    async createRestorePoint(name) {
      if (Buffer.byteLength(name) > 63) throw new DatabaseError('22023', 'value too long for restore point (maximum 63 characters)');
      const builder = engine.log.open();
      const lsn = builder.beginRecord(RecordKind.system, 0, 0 as Xid);
      builder.time(engine.committer.nextCommitMicros());
      builder.message(RESTORE_POINT, Buffer.from(name, 'utf8'));
      builder.endRecord();
      engine.log.wrote(lsn);
      await engine.log.whenDurable(lsn);
      return lsn;
    },
  };
}
