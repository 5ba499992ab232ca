import type { Evaluation } from '../eval/evaluation.js'
import type { RuleScore } from '../metrics/cam_rule.js'

export type Plot = typeof import('@observablehq/plot', { with: { 'resolution-mode': 'import' }})

/** The charts of a page, as SVG texts. Percent on the axes. */
export interface Charts {
  /** Shares of the pictures whose mIoU is at least x. */
  pictures: string
  /** What is taken for what: rows are the truth's labels, in percent of their pixels. */
  confusion: string
  /** mIoU over background thresholds and powers, where a search was made. */
  thresholds?: string
  powers?: string
}

export const accent = 'var(--accent)'
const style = { fontSize: '12px' }
export const frame = { width: 380, height: 290, marginLeft: 44, marginTop: 44, marginBottom: 40, style }
export const halo = { fill: 'currentColor', stroke: 'var(--card)', strokeWidth: 4 } // keeps a text apart from the lines behind it
const most = 24 // labels of a confusion matrix that can still be read
const letter = 6.6 // pixels, about, in a chart's font

/** A name as an axis can show it. */
const shortened = (name: string): string => (name.length > 24 ? `${name.slice(0, 23).trimEnd()}…` : name)

/** Draws without a browser: Observable Plot on linkedom's document. */
export async function drawing(): Promise<{ plot: Plot; draw: (options: Parameters<Plot['plot']>[0]) => string }> {
  const [plot, { parseHTML }] = await Promise.all([import('@observablehq/plot'), import('linkedom')])
  const { document } = parseHTML('<!doctype html><html><body></body></html>')
  const draw = (options: Parameters<Plot['plot']>[0]): string => {
    const figure = plot.plot({ document, ...options }) as unknown as { outerHTML: string }
    return figure.outerHTML
  }
  return { plot, draw }
}

export async function drawCharts(evaluation: Evaluation, search: readonly RuleScore[] | undefined): Promise<Charts> {
  const { plot, draw } = await drawing()
  const thresholds = search?.flatMap(({ rule, miou }) => ('threshold' in rule ? [{ x: rule.threshold, y: 100 * miou }] : []))
  const powers = search?.flatMap(({ rule, miou }) =>
    'power' in rule && rule.power > 0 ? [{ x: rule.power, y: 100 * miou }] : [],
  )
  return {
    pictures: draw(picturesChart(plot, evaluation)),
    confusion: draw(confusionChart(plot, evaluation)),
    ...(thresholds?.length && { thresholds: draw(curve(plot, thresholds, { label: 'Background threshold' })) }),
    ...(powers?.length && {
      powers: draw(curve(plot, powers, { label: 'Background power', type: 'log', ticks: 6, tickFormat: '~g' })),
    }),
  }
}

function picturesChart(plot: Plot, { perImage }: Evaluation) {
  const sorted = perImage.map(({ miou }) => 100 * miou).sort((a, b) => a - b)
  const reached = sorted.map((x, i) => ({ x, y: (100 * (sorted.length - i)) / sorted.length }))
  const points = [{ x: 0, y: 100 }, ...reached, { x: 100, y: 0 }]
  const middle = sorted[Math.floor(sorted.length / 2)] as number
  const beside = middle < 60 ? { textAnchor: 'start' as const, dx: 6 } : { textAnchor: 'end' as const, dx: -6 }
  return {
    ...frame,
    x: { domain: [0, 100], label: 'mIoU of a picture, at least (%)', grid: true },
    y: { domain: [0, 100], label: 'Pictures (%)', grid: true },
    marks: [
      plot.areaY(points, { x: 'x', y: 'y', curve: 'step-before', fill: accent, fillOpacity: 0.12 }),
      plot.line(points, { x: 'x', y: 'y', curve: 'step-before', stroke: accent, strokeWidth: 2 }),
      plot.ruleX([middle], { strokeDasharray: '4 3', strokeOpacity: 0.6 }),
      plot.text([{ x: middle }], {
        ...{ x: 'x', frameAnchor: 'top' as const, ...beside, ...halo, dy: 4 },
        text: () => `half above ${middle.toFixed(1)}`,
      }),
      plot.ruleY([0]),
    ],
  }
}

function curve(plot: Plot, points: { x: number; y: number }[], x: object) {
  const sorted = points.toSorted((a, b) => a.x - b.x)
  const best = points.reduce((a, b) => (b.y > a.y ? b : a))
  const place = sorted.indexOf(best) / sorted.length
  const textAnchor = place < 0.2 ? 'start' : place > 0.8 ? 'end' : 'middle' // within the frame
  return {
    ...frame,
    x: { grid: true, ...x },
    y: { label: 'mIoU (%)', grid: true, nice: true },
    marks: [
      plot.line(sorted, { x: 'x', y: 'y', stroke: accent, strokeWidth: 2 }),
      plot.dot([best], { x: 'x', y: 'y', fill: accent, r: 5 }),
      plot.text([best], {
        ...{ x: 'x', y: 'y', dy: -14, fontWeight: 600, textAnchor, ...halo },
        text: ({ x: at, y }: { x: number; y: number }) => `${y.toFixed(1)} at ${at}`,
      }),
    ],
  }
}

/** The labels with most pixels in the truths, or that the masks mistake most. */
function confusionChart(plot: Plot, { labels, confusion }: Evaluation) {
  const shown = labels
    .filter(({ truth, found }) => truth > 0 || found > 0)
    .sort((a, b) => b.truth - a.truth)
    .slice(0, most)
    .sort((a, b) => a.value - b.value)
  const cells = shown.flatMap((row) =>
    shown.map((column) => {
      const count = confusion[row.value]?.[column.value] ?? 0
      return { truth: row.value, found: column.value, share: row.truth ? (100 * count) / row.truth : 0 }
    }),
  )
  const domain = shown.map(({ value }) => value) // not the names, two of which may be short for the same
  const tickFormat = (value: number): string => shortened(labels[value]?.name ?? '')
  const longest = letter * Math.max(...domain.map((value) => tickFormat(value).length))
  const side = 30 * domain.length
  const margins = { marginLeft: longest + 20, marginTop: 0.75 * longest + 30, marginRight: 0.75 * longest + 20, marginBottom: 20 }
  return {
    ...{ width: side + margins.marginLeft + margins.marginRight, height: side + margins.marginTop + 20, style, ...margins },
    x: { domain, axis: 'top' as const, tickRotate: -45, label: null, tickSize: 0, tickFormat },
    y: { domain, label: null, tickSize: 0, tickFormat },
    marks: [
      plot.cell(cells, {
        x: 'found',
        y: 'truth',
        fill: accent,
        fillOpacity: ({ share }: { share: number }) => share / 100,
        inset: 1,
      }),
      plot.cell(cells, { x: 'found', y: 'truth', stroke: 'currentColor', strokeOpacity: 0.08, inset: 1 }),
      plot.text(
        cells.filter(({ share }) => share >= 0.5),
        {
          x: 'found',
          y: 'truth',
          text: ({ share }: { share: number }) => share.toFixed(0),
          fontSize: 11,
          fill: ({ share }) => (share > 55 ? 'var(--card)' : 'var(--ink)'),
        },
      ),
    ],
    opacity: { type: 'identity' as const },
  }
}
