/** Functions that may wait: advisory locks, pg_sleep and restore points. They answer Pending or a promise, and only the awaiting evaluator runs them. */
import { Pending } from '../../engine/pending.js';
import { intervalMeasure } from '../types/date-time.js';
import type { Datum, Int8, Interval } from '../types/datum.js';
import { clockTimestamp } from './date-time-operators.js';
import type { EvalContext } from './context.js';
import { fc } from './define.js';
import type { SqlFunction, WaitingFunction } from './function.js';

type Key = bigint | readonly [number, number];
type Mode = 'shared' | 'exclusive';
type Scope = 'transaction' | 'session';

function waiting(signature: string, evaluate: WaitingFunction['evaluate']): WaitingFunction {
  return { kind: 'waiting', signature, evaluate, needsContext: true };
}

const keyOf = (args: readonly unknown[]): Key => (args.length === 1 ? BigInt(args[0] as Int8) : [args[0] as number, args[1] as number]);

/** pg_advisory[_xact]_lock[_shared] and their try forms over both kinds of keys. */
function advisoryFamily(): SqlFunction[] {
  const out: SqlFunction[] = [];
  for (const types of ['int8', 'int4,int4']) {
    for (const mode of ['exclusive', 'shared'] as readonly Mode[]) {
      const suffix = mode === 'shared' ? '_shared' : '';
      for (const scope of ['session', 'transaction'] as readonly Scope[]) {
        const middle = scope === 'transaction' ? '_xact' : '';
        out.push(waiting(`pg_advisory${middle}_lock${suffix}(${types})`, (...args: unknown[]) => {
          const context = args.pop() as EvalContext;
          const held = context.transaction.lockAdvisory(keyOf(args), mode, scope, 'wait');
          return held instanceof Pending ? held : '';
        }));
        out.push(fc(`pg_try_advisory${middle}_lock${suffix}(${types})`, (...args: unknown[]) => {
          const context = args.pop() as EvalContext;
          return context.transaction.lockAdvisory(keyOf(args), mode, scope, 'nowait') as Datum;
        }));
      }
      out.push(fc(`pg_advisory_unlock${suffix}(${types})`, (...args: unknown[]) => {
        const context = args.pop() as EvalContext;
        const key = keyOf(args);
        const released = context.transaction.unlockAdvisory(key, mode);
        if (!released) context.notice('WARNING', `you don't own a lock of type ${mode === 'shared' ? 'ShareLock' : 'ExclusiveLock'}`);
        return released;
      }));
    }
  }
  return out;
}

/** Resolves after `seconds`; a cancelled statement stops waiting for it by itself. */
function sleep(seconds: number, context: EvalContext): Promise<Datum> | Datum {
  if (!(seconds > 0)) return '';
  const end = context.runtime.clock.monotonicMs() + seconds * 1000;
  return new Promise((resolve) => {
    const wait = (): void => {
      const left = end - context.runtime.clock.monotonicMs();
      if (left <= 0) resolve('');
      else context.runtime.clock.after(Math.min(left, 3_600_000), wait);
    };
    wait();
  });
}

export const waitingFunctions: readonly SqlFunction[] = [
  ...advisoryFamily(),
  fc('pg_advisory_unlock_all()', (context: EvalContext) => {
    context.session.unlockAllAdvisory?.();
    return '';
  }),
  waiting('pg_create_restore_point(text)', (name: string, context: EvalContext) => context.storage.maintenance.createRestorePoint(name)),
  waiting('pg_sleep(float8)', sleep),
  waiting('pg_sleep_for(interval)', (span: Interval, context: EvalContext) => sleep(Number(intervalMeasure(span)) / 1e6, context)),
  waiting('pg_sleep_until(timestamptz)', (until: Int8, context: EvalContext) => sleep((Number(until) - clockTimestamp(context)) / 1e6, context)),
];
