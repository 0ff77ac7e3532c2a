import type { RequestListener } from 'node:http';
import type { Log } from './log.ts';
import { askAgain, requestIdOf, sendProblem } from './problems.ts';

// A line for each would cost more than the answers, and fill the disk of whoever is flooded.
const sayEveryMs = 1_000;

/** Made once: an error takes a picture of the stack. */
export const overloaded = askAgain(
  'overloaded',
  'The service has as much in hand as it can take; send it again.',
);

/**
 * Answers 503 before anything of a request was read, at a small part of what it costs to serve it: so that there is time left
 * for those that are in hand. What still comes of the body is thrown away. The log tells how many there were.
 */
export function createTurnAway(log?: Log): RequestListener {
  let count = 0;
  const say = () => {
    log?.warn({ count, withinMs: sayEveryMs }, 'requests.turned-away');
    count = 0;
  };
  return (req, res) => {
    if (count === 0) setTimeout(say, sayEveryMs).unref();
    count += 1;
    sendProblem(res, overloaded, requestIdOf(req));
  };
}
