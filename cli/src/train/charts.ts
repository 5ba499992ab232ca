import { accent, drawing, frame, halo, type Plot } from '../report/charts.js'

interface Point {
  x: number
  y: number
}

const mostPoints = 400

/** At most `mostPoints` points: means of neighbours. Losses of single batches would only draw a thick band. */
export function thinned(points: readonly Point[]): Point[] {
  const size = Math.ceil(points.length / mostPoints)
  const mean = (values: number[]) => values.reduce((sum, value) => sum + value, 0) / values.length
  return Array.from({ length: Math.ceil(points.length / size) || 0 }, (_, i) => {
    const part = points.slice(i * size, (i + 1) * size)
    return { x: mean(part.map(({ x }) => x)), y: mean(part.map(({ y }) => y)) }
  })
}

/** The curves of a run as SVG texts; undefined where there is nothing to draw yet. */
export interface TrainCharts {
  loss?: string
  miou?: string
}

/** @param losses and @param mious (in percent) over iterations */
export async function drawTrainCharts(losses: readonly Point[], mious: readonly Point[]): Promise<TrainCharts> {
  const { plot, draw } = await drawing()
  return {
    ...(losses.length && { loss: draw(lossChart(plot, thinned(losses))) }),
    ...(mious.length && { miou: draw(miouChart(plot, mious)) }),
  }
}

const iterations = { label: 'Iteration', grid: true, ticks: 5 }

const lossChart = (plot: Plot, points: Point[]) => ({
  ...frame,
  x: iterations,
  y: { label: 'Loss', grid: true, zero: true },
  marks: [plot.line(points, { x: 'x', y: 'y', stroke: accent, strokeWidth: 1.5 }), plot.ruleY([0])],
})

function miouChart(plot: Plot, points: readonly Point[]) {
  const best = points.reduce((a, b) => (b.y > a.y ? b : a))
  const textAnchor = points.indexOf(best) > points.length / 2 ? ('end' as const) : ('start' as const) // within the frame
  return {
    ...frame,
    x: iterations,
    y: { label: 'Validation mIoU (%)', grid: true, zero: true },
    marks: [
      plot.line(points, { x: 'x', y: 'y', stroke: accent, strokeWidth: 2 }),
      plot.dot([best], { x: 'x', y: 'y', fill: accent, r: 5 }),
      plot.text([best], {
        ...{ x: 'x', y: 'y', dy: -14, fontWeight: 600, textAnchor, ...halo },
        text: ({ x, y }: Point) => `${y.toFixed(1)} at ${x}`,
      }),
      plot.ruleY([0]),
    ],
  }
}
