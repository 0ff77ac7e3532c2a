import type { VariantResult } from './replay-bench.ts';

interface Point {
  x: number;
  y: number;
}

interface Panel {
  left: number;
  title: string;
  xTitle: string;
  xTicks: Tick[];
  yTicks: Tick[];
  /** Both from 0 to 1, from the lower left corner. */
  lines: { className: string; points: Point[] }[];
  dots: { className: string; points: Point[] }[];
}

interface Tick {
  at: number;
  text: string;
}

const size = { width: 960, height: 440 };
const box = { top: 64, width: 380, height: 280 };
const pointsMax = 240;
/** What a latency of nothing is drawn as: a logarithm has no zero. */
const latencyFloorMs = 1;
const latencyTicks = [1, 10, 100, 1_000, 10_000, 100_000];

/**
 * Draws on the left when each event of the backlog was applied against when it came, on the right how late each live
 * event was. One colour for each variant; the colours hold on light and on dark ground.
 */
export function drawReplay(results: readonly VariantResult[]): string {
  const panels = [backlogPanel(results), livePanel(results)];
  const legend = results.map(({ variant }, index) => {
    const [x, y] = [70 + (index % 3) * 300, size.height - 40 + Math.floor(index / 3) * 20];
    const title = escapeXml(variant.title.replaceAll('`', ''));
    return `<path class="l v${index}" d="M${x} ${y - 4}h22"/><text x="${x + 28}" y="${y}">${title}</text>`;
  });
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${size.width} ${size.height}" role="img" aria-label="Applied time against original time, and how late live payments were">
<style>${styles}</style>
<rect class="ground" width="${size.width}" height="${size.height}" rx="8"/>
${panels.map(drawPanel).join('\n')}
${legend.join('\n')}
</svg>
`;
}

const styles = `
svg{--ground:#fff;--ink:#24292f;--faint:#d0d7de;--v0:#bf3989;--v1:#d1570a;--v2:#8c7400;--v3:#0969da;--v4:#1a7f37}
@media (prefers-color-scheme:dark){svg{--ground:#0d1117;--ink:#e6edf3;--faint:#30363d;--v0:#f778ba;--v1:#ff9b5e;--v2:#d8bd30;--v3:#58a6ff;--v4:#3fb950}}
text{font:12px system-ui,sans-serif;fill:var(--ink)}.t{font-weight:600;font-size:14px}.e{text-anchor:end}.m{text-anchor:middle}
.ground{fill:var(--ground)}.g{stroke:var(--faint);fill:none}.l{fill:none;stroke-width:2.2;stroke-linejoin:round}
${[0, 1, 2, 3, 4].map((n) => `.v${n}{stroke:var(--v${n})}.d${n}{fill:var(--v${n})}`).join('')}
`;

function backlogPanel(results: readonly VariantResult[]): Panel {
  const curves = results.map(({ run }) => {
    const inOrder = run.backlog.toSorted((left, right) => left.storedAt - right.storedAt);
    const cameFirst = inOrder[0]?.storedAt ?? 0;
    return inOrder.map(({ storedAt, appliedAt }) => ({
      x: storedAt - cameFirst,
      y: appliedAt - run.readyAt,
    }));
  });
  const all = curves.flat();
  const xMax = Math.max(1, ...all.map(({ x }) => x));
  const yMax = Math.max(1, ...all.map(({ y }) => y));
  return {
    left: 70,
    title: 'When each event of the backlog was applied',
    xTitle: 'when it came (s from the first)',
    xTicks: secondTicks(xMax),
    yTicks: secondTicks(yMax),
    lines: curves.map((curve, index) => ({
      className: `v${index}`,
      points: thinned(curve).map(({ x, y }) => ({ x: x / xMax, y: Math.max(0, y) / yMax })),
    })),
    dots: [],
  };
}

function livePanel(results: readonly VariantResult[]): Panel {
  const clouds = results.map(({ run }) =>
    run.live.map(({ answeredAt, appliedAt }) => ({
      x: answeredAt - run.readyAt,
      y: Math.max(latencyFloorMs, appliedAt - answeredAt),
    })),
  );
  const all = clouds.flat();
  const xMax = Math.max(1, ...all.map(({ x }) => x));
  const yMax = Math.max(10, ...all.map(({ y }) => y));
  const height = (ms: number) => Math.log10(ms / latencyFloorMs) / Math.log10(yMax / latencyFloorMs);
  return {
    left: 550,
    title: 'How late live payments were meanwhile',
    xTitle: 'when it was answered 200 (s from the return of the service)',
    xTicks: secondTicks(xMax),
    yTicks: latencyTicks
      .filter((ms) => ms <= yMax)
      .map((ms) => ({ at: height(ms), text: ms < 1_000 ? `${ms} ms` : `${ms / 1_000} s` })),
    lines: [],
    dots: clouds.map((cloud, index) => ({
      className: `d${index}`,
      points: thinned(cloud).map(({ x, y }) => ({ x: Math.max(0, x) / xMax, y: height(y) })),
    })),
  };
}

function drawPanel({ left, title, xTitle, xTicks, yTicks, lines, dots }: Panel): string {
  const bottom = box.top + box.height;
  const px = ({ x, y }: Point) => ({
    x: (left + x * box.width).toFixed(1),
    y: (bottom - y * box.height).toFixed(1),
  });
  const ticks = [
    ...xTicks.map(({ at, text }) => {
      const { x } = px({ x: at, y: 0 });
      return `<path class="g" d="M${x} ${box.top}V${bottom}"/><text class="m" x="${x}" y="${bottom + 16}">${text}</text>`;
    }),
    ...yTicks.map(({ at, text }) => {
      const { y } = px({ x: 0, y: at });
      return `<path class="g" d="M${left} ${y}h${box.width}"/><text class="e" x="${left - 6}" y="${Number(y) + 4}">${text}</text>`;
    }),
  ];
  const curves = lines.map(({ className, points }) => {
    const path = points.map(px).map(({ x, y }) => `${x} ${y}`);
    return `<path class="l ${className}" d="M${path.join('L')}"/>`;
  });
  const clouds = dots.map(({ className, points }) => {
    const circles = points.map(px).map(({ x, y }) => `<circle cx="${x}" cy="${y}" r="2"/>`);
    return `<g class="${className}">${circles.join('')}</g>`;
  });
  return [
    `<text class="t" x="${left}" y="${box.top - 24}">${escapeXml(title)}</text>`,
    ...ticks,
    `<text class="m" x="${left + box.width / 2}" y="${bottom + 34}">${escapeXml(xTitle)}</text>`,
    ...curves,
    ...clouds,
  ].join('\n');
}

/** At most seven of them, at round seconds. */
function secondTicks(maxMs: number): Tick[] {
  const steps = [0.2, 0.5, 1, 2, 5, 10, 20, 50];
  const step = steps.find((seconds) => maxMs / 1_000 / seconds <= 6) ?? 100;
  const count = Math.floor(maxMs / 1_000 / step) + 1;
  return Array.from({ length: count }, (_, index) => ({
    at: (index * step * 1_000) / maxMs,
    text: `${Number((index * step).toFixed(1))} s`,
  }));
}

function thinned(points: readonly Point[]): Point[] {
  const every = Math.max(1, Math.ceil(points.length / pointsMax));
  return points.filter((_, index) => index % every === 0 || index === points.length - 1);
}

function escapeXml(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;');
}
