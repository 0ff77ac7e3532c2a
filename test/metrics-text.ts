import type { Service } from '@paystream/local';
import { eventually, get } from './harness.ts';

export interface Sample {
  name: string;
  labels: Record<string, string>;
  value: number;
}

/** What a service says of itself at one moment, read as strictly as the text format of Prometheus is defined. */
export interface Scrape {
  /** The type of every metric that is declared. */
  types: Map<string, string>;
  helps: Map<string, string>;
  samples: Sample[];
  text: string;
  /** The sum over all samples of that name with these labels; undefined: there is none. */
  value(name: string, labels?: Record<string, string>): number | undefined;
  /** The values of a label that occur. */
  labelValues(name: string, label: string): string[];
}

const nameRule = '[a-zA-Z_:][a-zA-Z0-9_:]*';
const helpLine = new RegExp(`^# HELP (${nameRule}) (.+)$`);
const typeLine = new RegExp(`^# TYPE (${nameRule}) (counter|gauge|histogram|summary|untyped)$`);
const sampleLine = new RegExp(`^(${nameRule})(?:\\{(.*)\\})? (-?[0-9.e+-]+|[+-]Inf|Nan)$`);
const labelPair = /([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"(?:,|$)/y;

/** Throws at the first line that a Prometheus would not take. */
export function parseScrape(text: string): Scrape {
  const types = new Map<string, string>();
  const helps = new Map<string, string>();
  const samples: Sample[] = [];
  const seen = new Set<string>();
  if (!text.endsWith('\n')) throw new Error('the last line has no end');
  for (const line of text.slice(0, -1).split('\n')) {
    if (line === '') continue;
    const [, helped, help] = helpLine.exec(line) ?? [];
    const [, typed, type] = typeLine.exec(line) ?? [];
    if (helped !== undefined && help !== undefined) helps.set(helped, help);
    else if (typed !== undefined && type !== undefined) {
      if (types.has(typed)) throw new Error(`declared twice: ${line}`);
      types.set(typed, type);
    } else {
      const sample = parseSample(line);
      const declared = types.get(sample.name) ?? types.get(sample.name.replace(/_(bucket|sum|count)$/, ''));
      if (declared === undefined) throw new Error(`declared nowhere: ${line}`);
      const key = JSON.stringify([sample.name, Object.entries(sample.labels).toSorted()]);
      if (seen.has(key)) throw new Error(`told twice: ${line}`);
      seen.add(key);
      samples.push(sample);
    }
  }
  const matching = (name: string, labels: Record<string, string> = {}) =>
    samples.filter(
      (sample) =>
        sample.name === name &&
        Object.entries(labels).every(([label, value]) => sample.labels[label] === value),
    );
  return {
    types,
    helps,
    samples,
    text,
    value: (name, labels) => {
      const found = matching(name, labels);
      return found.length === 0 ? undefined : found.reduce((sum, { value }) => sum + value, 0);
    },
    labelValues: (name, label) => [...new Set(matching(name).flatMap(({ labels }) => labels[label] ?? []))],
  };
}

function parseSample(line: string): Sample {
  const [, name, pairs = '', number] = sampleLine.exec(line) ?? [];
  if (name === undefined || number === undefined) throw new Error(`not a sample: ${line}`);
  const labels: Record<string, string> = {};
  labelPair.lastIndex = 0;
  let end = 0;
  while (end < pairs.length) {
    const [, label, value] = labelPair.exec(pairs) ?? [];
    if (label === undefined || value === undefined) throw new Error(`not labels: ${line}`);
    labels[label] = value;
    end = labelPair.lastIndex;
  }
  const value = number.endsWith('Inf') ? Number(`${number}inity`) : Number(number);
  return { name, labels, value };
}

export async function scrape(service: Service): Promise<Scrape> {
  const { status, body } = await get(service, '/metrics');
  if (status !== 200) throw new Error(`/metrics answered ${status}`);
  return parseScrape(String(body));
}

/** Scrapes until it is so; fails with what was different last. */
export async function untilScraped(
  service: Service,
  wanted: Record<string, number>,
  within = 20_000,
): Promise<Scrape> {
  let last: Scrape | undefined;
  await eventually(
    async () => {
      last = await scrape(service);
      return differences(last, wanted);
    },
    { within, every: 50, until: (missing) => Object.keys(missing).length === 0 },
  );
  if (last === undefined) throw new Error('nothing was scraped');
  return last;
}

/** Of `name{label="value"}` and what it should be: what it is instead. */
function differences(seen: Scrape, wanted: Record<string, number>): Record<string, number | undefined> {
  const found = Object.entries(wanted).map(([text, value]) => {
    const { name, labels } = parseSample(`${text} ${value}`);
    return [text, seen.value(name, labels), value] as const;
  });
  return Object.fromEntries(found.filter(([, is, should]) => is !== should).map(([text, is]) => [text, is]));
}
