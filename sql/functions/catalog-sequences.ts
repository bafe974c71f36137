/** nextval, currval, setval, lastval and what the catalogs say about sequences. */
import { currval, lastval, nextval, sequenceParameters, sequenceState, setval } from '../access/sequence.js';
import { DatabaseError } from '../../engine/errors.js';
import { hasRelationPrivilege, permissionDenied } from '../catalog/acl.js';
import { ClassOid } from '../catalog/class-oids.js';
import type { CatalogView } from '../catalog/catalog-view.js';
import type { Oid } from '../catalog/catalog.js';
import { quoteQualified } from '../catalog/identifiers.js';
import { int8FromBigInt, type Int8 } from '../types/datum.js';
import { relationByText } from './catalog-acl.js';
import type { EvalContext } from './context.js';
import { fc } from './define.js';
import type { SqlFunction } from './function.js';

function checkPrivilege(context: EvalContext, oid: Oid, letters: string): void {
  const relation = context.catalog.relation(oid);
  if (!relation || relation.relkind !== 'S' || context.session.currentUser.superuser) return;
  if (![...letters].some((letter) => hasRelationPrivilege(context.catalog, context.session.currentUser.oid, relation, letter))) throw permissionDenied('sequence', relation.relname);
}

export const sequenceFunctions: readonly SqlFunction[] = [
  fc('nextval(regclass)', (oid: number, context: EvalContext) => {
    checkPrivilege(context, oid, 'Uw');
    return nextval(context, oid);
  }),
  fc('currval(regclass)', (oid: number, context: EvalContext) => {
    checkPrivilege(context, oid, 'rU');
    return currval(context, oid);
  }),
  fc('lastval()', (context: EvalContext) => {
    const { oid, value } = lastval(context);
    checkPrivilege(context, oid, 'rU');
    return value;
  }),
  fc('setval(regclass,int8)', (oid: number, value: Int8, context: EvalContext) => {
    checkPrivilege(context, oid, 'w');
    return setval(context, oid, value, true);
  }),
  fc('setval(regclass,int8,bool)', (oid: number, value: Int8, isCalled: boolean, context: EvalContext) => {
    checkPrivilege(context, oid, 'w');
    return setval(context, oid, value, isCalled);
  }),
  fc('pg_sequence_last_value(regclass)', (oid: number, context: EvalContext) => {
    const relation = context.catalog.relation(oid);
    const parameters = sequenceParameters(context.catalog, oid);
    if (!relation || !parameters) return null;
    const state = sequenceState(context, relation, parameters);
    return state.isCalled ? int8FromBigInt(state.lastValue) : null;
  }),
  fc('pg_sequence_parameters(oid)', (oid: number, context: EvalContext) => {
    const p = sequenceParameters(context.catalog, oid);
    if (!p) throw new DatabaseError('XX000', `cache lookup failed for sequence ${oid}`);
    return {
      typeOid: 2249, types: [20, 20, 20, 20, 16, 20, 26],
      values: [int8FromBigInt(p.start), int8FromBigInt(p.min), int8FromBigInt(p.max), int8FromBigInt(p.increment), p.cycle, int8FromBigInt(p.cache), p.typeOid],
    };
  }),
  fc('pg_get_serial_sequence(text,text)', (table: string, column: string, context: EvalContext) => {
    const relation = relationByText(context, table);
    const attribute = relation.attributes.find((candidate) => candidate.attname === column && !candidate.attisdropped);
    if (!attribute) throw new DatabaseError('42703', `column "${column}" of relation "${relation.relname}" does not exist`);
    for (const row of (context.catalog as CatalogView).rows.rows('pg_depend', 'refclassid,refobjid', ClassOid.pg_class, relation.oid)) {
      if (row[0] !== ClassOid.pg_class || row[5] !== attribute.attnum || (row[6] !== 'a' && row[6] !== 'i')) continue;
      const sequence = context.catalog.relation(row[1] as Oid);
      if (sequence?.relkind === 'S') return quoteQualified(context.catalog.namespace(sequence.relnamespace)?.nspname ?? null, sequence.relname);
    }
    return null;
  }),
];
