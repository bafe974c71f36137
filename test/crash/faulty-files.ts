/**
 * A FileSystem in memory that a power cut treats as a disk with a write cache does: what was synced
 * stays, of the rest a random selection of 512-byte sectors reached the platter, in no order. Names
 * (creations, renames, removals) not yet followed by a directory sync survive up to a random point.
 */
import type { FileHandle, FileSystem } from '../../engine/runtime.js';

const SECTOR = 512;

interface File {
  bytes: Uint8Array;
  size: number;
  synced: Uint8Array;
  /** Sectors written since the last sync. */
  dirty: Set<number>;
}

type NameChange = (names: Map<string, File>) => void;

export class FaultyFiles implements FileSystem {
  private names = new Map<string, File>();
  private durableNames = new Map<string, File>();
  private pending: NameChange[] = [];
  /** Bytes left on the "disk"; writes that extend files beyond it fail with ENOSPC. */
  free = Infinity;
  /** When set, the next sync fails with EIO. */
  failNextSync = false;
  /** When set, the next renaming or removal of a file fails with EIO. */
  failNextRemoval = false;

  private change(action: NameChange): void {
    action(this.names);
    this.pending.push(action);
  }

  private file(path: string): File {
    const file = this.names.get(path);
    if (!file) throw Object.assign(new Error(`ENOENT: ${path}`), { code: 'ENOENT' });
    return file;
  }

  open(path: string, mode: 'read' | 'readwrite' | 'create'): FileHandle {
    if (mode === 'create') {
      if (this.names.has(path)) throw Object.assign(new Error(`EEXIST: ${path}`), { code: 'EEXIST' });
      const created: File = { bytes: new Uint8Array(0), size: 0, synced: new Uint8Array(0), dirty: new Set() };
      this.change((names) => names.set(path, created));
    }
    return new FaultyHandle(this, this.file(path));
  }

  exists(path: string): boolean {
    return this.names.has(path) || [...this.names.keys()].some((name) => name.startsWith(`${path}/`));
  }

  list(directory: string): string[] {
    return [...this.names.keys()].filter((name) => name.startsWith(`${directory}/`)).map((name) => name.slice(directory.length + 1).split('/')[0]!);
  }

  isDirectory(path: string): boolean {
    return !this.names.has(path) && this.exists(path);
  }

  mkdir(): void {}

  remove(path: string): void {
    if (!this.names.has(path)) return;
    this.failRemoval();
    this.change((names) => names.delete(path));
  }

  private failRemoval(): void {
    if (!this.failNextRemoval) return;
    this.failNextRemoval = false;
    throw Object.assign(new Error('EIO: i/o error'), { code: 'EIO' });
  }

  rename(from: string, to: string): void {
    const file = this.file(from);
    this.failRemoval();
    this.change((names) => {
      names.delete(from);
      names.set(to, file);
    });
  }

  link(existing: string, name: string): void {
    const file = this.file(existing);
    if (this.names.has(name)) throw Object.assign(new Error(`EEXIST: ${name}`), { code: 'EEXIST' });
    this.change((names) => names.set(name, file));
  }

  syncDirectory(): void {
    this.durableNames = new Map(this.names);
    this.pending = [];
  }

  freeBytes(): number {
    return this.free;
  }

  /** Pulls the plug. Handles opened before are dead. */
  powerCut(random: () => number): void {
    const survivors = Math.floor(random() * (this.pending.length + 1));
    const names = new Map(this.durableNames);
    for (const action of this.pending.slice(0, survivors)) action(names);
    this.names = names;
    this.durableNames = new Map(names);
    this.pending = [];
    for (const file of new Set(names.values())) {
      const after = new Uint8Array(Math.max(file.synced.length, file.size));
      after.set(file.synced);
      const all = random() < 0.2;
      for (const sector of file.dirty)
        if (all || random() < 0.5) after.set(file.bytes.subarray(sector * SECTOR, Math.min((sector + 1) * SECTOR, file.size)), sector * SECTOR);
      file.bytes = after.slice();
      file.size = after.length;
      file.synced = after;
      file.dirty = new Set();
    }
  }
}

class FaultyHandle implements FileHandle {
  constructor(private readonly disk: FaultyFiles, private readonly file: File) {}

  readSync(buffer: Uint8Array, position: number): number {
    const part = this.file.bytes.subarray(position, Math.min(this.file.size, position + buffer.length));
    buffer.set(part);
    return part.length;
  }

  writeSync(buffer: Uint8Array, position: number): number {
    const { file } = this;
    const end = position + buffer.length;
    if (end > file.size) {
      if (end - file.size > this.disk.free) throw Object.assign(new Error('ENOSPC: no space left on device'), { code: 'ENOSPC' });
      this.disk.free -= end - file.size;
      if (end > file.bytes.length) {
        const grown = new Uint8Array(Math.max(end, file.bytes.length * 2));
        grown.set(file.bytes.subarray(0, file.size));
        file.bytes = grown;
      }
      file.size = end;
    }
    file.bytes.set(buffer, position);
    for (let sector = Math.floor(position / SECTOR); sector * SECTOR < end; sector++) file.dirty.add(sector);
    return buffer.length;
  }

  write(buffer: Uint8Array, position: number): Promise<number> {
    try {
      return Promise.resolve(this.writeSync(buffer, position));
    } catch (error) {
      return Promise.reject(error as Error);
    }
  }

  dataSyncSync(): void {
    if (this.disk.failNextSync) {
      this.disk.failNextSync = false;
      // As Linux does: what could not be written counts as clean from then on, and no later sync writes it.
      this.file.dirty.clear();
      throw Object.assign(new Error('EIO: i/o error, fdatasync'), { code: 'EIO' });
    }
    const { file } = this;
    if (file.synced.length !== file.size) {
      const synced = new Uint8Array(file.size);
      synced.set(file.synced.subarray(0, file.size));
      file.synced = synced;
    }
    for (const sector of file.dirty) file.synced.set(file.bytes.subarray(sector * SECTOR, Math.min((sector + 1) * SECTOR, file.size)), sector * SECTOR);
    file.dirty.clear();
  }

  dataSync(): Promise<void> {
    try {
      this.dataSyncSync();
      return Promise.resolve();
    } catch (error) {
      return Promise.reject(error as Error);
    }
  }

  size(): number {
    return this.file.size;
  }

  truncate(length: number): void {
    this.file.size = length;
  }

  close(): void {}
}
