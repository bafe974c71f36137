/** Whatever was thrown, as an error for the client. Our own bugs become XX000 and are logged with their stack. */
import { DatabaseError } from '../../engine/errors.js';

export function toDatabaseError(error: unknown, onFault: (fault: unknown) => void): DatabaseError {
  if (error instanceof DatabaseError) return error;
  if (error instanceof RangeError && /call stack/.test(error.message)) {
    return new DatabaseError('54001', 'stack depth limit exceeded', { hint: 'The statement nests too deeply.', cause: error });
  }
  if (error instanceof RangeError && /Invalid (string|array|typed array) length|Array buffer allocation failed/.test(error.message)) {
    return new DatabaseError('54000', 'value or result exceeds the size limit', { cause: error });
  }
  const code = (error as { code?: string } | null)?.code;
  if (code === 'ENOSPC') return new DatabaseError('53100', 'could not write: No space left on device', { cause: error });
  onFault(error);
  return new DatabaseError('XX000', `internal error: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
}
