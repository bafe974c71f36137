/** OIDs of catalog tables, as classid in pg_depend and pg_description. */
export const ClassOid = {
  pg_type: 1247, pg_attribute: 1249, pg_proc: 1255, pg_class: 1259, pg_authid: 1260, pg_database: 1262, pg_tablespace: 1213, pg_am: 2601,
  pg_attrdef: 2604, pg_constraint: 2606, pg_namespace: 2615, pg_opclass: 2616, pg_operator: 2617, pg_rewrite: 2618, pg_trigger: 2620,
  pg_extension: 3079, pg_collation: 3456, pg_language: 2612, pg_cast: 2605, pg_policy: 3256, pg_default_acl: 826, pg_statistic_ext: 3381,
} as const;
