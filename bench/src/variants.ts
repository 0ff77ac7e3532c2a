/** One way to treat a backlog. */
export interface Variant {
  name: string;
  title: string;
  /** What reads the queue: a plain consumer, or our payment-service. */
  reader: 'plain' | 'ours';
  replayPolicy: 'instant' | 'original';
  /** Plain JetStream paces only when the server starts the consumer, so it makes a difference which it is. */
  consumer: 'existed' | 'made-over-backlog';
  /** At which it is meant to replay; undefined: it does not pace. */
  speed: number | undefined;
  env: Record<string, string>;
}

const plain = { reader: 'plain', consumer: 'existed', env: {} } as const;
const ours = { reader: 'ours', replayPolicy: 'instant', consumer: 'existed' } as const;

export const variants: readonly Variant[] = [
  {
    ...plain,
    name: 'plain-original',
    title: 'plain `original`, the service was away',
    replayPolicy: 'original',
    speed: 1,
  },
  {
    ...plain,
    name: 'plain-original-new',
    title: 'plain `original`, consumer made over the backlog',
    replayPolicy: 'original',
    consumer: 'made-over-backlog',
    speed: 1,
  },
  { ...plain, name: 'plain-instant', title: 'plain `instant`', replayPolicy: 'instant', speed: undefined },
  { ...ours, name: 'ours-1', title: 'Paystream, speed 1', speed: 1, env: {} },
  { ...ours, name: 'ours-4', title: 'Paystream, speed 4', speed: 4, env: { REPLAY_SPEED: '4' } },
];

/** Those of these names, or all; throws on a name that is none. */
export function chooseVariants(only: readonly string[] | undefined): readonly Variant[] {
  if (only === undefined) return variants;
  return only.map((name) => {
    const variant = variants.find((known) => known.name === name);
    if (variant === undefined) {
      throw new Error(`there is no variant ${name} (${variants.map((known) => known.name).join(', ')})`);
    }
    return variant;
  });
}
