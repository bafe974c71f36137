/** Canonical name of a time zone for SET TIME ZONE, or null. */
import { findZone } from '../types/timezone.js';

export function timeZoneName(name: string): string | null {
  const zone = findZone(name);
  return zone ? zone.name : null;
}
