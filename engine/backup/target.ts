/**
 * Where backups and the archived log are kept: named objects that are written once. A name is a
 * path with slashes; an object is at most some 20 MB, so it is read and written whole.
 *
 * `putIfAbsent` is atomic: of two writers one stores, the other is told that the name is taken.
 * Nothing is ever overwritten, so a reader sees either nothing or the whole object.
 */
import { DatabaseError } from '../errors.js';
import type { Runtime } from '../runtime.js';
import { DirectoryTarget } from './directory-target.js';
import { S3Target } from './s3-target.js';

export interface TargetObject {
  readonly name: string;
  readonly bytes: number;
}

export interface Target {
  /** As the user named it, without secrets. */
  readonly description: string;
  putIfAbsent(name: string, bytes: Uint8Array): Promise<'stored' | 'exists'>;
  /** Undefined when there is no such object. */
  get(name: string): Promise<Uint8Array | undefined>;
  /** Objects whose names begin with `prefix` (which ends in a slash or is empty), in order of their names. */
  list(prefix: string): Promise<TargetObject[]>;
  /** Removing what is not there is no error. */
  delete(name: string): Promise<void>;
}

/** A directory, or `s3://bucket/prefix` (credentials and endpoint from the AWS_ environment variables). */
export function openTarget(runtime: Runtime, specification: string, environment: Readonly<Record<string, string | undefined>>): Target {
  if (specification.startsWith('s3://')) return S3Target.open(specification, environment);
  if (/^[a-z][a-z0-9+.-]*:\/\//i.test(specification))
    throw new DatabaseError('0A000', `backup target "${specification}" is neither a directory nor s3://bucket/prefix`);
  return new DirectoryTarget(runtime, specification);
}
