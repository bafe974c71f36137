import { TRAP_SPECS } from './anomaly-specs.js';
import { bothServers, testSpecs } from './compare-servers.js';

testSpecs(TRAP_SPECS, bothServers());
