// Names what needed a second attempt, prints the counts of jest reports as the last line, and exits 1 if anything failed.
import { readFileSync } from 'node:fs';

const readReport = (file) => {
  try {
    return JSON.parse(readFileSync(file, 'utf8'));
  } catch {
    return undefined;
  }
};

let passed = 0;
let failed = 0;
for (const report of process.argv.slice(2).map(readReport)) {
  const inReport = (report?.numFailedTests ?? 0) + (report?.numRuntimeErrorTestSuites ?? 0);
  // A run that ended before the tests (a failing check, a server that cannot be fetched) is one failure and not none.
  failed += report === undefined || (inReport === 0 && !report.success) ? inReport + 1 : inReport;
  passed += report?.numPassedTests ?? 0;
  for (const { assertionResults } of report?.testResults ?? []) {
    for (const { fullName, status, invocations } of assertionResults) {
      if (invocations > 1) console.log(`${status} at attempt ${invocations}: ${fullName}`);
    }
  }
}
console.log(`${passed} passed, ${failed} failed`);
process.exit(failed === 0 ? 0 : 1);
