import { writeFileSync } from 'node:fs'
import type { Measured } from './sections.js'

/** Seconds by number of classes, a line for each runner, as an SVG file that stands alone. */
export async function plotClasses(
  rows: readonly { labels: number; measured: readonly Measured[] }[],
  file: string,
): Promise<void> {
  const [plot, { parseHTML }] = await Promise.all([import('@observablehq/plot'), import('linkedom')])
  const { document } = parseHTML('<!doctype html><html><body></body></html>')
  const points = rows.flatMap(({ labels, measured }) => measured.map(({ runner, cpu }) => ({ labels, runner, cpu })))
  const ends = points.filter(({ labels }) => labels === rows.at(-1)?.labels)
  const xy = { x: 'labels', y: 'cpu', stroke: 'runner' }
  const figure = plot.plot({
    document,
    width: 720,
    height: 420,
    marginRight: 190,
    style: { fontSize: '12px', fontFamily: 'sans-serif', background: '#ffffff', color: '#1d1d1f' },
    x: { label: 'classes', ticks: rows.map(({ labels }) => labels), tickFormat: 'd' },
    y: { label: "the processor's seconds for one photo", grid: true, zero: true },
    marks: [
      plot.ruleY([0]),
      plot.line(points, xy),
      plot.dot(points, { ...xy, fill: 'runner', r: 3 }),
      plot.text(ends, { x: 'labels', y: 'cpu', text: 'runner', fill: 'runner', textAnchor: 'start', dx: 8 }),
    ],
  }) as unknown as { setAttribute(name: string, value: string): void; outerHTML: string }
  figure.setAttribute('xmlns', 'http://www.w3.org/2000/svg')
  writeFileSync(file, `<?xml version="1.0" encoding="UTF-8"?>\n${figure.outerHTML}\n`)
}
