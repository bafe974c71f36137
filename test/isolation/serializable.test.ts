import { bothServers, testSpecs } from './compare-servers.js';
import { SERIALIZABLE_SPECS } from './serializable-specs.js';

testSpecs(SERIALIZABLE_SPECS, bothServers());
