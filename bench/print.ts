import type { Edges, Measured } from './sections.js'

/** Columns of text, the first to the left and the others to the right. */
export function table(title: string, head: readonly string[], rows: readonly (readonly string[])[]): void {
  const all = [head, ...rows]
  const widths = head.map((_, i) => Math.max(...all.map((row) => (row[i] ?? '').length)))
  console.log(`\n${title}`)
  for (const row of all)
    console.log(
      `  ${row.map((cell, i) => (i ? cell.padStart(widths[i] as number) : cell.padEnd(widths[i] as number))).join('   ')}`,
    )
}

export const seconds = (value: number): string => (value < 0.1 ? `${(1000 * value).toFixed(1)} ms` : `${value.toFixed(3)} s`)
export const times = (value: number): string => `${value.toFixed(2)} x`

/** A row for each number of labels: seconds of each runner, and how many times faster than the first it is. */
export function printClasses(rows: readonly { labels: number; measured: readonly Measured[] }[]): void {
  const runners = rows[0]?.measured ?? []
  const head = ['classes', ...runners.flatMap(({ runner }, i) => (i ? [runner, 'times'] : [runner]))]
  const body = rows.map(({ labels, measured }) => [
    `${labels}`,
    ...measured.flatMap(({ cpu }, i) => (i ? [seconds(cpu), times((measured[0] as Measured).cpu / cpu)] : [seconds(cpu)])),
  ])
  table(`One photo, the processor's seconds; times: as fast as ${runners[0]?.runner}`, head, body)
}

export function printMemory(measured: readonly Measured[]): void {
  table(
    'Most memory held, with the runtime of each (Node, Python)',
    ['runner', 'MB'],
    measured.map(({ runner, peakMegabytes }) => [runner, peakMegabytes.toFixed(0)]),
  )
}

export function printEdges({ decode, preprocess, mask, total, share }: Edges): void {
  table(
    'A 12-megapixel JPEG through a network of 1024 pixels, the mask at 4000 x 3000',
    ['decode', 'preprocess', 'mask', 'total', 'share'],
    [[seconds(decode), seconds(preprocess), seconds(mask), seconds(total), `${(100 * share).toFixed(1)} %`]],
  )
}
