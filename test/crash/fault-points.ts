/** Where `faulty-server.ts` can be told to fail or to die. */
export const FAULT_POINTS = [
  'log write', 'log written', 'log sync', 'log synced', 'applied', 'checkpoint', 'checkpoint done',
  'segment prepare', 'segment switch', 'segment switched', 'segment trim', 'vacuum', 'vacuum done', 'undo', 'undo done',
] as const;
export type FaultPoint = (typeof FAULT_POINTS)[number];

/** Points that are calls of the file system: they can also fail. */
export const FILE_POINTS = ['log write', 'log written', 'log sync', 'log synced', 'segment prepare', 'segment switch', 'segment trim'] as const satisfies readonly FaultPoint[];

export type FaultCommand =
  | { readonly full: boolean }
  /** Each sync of the log takes so many milliseconds more. */
  | { readonly slowSyncMs: number }
  /** The state is not synced any more, so the log is not trimmed. */
  | { readonly keepLog: boolean }
  /** The threads that run kernels of queries end, in whatever they are doing. */
  | { readonly endKernelThreads: true }
  /** From now on something that fails finds libuv's pool busy for a while: what waits there outlives who asked for it. */
  | { readonly busyPool: true }
  | { readonly at: FaultPoint; readonly count: number; readonly action: 'kill' | 'EIO' | 'ENOSPC' }
  | { readonly at: null };
