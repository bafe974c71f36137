/** A server whose log failed ended with Node's own exit code, because one waiting statement had been cancelled: nobody held its wait any more. */
import { expect, test } from 'vitest';
import { Pending } from './pending.js';

test('a wait that nobody waits for may fail', async () => {
  const unhandled: unknown[] = [];
  const note = (reason: unknown): void => void unhandled.push(reason);
  process.on('unhandledRejection', note);
  const failing = Promise.reject(new Error('the log is gone'));
  const pending = new Pending(failing.then(() => undefined), 'IO', 'WALWrite');
  await new Promise((resolve) => setTimeout(resolve, 5));
  process.off('unhandledRejection', note);
  // `failing` has a follower, and the follower is held by the Pending alone.
  expect(unhandled).toEqual([]);
  await expect(pending.until).rejects.toThrow('the log is gone');
});
