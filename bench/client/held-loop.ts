/**
 * Loaded into a server ahead of it (`node --import`): how long its event loop is held by its own work, told apart from a machine
 * that is busy otherwise. Between two timers it notes how much processor time this thread used: what the kernel gave to
 * others meanwhile does not count. Linux only, exact to the kernel's tick (4 ms at most).
 *
 * On SIGUSR2 a line is added to the file OXBOW_HELD_FILE: the longest time and how many were beyond 20 ms, since the line before.
 */
import { appendFileSync, openSync, readSync } from 'node:fs';
import { isMainThread } from 'node:worker_threads';

const TIMER_MS = 2;
const LONG_MS = 20;
const file = process.env.OXBOW_HELD_FILE;

if (isMainThread && file) {
  const fd = openSync(`/proc/${process.pid}/task/${process.pid}/schedstat`, 'r');
  const buffer = Buffer.alloc(64);
  const usedMs = (): number => Number(buffer.latin1Slice(0, readSync(fd, buffer, 0, 64, 0)).split(' ')[0]) / 1e6;
  let before = usedMs();
  let longest = 0;
  let beyond = 0;
  setInterval(() => {
    const now = usedMs();
    const held = now - before;
    before = now;
    if (held > longest) longest = held;
    if (held > LONG_MS) beyond++;
  }, TIMER_MS).unref();
  process.on('SIGUSR2', () => {
    appendFileSync(file, `${JSON.stringify({ longest, beyond })}\n`);
    longest = beyond = 0;
  });
}
