/** aclitem: kept as its text, see sql/catalog/acl.ts. */
import { formatAclItem, parseAclItem } from '../catalog/acl.js';
import type { DataType } from './data-type.js';
import { textType } from './text.js';

export const aclItemType: DataType = { ...textType, name: 'aclitem', input: (text) => formatAclItem(parseAclItem(text)), compare: undefined, key: undefined };
