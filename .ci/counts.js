// Prints the counts of a jest report as the last line, and exits as the run did.
import { readFileSync } from 'node:fs';

const [, , file, status] = process.argv;
const readReport = () => {
  try {
    return JSON.parse(readFileSync(file, 'utf8'));
  } catch {
    return undefined;
  }
};

const report = readReport();
const suitesNotRun = report?.numRuntimeErrorTestSuites ?? 0;
const failed = (report?.numFailedTests ?? 0) + suitesNotRun;
// A run that ended before the tests (a failing check, a server that cannot be fetched) is one failure and not none.
const counted = report === undefined || (failed === 0 && status !== '0') ? failed + 1 : failed;
console.log(`${report?.numPassedTests ?? 0} passed, ${counted} failed`);
process.exit(counted === 0 ? 0 : 1);
