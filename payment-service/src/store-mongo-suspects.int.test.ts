import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { testMongoUri } from '../../test/harness.ts';
import { createMongoLink, type MongoLink } from './store-mongo-connection.ts';
import { createMongoSuspects } from './store-mongo-suspects.ts';
import { type Attempt, attemptsMax } from './suspects.ts';
import { collectLog } from './testing/fixture.ts';

let link: MongoLink;

beforeAll(async () => {
  link = createMongoLink({ uri: testMongoUri(), log: collectLog().log });
  await link.open(async () => undefined);
});
afterAll(() => link.close());

const attemptOf = (): Attempt => ({ id: randomUUID(), at: new Date() });
const suspects = () => createMongoSuspects({ link });
const collection = () => link.collection('suspects');

test('as many attempts as there may be are marked, and then they are told with what is known of each', async () => {
  const store = suspects();
  const attempts = Array.from({ length: attemptsMax }, attemptOf);

  for (const attempt of attempts) expect(await store.mark('m:1', attempt)).toEqual({ kind: 'marked' });
  const [first, second] = attempts;
  if (first === undefined || second === undefined) throw new Error('there are three');
  await store.explain('m:1', { ...first, error: 'first error' });
  const marking = await store.mark('m:1', attemptOf());

  expect(marking).toMatchObject({
    kind: 'in-vain',
    attempts: [{ id: first.id, error: 'first error' }, { id: second.id }, {}],
  });
  expect(await store.mark('m:1', attemptOf())).toEqual(marking);
});

test('an attempt that is taken back does not count, and one of a cleared message neither', async () => {
  const store = suspects();
  const attempts = Array.from({ length: attemptsMax }, attemptOf);
  for (const attempt of attempts) await store.mark('m:2', attempt);

  for (const attempt of attempts) {
    await store.takeBack('m:2', attempt);
    expect(await store.mark('m:2', attemptOf())).toEqual({ kind: 'marked' });
  }
  await store.clear('m:2');

  expect(await collection().findOne({ _id: 'm:2' as never })).toBeNull();
  expect(await store.mark('m:2', attemptOf())).toEqual({ kind: 'marked' });
});

test('instances that mark the same message at the same time mark it as often as one', async () => {
  const markings = await Promise.all(
    Array.from({ length: 10 }, () => suspects().mark('m:3', attemptOf()).catch(String)),
  );

  const kinds = markings.map((marking) => (typeof marking === 'string' ? marking : marking.kind));
  expect(kinds.toSorted()).toEqual([...Array(7).fill('in-vain'), ...Array(attemptsMax).fill('marked')]);
});

test('what nobody has removed is removed by its age, later than the message itself can live', async () => {
  await suspects().mark('m:4', attemptOf());

  const indexes = await collection().indexes();

  const ttl = indexes.find(({ expireAfterSeconds }) => expireAfterSeconds !== undefined);
  expect(ttl).toMatchObject({ key: { markedAt: 1 } });
  expect(ttl?.expireAfterSeconds).toBeGreaterThan(14 * 86_400);
});

test('an index that is there with other options is told once, and no marker waits for it', async () => {
  const logged = collectLog();
  const other = createMongoLink({ uri: testMongoUri(), log: logged.log });
  await other.open(async () => undefined);
  await other.collection('suspects').createIndex({ markedAt: 1 }, { expireAfterSeconds: 60 });
  const store = createMongoSuspects({ link: other });

  expect(await store.mark('m:9', attemptOf())).toEqual({ kind: 'marked' });
  expect(await store.mark('m:9', attemptOf())).toEqual({ kind: 'marked' });

  expect(logged.said('database.index-refused')).toBe(1);
  await other.close();
});
