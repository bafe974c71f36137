import { ANOMALY_SPECS } from './anomaly-specs.js';
import { bothServers, testSpecs } from './compare-servers.js';

testSpecs(ANOMALY_SPECS, bothServers());
