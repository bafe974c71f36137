/**
 * Types of $1, $2, ...: given by the client, or inferred from the first use (variable parameters,
 * parse_param.c).
 */
import type { Oid } from '../catalog/catalog.js';
import { TypeOid } from '../catalog/type-oids.js';
import { DatabaseError } from '../../engine/errors.js';

export class ParameterTypes {
  /** By parameter number - 1; unknown while not inferred. */
  readonly types: Oid[];
  readonly #variable: boolean;

  /** `variable`: parameters may appear that were not declared, and undeclared types are inferred. */
  constructor(declared: readonly Oid[], variable: boolean) {
    this.types = declared.map((type) => (type === 0 ? TypeOid.unknown : type));
    this.#variable = variable;
  }

  /** Type of parameter `number` so far. undefined: there is no such parameter. */
  typeOf(number: number): Oid | undefined {
    if (number < 1 || number > 65535) return undefined;
    if (number > this.types.length) {
      if (!this.#variable) return undefined;
      while (this.types.length < number) this.types.push(TypeOid.unknown);
    }
    return this.types[number - 1];
  }

  get isVariable(): boolean {
    return this.#variable;
  }

  /** Fixes an unknown parameter's type by its use. Returns the type it has now. */
  resolve(number: number, type: Oid): Oid {
    const current = this.types[number - 1];
    if (current === TypeOid.unknown) this.types[number - 1] = type;
    return this.types[number - 1];
  }

  /** After analysis: every parameter has a type, or 42P18. */
  checkResolved(): void {
    const index = this.types.findIndex((type) => type === TypeOid.unknown);
    if (index >= 0) throw new DatabaseError('42P18', `could not determine data type of parameter $${index + 1}`);
  }
}
