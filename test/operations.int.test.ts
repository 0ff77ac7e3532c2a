import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { parser } from '@prometheus-io/lezer-promql';
import { parse } from 'yaml';
import { post, type System, startSystem, untilQuiet, webhook } from './harness.ts';
import { type Scrape, scrape, untilScraped } from './metrics-text.ts';

const folder = fileURLToPath(new URL('../docs/operations/', import.meta.url));
const read = (name: string) => readFileSync(`${folder}${name}`, 'utf8');

interface Rule {
  alert: string;
  expr: string;
  for?: string;
  labels: { severity: string };
  annotations: { summary: string };
}
const rules: Rule[] = parse(read('alerts.yaml')).groups.flatMap((group: { rules: Rule[] }) => group.rules);

interface Panel {
  title: string;
  type: string;
  description?: string;
  datasource?: { type: string; uid: string };
  targets?: { expr: string; datasource: { uid: string } }[];
}
const dashboard: {
  panels: Panel[];
  templating: { list: { name: string; type: string; query: string | { query: string } }[] };
} = JSON.parse(read('grafana-dashboard.json'));
const panels = dashboard.panels.filter(({ type }) => type !== 'row');

/** As Grafana fills it in before Prometheus reads it. */
const filledIn = (expr: string) => expr.replaceAll('$__rate_interval', '5m').replaceAll('$instance', '.*');

interface Selector {
  metric: string;
  labels: { name: string; op: string; value: string }[];
}

/** The metrics that a query asks for, by the grammar of Prometheus. Throws where it is none. */
function selectorsOf(query: string): Selector[] {
  const selectors: Selector[] = [];
  parser.parse(query).iterate({
    enter: ({ type, from, to, node }) => {
      if (type.isError) throw new Error(`not PromQL at ${from}: ${query}`);
      if (type.name !== 'VectorSelector') return;
      const textOf = (name: string, of = node) => {
        const child = of.getChild(name);
        return child === null ? '' : query.slice(child.from, child.to);
      };
      const matchers = node.getChild('LabelMatchers')?.getChildren('UnquotedLabelMatcher') ?? [];
      const labels = matchers.map((matcher) => ({
        name: textOf('LabelName', matcher),
        op: textOf('MatchOp', matcher),
        value: textOf('StringLiteral', matcher).slice(1, -1),
      }));
      const metric = textOf('Identifier');
      if (metric === '') throw new Error(`a selector without a name: ${query.slice(from, to)}`);
      selectors.push({ metric, labels });
    },
  });
  return selectors;
}

const queries = [
  ...rules.map(({ alert, expr }) => ({ where: alert, expr })),
  ...panels.flatMap(({ title, targets = [] }) =>
    targets.map(({ expr }) => ({ where: title, expr: filledIn(expr) })),
  ),
];
// What Prometheus adds to every target.
const addedLabels = new Set(['job', 'instance']);
const addedMetrics = new Set(['up']);

let system: System;
let scrapes: Scrape[];
beforeAll(async () => {
  system = await startSystem();
  const [gateway, payments] = await Promise.all([system.startGateway(), system.startPayments()]);
  await Promise.all([gateway.ready(), payments.ready()]);
  const { txId } = webhook();
  await post(gateway, webhook({ txId }));
  await post(gateway, webhook({ txId, amount: 7 }));
  await post(gateway, '{');
  await (await system.nats()).jetstream().publish('payments.new', 'no event');
  await untilQuiet(system);
  scrapes = [
    await scrape(gateway),
    await untilScraped(payments, { 'paystream_lag_messages{queue="payment"}': 0 }),
  ];
});
afterAll(() => system.close());

const samplesOf = (metric: string) =>
  scrapes.flatMap(({ samples }) => samples.filter(({ name }) => name === metric));

describe('the queries of alert rules and dashboard', () => {
  test('are many, and all are PromQL', () => {
    expect(rules.length).toBeGreaterThan(10);
    expect(panels.length).toBeGreaterThan(20);
    expect(queries.filter(({ expr }) => selectorsOf(expr).length === 0)).toEqual([]);
    expect(() => selectorsOf('sum(rate(paystream_ready[5m])')).toThrow('not PromQL');
  });

  test('ask only for metrics and labels that the running services tell', () => {
    const missing = queries.flatMap(({ where, expr }) =>
      selectorsOf(expr)
        .filter(({ metric }) => !addedMetrics.has(metric))
        .flatMap(({ metric, labels }) => {
          const samples = samplesOf(metric);
          if (samples.length === 0) return [`${where}: nobody tells ${metric}`];
          const known = new Set(samples.flatMap((sample) => Object.keys(sample.labels)));
          return labels
            .filter(({ name }) => !addedLabels.has(name) && !known.has(name))
            .map(({ name }) => `${where}: ${metric} has no label ${name}`);
        }),
    );

    expect(missing).toEqual([]);
  });

  test('ask only for values of labels that occur, where a value is a word of ours', () => {
    // Outcomes, queues, states and codes are told from the start; reasons of refusals come with the first one.
    const open = new Set(['reason', 'source', 'secret']);
    const wrong = queries.flatMap(({ where, expr }) =>
      selectorsOf(expr).flatMap(({ metric, labels }) =>
        labels
          .filter(({ name, op }) => !addedLabels.has(name) && !open.has(name) && op.startsWith('='))
          .flatMap(({ name, op, value }) => {
            const values = new Set(samplesOf(metric).map(({ labels: told }) => told[name]));
            const wanted = op === '=~' ? value.split('|') : [value];
            return wanted
              .filter((one) => !values.has(one))
              .map((one) => `${where}: ${metric} has no ${name} ${one}`);
          }),
      ),
    );

    expect(wrong).toEqual([]);
  });

  test('use every metric of ours', () => {
    const asked = new Set(queries.flatMap(({ expr }) => selectorsOf(expr).map(({ metric }) => metric)));
    const declared = new Set(scrapes.flatMap(({ types }) => [...types.keys()]));
    const parts = (metric: string) => ['', '_bucket', '_count', '_sum'].map((end) => `${metric}${end}`);

    const unused = [...declared]
      .filter((metric) => metric.startsWith('paystream_'))
      .filter((metric) => !parts(metric).some((name) => asked.has(name)));

    expect(unused).toEqual([]);
  });
});

describe('docs/operations/README.md', () => {
  const text = read('README.md');

  test('says of every alert what it means and what to do, and of no other', () => {
    const described = [...text.matchAll(/^### (Paystream\w+)$/gm)].map(([, name]) => name);

    expect(described.toSorted()).toEqual(rules.map(({ alert }) => alert).toSorted());
    for (const section of text.split(/^### /m).slice(1)) {
      expect(section).toMatch(/\*\*Means\*\*/);
      expect(section).toMatch(/\*\*Do\*\*/);
    }
  });

  test('names every metric of ours, and only those that there are', () => {
    const declared = new Set(scrapes.flatMap(({ types }) => [...types.keys()]));
    const named = new Set([...text.matchAll(/\bpaystream_[a-z_]+/g)].map(([name]) => name));

    expect([...declared].filter((name) => name.startsWith('paystream_') && !named.has(name))).toEqual([]);
    expect([...named].filter((name) => !declared.has(name))).toEqual([]);
  });
});

test('the dashboard can be imported anywhere: its data source is a variable', () => {
  expect(dashboard.templating.list[0]).toMatchObject({
    name: 'datasource',
    type: 'datasource',
    query: 'prometheus',
  });
  for (const { title, description, datasource, targets = [] } of panels) {
    expect([title, datasource?.uid]).toEqual([title, `\${datasource}`]);
    expect(targets.every((target) => target.datasource.uid === `\${datasource}`)).toBe(true);
    expect(description).toMatch(/\w/);
  }
});

test('every alert has a severity, a summary and an own name', () => {
  expect(new Set(rules.map(({ alert }) => alert)).size).toBe(rules.length);
  for (const { labels, annotations } of rules) {
    expect(['critical', 'warning']).toContain(labels.severity);
    expect(annotations.summary).toMatch(/\w/);
  }
});
