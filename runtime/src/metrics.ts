import type { Express } from 'express';
import { collectDefaultMetrics, Gauge, Registry } from 'prom-client';
import { onlyMethods, type Readiness } from './app.ts';
import type { Door } from './operators.ts';

export interface MetricsRoute {
  registry: Registry;
  door: Door;
}

/** What a gauge shows: one number, or one for each value of its label. Undefined: it is not known, and left out. */
export type Figures = number | undefined | Readonly<Record<string, number | undefined>>;

export interface GaugeOptions {
  name: string;
  help: string;
  label?: string;
  /** Called for every scrape. Never rejects: one figure that is not known must not cost the others. */
  read: () => Figures | Promise<Figures>;
}

/** A registry with what both services tell alike: their process, and what `/readyz` says. */
export function createRegistry(readiness: () => Readiness): Registry {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  addGauge(registry, {
    name: 'paystream_ready',
    help: '1 when /readyz says ready.',
    read: () => Number(readiness().ready),
  });
  addGauge(registry, {
    name: 'paystream_part_ok',
    help: '1 when this part of /readyz is as it must be: the broker, the database and so on.',
    label: 'part',
    read: () =>
      Object.fromEntries(Object.entries(readiness().parts).map(([part, { ok }]) => [part, Number(ok)])),
  });
  return registry;
}

/** A gauge that is read when somebody asks, and shows nothing of before. */
export function addGauge(registry: Registry, { name, help, label, read }: GaugeOptions): void {
  new Gauge({
    name,
    help,
    labelNames: label === undefined ? [] : [label],
    registers: [registry],
    async collect() {
      const figures = await read();
      if (label === undefined) {
        if (typeof figures === 'number') this.set(figures);
        else this.remove();
        return;
      }
      this.reset();
      for (const [value, figure] of Object.entries(figures ?? {})) {
        if (figure !== undefined) this.set({ [label]: value }, figure);
      }
    },
  });
}

/**
 * `GET /metrics`, for whoever may look: it names the sources and the ids of their secrets, and tells how much passes. What
 * it tells is collected when it is asked for.
 */
export function mountMetrics(app: Express, { registry, door }: MetricsRoute): void {
  app.get('/metrics', door.needs('viewer'), async (_req, res) => {
    const text = await registry.metrics();
    res.set({ 'cache-control': 'no-store', 'content-type': registry.contentType }).send(text);
  });
  app.all('/metrics', onlyMethods('GET', 'HEAD'));
}
