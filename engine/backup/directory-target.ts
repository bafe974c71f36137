/**
 * A target in a directory. An object is written under a name of its own, synced, and then given its
 * real name by a hard link, which fails when the name is taken; so no reader sees a part of it.
 */
import { readAll, writeAll } from '../log/segment.js';
import type { Runtime } from '../runtime.js';
import type { Target, TargetObject } from './target.js';

const TEMPORARY = '.writing-';

export class DirectoryTarget implements Target {
  private readonly root: string;
  private readonly made = new Set<string>();

  constructor(private readonly runtime: Runtime, readonly description: string) {
    this.root = description.replace(/\/+$/, '') || '/';
  }

  private path(name: string): string {
    return `${this.root}/${name}`;
  }

  private makeDirectory(path: string): void {
    if (this.made.has(path)) return;
    const { files } = this.runtime;
    if (!files.exists(path)) {
      files.mkdir(path);
      for (let parent = path; parent.length > this.root.length; parent = parent.slice(0, parent.lastIndexOf('/'))) files.syncDirectory(parent.slice(0, parent.lastIndexOf('/')) || '/');
    }
    this.made.add(path);
  }

  async putIfAbsent(name: string, bytes: Uint8Array): Promise<'stored' | 'exists'> {
    const { files, random } = this.runtime;
    const path = this.path(name);
    const directory = path.slice(0, path.lastIndexOf('/'));
    this.makeDirectory(directory);
    if (files.exists(path)) return 'exists';
    const temporary = `${directory}/${TEMPORARY}${Buffer.from(random.bytes(8)).toString('hex')}`;
    const file = files.open(temporary, 'create');
    try {
      try {
        writeAll(file, bytes, 0);
        await file.dataSync();
      } finally {
        file.close();
      }
      try {
        files.link(temporary, path);
      } catch (error) {
        if ((error as { code?: string }).code === 'EEXIST') return 'exists';
        throw error;
      }
    } finally {
      files.remove(temporary);
    }
    files.syncDirectory(directory);
    return 'stored';
  }

  async get(name: string): Promise<Uint8Array | undefined> {
    let file;
    try {
      file = this.runtime.files.open(this.path(name), 'read');
    } catch (error) {
      if ((error as { code?: string }).code === 'ENOENT') return undefined;
      throw error;
    }
    try {
      return readAll(file);
    } finally {
      file.close();
    }
  }

  async list(prefix: string): Promise<TargetObject[]> {
    const out: TargetObject[] = [];
    const directory = prefix.replace(/\/$/, '');
    this.walk(directory, out);
    return out.sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  private walk(directory: string, out: TargetObject[]): void {
    const { files } = this.runtime;
    const path = directory === '' ? this.root : this.path(directory);
    if (!files.exists(path)) return;
    for (const name of files.list(path)) {
      if (name.startsWith(TEMPORARY)) continue;
      const full = directory === '' ? name : `${directory}/${name}`;
      if (files.isDirectory(this.path(full))) {
        this.walk(full, out);
        continue;
      }
      let file;
      try {
        file = files.open(this.path(full), 'read');
      } catch {
        continue;
      }
      out.push({ name: full, bytes: file.size() });
      file.close();
    }
  }

  async delete(name: string): Promise<void> {
    const { files } = this.runtime;
    const path = this.path(name);
    files.remove(path);
  }
}
