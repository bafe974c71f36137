/** Privileges on relations that a query needs (ExecCheckPermissions). Superusers and owners pass. */
import { DatabaseError } from '../../engine/errors.js';
import type { RelationPermission } from '../analyzer/query-tree.js';
import { hasRelationPrivilege } from '../commands/privileges.js';
import type { EvalContext } from '../functions/context.js';

const KINDS: Readonly<Record<string, string>> = { r: 'table', v: 'view', S: 'sequence', m: 'materialized view', p: 'table' };

export function checkPermissions(permissions: readonly RelationPermission[], context: EvalContext): void {
  const { currentUser } = context.session;
  for (const permission of permissions) {
    const role = permission.checkAsUser || currentUser.oid;
    if (role === currentUser.oid ? currentUser.superuser : context.catalog.role(role)?.rolsuper) continue;
    const relation = context.catalog.relation(permission.relation);
    if (!relation) continue;
    for (const privilege of permission.privileges) {
      const columns = privilege === 'select' ? permission.selected : privilege === 'insert' ? permission.inserted : privilege === 'update' ? permission.updated : [];
      if (!hasRelationPrivilege(context.catalog, relation, role, privilege, columns))
        throw new DatabaseError('42501', `permission denied for ${KINDS[relation.relkind] ?? 'relation'} ${relation.relname}`);
    }
  }
}
