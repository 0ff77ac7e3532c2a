/** What the services say of themselves in their logs, counted. */
export interface Observer {
  onLine(service: string, line: string): void;
  /** How often it was seen since the start; of one service where it is named. */
  count(trace: Trace, service?: string): number;
  /** Whether an event of this transaction was applied. */
  isApplied(txId: string): boolean;
  /** Of all services together. */
  totals(): Record<Trace, number>;
}

export type Trace =
  /** Handed out more than once, whatever came of it. */
  | 'redelivered'
  /** Handed out more than once, and known by the record. */
  | 'recognised'
  /** Settled more than three seconds after it was stored. */
  | 'late'
  /** Given back, or tried again later, because of the database. */
  | 'given-back'
  | 'broker-away'
  | 'database-away'
  | 'set-aside';

const lateMs = 3_000;

export function createObserver(): Observer {
  const counts = new Map<string, number>();
  const applied = new Set<string>();
  const settled = new Set<number>();
  const add = (trace: Trace, service: string, by = 1) => {
    for (const key of [trace, `${trace} ${service}`]) counts.set(key, (counts.get(key) ?? 0) + by);
  };

  /** Deliveries are counted anew when a message is set aside, but it keeps its sequence. */
  const isAgain = ({ deliveries, sequence }: Record<string, unknown>) => {
    const seenBefore = settled.has(Number(sequence));
    settled.add(Number(sequence));
    return seenBefore || Number(deliveries) > 1;
  };
  const onLine = (service: string, line: string) => {
    const said = parse(line);
    switch (said?.msg) {
      case 'message.settled':
        if (said.outcome === 'applied') applied.add(String(said.txId));
        if (isAgain(said)) {
          add('redelivered', service);
          if (said.outcome === 'duplicate') add('recognised', service);
        }
        if (Number(said.lagMs) > lateMs) add('late', service);
        if (said.outcome === 'retry') add('given-back', service);
        return;
      case 'messages.released':
        add('given-back', service, Math.max(1, Number(said.count)));
        return;
      case 'backlog.set-aside':
        add('set-aside', service, Number(said.count));
        return;
      case 'broker.away':
        add('broker-away', service);
        return;
      case 'database.away':
        add('database-away', service);
        return;
      default:
    }
  };

  return {
    onLine,
    count: (trace, service) => counts.get(service === undefined ? trace : `${trace} ${service}`) ?? 0,
    isApplied: (txId) => applied.has(txId),
    totals: () => {
      const total = (trace: Trace) => counts.get(trace) ?? 0;
      return {
        redelivered: total('redelivered'),
        recognised: total('recognised'),
        late: total('late'),
        'given-back': total('given-back'),
        'broker-away': total('broker-away'),
        'database-away': total('database-away'),
        'set-aside': total('set-aside'),
      };
    },
  };
}

/** A log line; undefined for what is none, such as a warning of Node's. */
function parse(line: string): Record<string, unknown> | undefined {
  if (!line.startsWith('{')) return undefined;
  try {
    return JSON.parse(line);
  } catch {
    // The last line of a killed process may be half a line.
    return undefined;
  }
}
