// Asks the registry whether a published weakness is known of what runs in production (`npm audit --omit=dev`), and exits 1 if so.
// Where the registry does not answer that question, nothing is known: it says so, and that is no failure of ours.
import { spawnSync } from 'node:child_process';

const askedForMs = 60_000;
const { stdout } = spawnSync('npm', ['audit', '--omit=dev', '--json'], {
  encoding: 'utf8',
  timeout: askedForMs,
});
const counts = countsOf(stdout);
if (counts === undefined) {
  console.log('npm audit: the registry did not answer, so nothing is known about weaknesses');
} else {
  console.log(`npm audit: ${counts.total} known weaknesses in what runs in production`);
  process.exitCode = counts.total === 0 ? 0 : 1;
}

/** @param {string | null} json @returns {{ total: number } | undefined} */
function countsOf(json) {
  try {
    return JSON.parse(json ?? '').metadata?.vulnerabilities;
  } catch {
    return undefined;
  }
}
