import type { Ranking } from './rank.js'

const row = 20 // pixels of a bar and its gap
const letter = 6.6 // pixels, about, in the chart's font

/** A bar for every candidate, as a self-contained SVG file. Observable Plot draws on linkedom's document: no browser is needed. */
export async function drawRanking(rankings: readonly Ranking[], title: string): Promise<string> {
  const [plot, { parseHTML }] = await Promise.all([import('@observablehq/plot'), import('linkedom')])
  const { document } = parseHTML('<!doctype html><html><body></body></html>')
  const bars = rankings.flatMap((ranking) =>
    ranking.candidates.map(({ name, mean }, place) => ({
      name: ranking.class === undefined ? name : `${ranking.class}: ${name}`,
      mean,
      best: place === 0,
    })),
  )
  const figure = plot.plot({
    document,
    width: 900,
    height: row * bars.length + 70,
    marginLeft: Math.min(480, 20 + letter * Math.max(...bars.map(({ name }) => name.length))),
    marginRight: 70,
    marginTop: 40,
    marginBottom: 10,
    style: { fontSize: '12px', fontFamily: 'sans-serif', background: '#ffffff', color: '#1d1d1f' },
    x: { axis: 'top', label: title, grid: true, labelAnchor: 'left', labelArrow: 'none' },
    y: { domain: bars.map(({ name }) => name), label: null, tickSize: 0 },
    marks: [
      plot.barX(bars, { x: 'mean', y: 'name', fill: ({ best }: { best: boolean }) => (best ? '#0071e3' : '#a9c9ec'), inset: 2 }),
      plot.text(bars, {
        ...{ x: 'mean', y: 'name', textAnchor: 'start' as const, dx: 5 },
        text: ({ mean }: { mean: number }) => mean.toPrecision(3),
      }),
      plot.ruleX([0]),
    ],
  }) as unknown as { setAttribute(name: string, value: string): void; outerHTML: string }
  figure.setAttribute('xmlns', 'http://www.w3.org/2000/svg')
  return `<?xml version="1.0" encoding="UTF-8"?>\n${figure.outerHTML}\n`
}
