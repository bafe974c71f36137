/**
 * Files of operators whose rows do not fit into work_mem. They stand in temp/ of the data directory, belong to one
 * execution and go with it; what a crash leaves behind goes at the next start (engine/data-directory.ts).
 * Nothing in them survives, so nothing is synced.
 */
import { DatabaseError } from '../../../engine/errors.js';
import type { FileHandle } from '../../../engine/runtime.js';
import { TEMPORARY_FOLDER } from '../../../engine/data-directory.js';
import type { ExecState } from '../exec-state.js';
import { kilobytesOf } from './memory.js';

let filesMade = 0;

/** Whether this execution can write files at all: not where everything is in memory. */
export function canSpill(state: ExecState): boolean {
  return state.context.storage.maintenance.directory !== undefined;
}

export class TempFile {
  size = 0;
  private handle: FileHandle | null;

  private constructor(private readonly state: ExecState, private readonly path: string) {
    this.handle = state.context.runtime.files.open(path, 'create');
  }

  static create(state: ExecState): TempFile {
    const { files } = state.context.runtime;
    const directory = `${state.context.storage.maintenance.directory!}/${TEMPORARY_FOLDER}`;
    if (!files.exists(directory)) files.mkdir(directory);
    const file = new TempFile(state, `${directory}/${state.context.session.pid}.${++filesMade}`);
    state.cleanups.push(() => file.remove());
    return file;
  }

  append(bytes: Uint8Array): void {
    const limit = kilobytesOf(this.state.context.settings.get('temp_file_limit'), -1);
    const used = usedBytes(this.state, bytes.length);
    if (limit >= 0 && used > limit * 1024) throw new DatabaseError('53400', `temporary file size exceeds temp_file_limit (${limit}kB)`);
    for (let done = 0; done < bytes.length; ) done += this.handle!.writeSync(bytes.subarray(done), this.size + done);
    this.size += bytes.length;
  }

  /** Fills `into` from `position`; answers how many bytes there were. */
  read(into: Uint8Array, position: number): number {
    let done = 0;
    while (done < into.length) {
      const read = this.handle!.readSync(into.subarray(done), position + done);
      if (read === 0) break;
      done += read;
    }
    return done;
  }

  remove(): void {
    if (this.handle === null) return;
    this.handle.close();
    this.handle = null;
    usedBytes(this.state, -this.size);
    this.state.context.runtime.files.remove(this.path);
  }
}

const USED = { spilled: true };

/** Bytes in the execution's temporary files after `more`. */
function usedBytes(state: ExecState, more: number): number {
  const used = ((state.shared.get(USED) as number | undefined) ?? 0) + more;
  state.shared.set(USED, used);
  return used;
}
