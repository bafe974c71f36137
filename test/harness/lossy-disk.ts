/**
 * A disk that can lose its power: an ext4 of its own in a loop-mounted image. `cutPower()` has the kernel write LMDB's meta
 * pages and a random third of everything back first (what a real machine may have done by then), then shuts the file
 * system down without flushing: what was not fsynced is gone. It needs root, loop devices, mkfs.ext4 and xfs_io.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export interface LossyDisk {
  /** The data directory on the disk. */
  readonly directory: string;
  /** Ends all writing to the disk at once. Kill the process that has it open before `restorePower()`. */
  cutPower(): void;
  /** Unmounts and mounts again: ext4 replays its journal and shows what survived. Throws when a file that was never synced did. */
  restorePower(): void;
  remove(): void;
}

export function makeLossyDisk(megabytes: number): LossyDisk {
  const base = mkdtempSync(join(tmpdir(), 'oxbow-disk-'));
  const image = join(base, 'disk.img');
  const mountPoint = join(base, 'disk');
  const directory = join(mountPoint, 'data');
  const canary = join(mountPoint, 'canary');
  const run = (command: string, ...args: string[]): void => void execFileSync(command, args, { stdio: 'pipe' });
  const mount = (): void => run('mount', '-o', 'loop', image, mountPoint);
  try {
    mkdirSync(mountPoint);
    run('truncate', '-s', `${megabytes}M`, image);
    run('mkfs.ext4', '-q', image);
    mount();
  } catch (error) {
    rmSync(base, { recursive: true, force: true });
    throw error;
  }
  return {
    directory,
    cutPower() {
      writeBackEarly(directory);
      writeFileSync(canary, Buffer.alloc(65536, 1));
      run('xfs_io', '-x', '-c', 'shutdown', mountPoint);
    },
    restorePower() {
      run('umount', mountPoint);
      mount();
      if (existsSync(canary) && readFileSync(canary).includes(1)) throw new Error('the power cut lost nothing: a file that was never synced is still there');
      rmSync(canary, { force: true });
    },
    remove() {
      spawnSync('umount', [mountPoint]);
      rmSync(base, { recursive: true, force: true });
    },
  };
}

/** Why the power cut cannot be played on this machine, or undefined. */
export function lossyDiskObstacle(): string | undefined {
  if (process.getuid?.() !== 0) return 'it needs root';
  for (const tool of ['mkfs.ext4', 'mount', 'umount', 'xfs_io', 'truncate']) if (spawnSync('which', [tool]).status !== 0) return `${tool} is not installed`;
  try {
    makeLossyDisk(20).remove();
  } catch (error) {
    return `no loop devices (${(error as Error).message.split('\n')[0]})`;
  }
  return undefined;
}

function writeBackEarly(directory: string): void {
  const files = [join(directory, 'state.mdb'), ...readdirSync(join(directory, 'log')).map((name) => join(directory, 'log', name))];
  for (const file of files) {
    if (!existsSync(file)) continue;
    const size = Math.min(statSync(file).size, 64 << 20);
    const commands = file.endsWith('state.mdb') ? ['-c', 'sync_range -w 0 12288'] : [];
    const piece = Math.max(4096, Math.ceil(size / 30 / 4096) * 4096);
    for (let at = 0; at < size; at += piece) if (Math.random() < 1 / 3) commands.push('-c', `sync_range -w ${at} ${piece}`);
    if (commands.length > 0) spawnSync('xfs_io', [...commands, file]);
  }
}
