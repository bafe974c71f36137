/** Type names in deparsed SQL: format_type with the schema where the search path hides the type. */
import { formatType, quoteIdentifier } from '../analyzer/names.js';
import type { Catalog, Oid } from '../catalog/catalog.js';
import type { EvalContext } from '../functions/context.js';

export function typeText(context: { readonly catalog: Catalog; readonly eval: EvalContext }, oid: Oid, typmod: number): string {
  const { catalog } = context;
  const type = catalog.type(oid);
  if (!type || type.typnamespace === 11) return formatType(catalog, oid, typmod);
  const element = type.typelem !== 0 && catalog.type(type.typelem)?.typarray === oid ? catalog.type(type.typelem) : undefined;
  const named = element ?? type;
  const visible = context.eval.session.searchPathOids.some((namespace, i, path) =>
    namespace === named.typnamespace && !path.slice(0, i).some((earlier) => catalog.typeNamed(earlier, named.typname)));
  const text = visible ? quoteIdentifier(named.typname) : `${quoteIdentifier(catalog.namespace(named.typnamespace)?.nspname ?? '')}.${quoteIdentifier(named.typname)}`;
  return element ? `${text}[]` : text;
}
