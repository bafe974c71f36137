/**
 * A five-character SQLSTATE. The table of all codes with their condition names comes from
 * PostgreSQL 16's errcodes and stands in sql/catalog/data/errcodes.json; a test checks that every
 * code thrown in the sources is in it.
 */
export type SqlState = string;
