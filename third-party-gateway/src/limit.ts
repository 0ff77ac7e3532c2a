import { RateLimiterMemory, RateLimiterRes } from 'rate-limiter-flexible';

/**
 * Lets so many through in a second and tells the others how many seconds to wait. Each process counts for itself: this
 * keeps one source from taking the room of the others, and is no contract with it.
 */
export function createLimit(perSecond: number): () => Promise<number | undefined> {
  const limiter = new RateLimiterMemory({ points: perSecond, duration: 1 });
  return async () => {
    try {
      await limiter.consume('');
      return undefined;
    } catch (refused) {
      if (!(refused instanceof RateLimiterRes)) throw refused;
      return Math.max(1, Math.ceil(refused.msBeforeNext / 1_000));
    }
  };
}
