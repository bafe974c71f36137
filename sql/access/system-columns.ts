/** System columns by attribute number. */
export const CTID = -1;
export const XMIN = -2;
export const CMIN = -3;
export const XMAX = -4;
export const CMAX = -5;
export const TABLEOID = -6;

/** A sequence's only row. */
export const sequenceRowId = 1;
