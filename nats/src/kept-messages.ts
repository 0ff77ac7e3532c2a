import { type JetStreamManager, NatsError, type StoredMsg } from 'nats';

/** What lies in a stream until a person has looked: oldest first, one by one. */
export interface KeptMessages {
  get(sequence: number): Promise<StoredMsg | undefined>;
  /** The first one from this sequence on. */
  from(sequence: number): Promise<StoredMsg | undefined>;
  /** The sequence behind which all are of this time or later; `after` where no time is given. */
  sequenceBefore(time: Date | undefined, after: number): Promise<number>;
  /** Takes it out for good. It is no error when somebody else has done so. */
  remove(sequence: number): Promise<void>;
}

/** Those of the stream that lie on these subjects. */
export function keptMessages(manager: JetStreamManager, stream: string, subjects = '>'): KeptMessages {
  const get = (seq: number) => orNothing(manager.streams.getMessage(stream, { seq }));
  // The client passes `next_by_subj` on and does not know it.
  const from = (seq: number) =>
    orNothing(manager.streams.getMessage(stream, { seq, ...{ next_by_subj: subjects } }));

  return {
    get,
    from,
    // By halving: the stream may hold millions.
    sequenceBefore: async (time, after) => {
      if (time === undefined) return after;
      let low = after;
      let high = (await manager.streams.info(stream)).state.last_seq;
      while (low < high) {
        const middle = Math.floor((low + high) / 2);
        const found = await from(middle + 1);
        if (found === undefined || found.time >= time) high = middle;
        else low = found.seq;
      }
      return low;
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
