/** The thread that reads whole indexes and learns where their keys are, beside the sessions' work. */
import { openStateFile } from '../packed/open.js';
import { workerContext } from '../runtime-node.js';
import { buffersOf, type LearnedArrays } from './entry-collector.js';
import type { LearnAnswer, LearnRequest, LearnWorkerData } from './build-protocol.js';
import { readStateEntries } from './state-entries.js';

const context = workerContext<LearnWorkerData, LearnRequest, LearnAnswer>();
const kv = openStateFile({ path: context.data.statePath });

function learn({ id, index, class: of, error }: LearnRequest): LearnAnswer {
  const { entries, doubtful } = readStateEntries(kv, index, of);
  let arrays: LearnedArrays | null = null;
  if (entries) {
    const steps = entries.finish(error);
    let step = steps.next();
    while (!step.done) step = steps.next();
    arrays = step.value;
  }
  return { id, arrays, doubtful, failure: null };
}

context.onMessage((request) => {
  try {
    const answer = learn(request);
    context.post(answer, answer.arrays ? buffersOf(answer.arrays) : []);
  } catch (error) {
    context.post({ id: request.id, arrays: null, doubtful: [], failure: error instanceof Error ? error.message : String(error) });
  }
});
