// Runs before anything is installed (the first thing that npm start, test, demo, bench and chaos do): plain JavaScript, no dependency. The first
// check must be readable by an old Node, so everything else is loaded after it.
import { nodeProblem } from './setup/node-version.js';

const problem = nodeProblem(process.versions.node);
if (problem === undefined) {
  const { setUp } = await import('./setup/set-up.js');
  process.exitCode = await setUp();
} else {
  console.error(problem);
  process.exitCode = 1;
}
