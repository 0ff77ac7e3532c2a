import { type JetStreamManager, NatsError, type StoredMsg } from 'nats';

/** What lies in a stream until a person has looked: oldest first, one by one. */
export interface KeptMessages {
  get(sequence: number): Promise<StoredMsg | undefined>;
  /** One page; what `read` gives nothing for is passed over. */
  page<T>(query: PageQuery, read: (stored: StoredMsg) => T | undefined): Promise<Page<T>>;
  /** Takes it out for good. It is no error when somebody else has done so. */
  remove(sequence: number): Promise<void>;
}

export interface PageQuery {
  /** Stored at this time or later. */
  from: Date | undefined;
  /** Stored before this time. */
  to: Date | undefined;
  /** Only what stands behind this sequence. */
  after: number;
  limit: number;
  /** They are found one by one: after so many the page ends, full or not. */
  lookAtMax: number;
}

export interface Page<T> {
  items: T[];
  /** The sequence that was looked at last; undefined: there is nothing behind it. */
  next: number | undefined;
}

/** Those of the stream that lie on these subjects. */
export function keptMessages(manager: JetStreamManager, stream: string, subjects = '>'): KeptMessages {
  const get = (seq: number) => orNothing(manager.streams.getMessage(stream, { seq }));
  // The first one from this sequence on. The client passes `next_by_subj` on and does not know it.
  const firstFrom = (seq: number) =>
    orNothing(manager.streams.getMessage(stream, { seq, ...{ next_by_subj: subjects } }));

  /** The sequence behind which all are of this time or later, by halving: the stream may hold millions. */
  const sequenceBefore = async (time: Date | undefined, after: number) => {
    if (time === undefined) return after;
    let low = after;
    let high = (await manager.streams.info(stream)).state.last_seq;
    while (low < high) {
      const middle = Math.floor((low + high) / 2);
      const found = await firstFrom(middle + 1);
      if (found === undefined || found.time >= time) high = middle;
      else low = found.seq;
    }
    return low;
  };

  return {
    get,
    page: async <T>(
      { from, to, after, limit, lookAtMax }: PageQuery,
      read: (stored: StoredMsg) => T | undefined,
    ) => {
      const items: T[] = [];
      let last = await sequenceBefore(from, after);
      for (let looked = 0; looked < lookAtMax && items.length < limit; looked += 1) {
        const found = await firstFrom(last + 1);
        // They stand in the order of their times.
        if (found === undefined || (to !== undefined && found.time >= to)) return { items, next: undefined };
        last = found.seq;
        const item = read(found);
        if (item !== undefined) items.push(item);
      }
      return { items, next: last };
    },
    remove: async (sequence) => {
      try {
        await manager.streams.deleteMessage(stream, sequence);
      } catch (error) {
        if ((await get(sequence)) !== undefined) throw error;
      }
    },
  };
}

const noMessageFound = 10037;

/** Nothing where the message is not there. A stream that is not there is an error: what it held is not known. */
async function orNothing(answer: Promise<StoredMsg>): Promise<StoredMsg | undefined> {
  try {
    return await answer;
  } catch (error) {
    if (error instanceof NatsError && error.api_error?.err_code === noMessageFound) return undefined;
    throw error;
  }
}
