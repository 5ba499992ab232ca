import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { Evaluator } from '../../cli/src/eval/evaluation.js'
import { drawRanking } from '../../cli/src/prompts/chart.js'
import { drawCharts } from '../../cli/src/report/charts.js'

/** Figures of one picture in which every label has a few pixels, and some are taken for the next. */
function evaluationOf(names: readonly string[]) {
  const evaluator = new Evaluator(names, 0.02)
  const truth = Uint8Array.from({ length: 4 * names.length }, (_, i) => Math.floor(i / 4))
  const mask = truth.map((value, i) => (i % 4 ? value : (value + 1) % names.length))
  evaluator.add('one', mask, truth, 4, names.length)
  return {
    ...{ format: 1 as const, version: '', results: '', truth: '', list: '', what: 'masks' as const, failures: [] },
    ...evaluator.figures(),
  }
}

const count = (text: string, part: RegExp): number => text.match(part)?.length ?? 0

test('of many labels those with most pixels are shown, and long names are shortened and stay distinct', async () => {
  const long = 'a class that is called by a whole sentence: number'
  const names = ['background', `${long} one`, `${long} two`, ...Array.from({ length: 78 }, (_, i) => `class ${i}`)]
  const { confusion } = await drawCharts(evaluationOf(names), undefined)
  assert.is(count(confusion, /<rect /g), 2 * 24 * 24)
  assert.is(count(confusion, />a class that is called…</g), 4, 'two rows and two columns')
  assert.not.match(confusion, /whole sentence/)
  const [, width, height] = /viewBox="0 0 ([\d.]+) ([\d.]+)"/.exec(confusion) ?? []
  assert.ok(Number(width) > 24 * 30 + 100 && Number(height) > 24 * 30 + 100, 'there is room for the names')
})

test('the curve of a single picture falls to zero where the picture is', async () => {
  const { pictures } = await drawCharts(evaluationOf(['background', 'cat']), undefined)
  assert.match(pictures, /half above 60\.0/) // of 4 pixels 3 are right: 3 / 5
  const [line] = [...pictures.matchAll(/ d="(M[^"]*)"/g)].map(([, path]) => path as string).filter((path) => !path.endsWith('Z'))
  const heights = (line ?? '')
    .split(/[ML]/)
    .slice(1)
    .map((point) => Number(point.split(',')[1]))
  assert.is(heights[0], Math.min(...heights))
  assert.is(heights.at(-1), Math.max(...heights))
})

test('the chart of a search names its best rule', async () => {
  const search = [0.1, 0.2, 0.3].map((threshold) => ({ rule: { threshold }, miou: threshold * 2, pixelAccuracy: 0 }))
  const { thresholds, powers } = await drawCharts(evaluationOf(['background', 'cat']), search)
  assert.match(thresholds ?? '', />60\.0 at 0\.3</)
  assert.is(powers, undefined)
})

test('a ranking is a bar with its mean for each candidate, and the best of each question is darker', async () => {
  const figures = (name: string, mean: number) => ({ name, mean, sum: 0, photos: 1, probability: 0.5 })
  const svg = await drawRanking(
    [
      { candidates: [figures('a {}', 0.51239), figures('the {}', 0.25)] },
      { class: 'cat', candidates: [figures('kitty', 12345.6), figures('tomcat', 1)] },
    ],
    'sharpness <less is better>',
  )
  assert.match(svg, /^<\?xml version="1.0" encoding="UTF-8"\?>\n<svg [^>]*xmlns="http:\/\/www.w3.org\/2000\/svg"/)
  for (const text of ['>0.512<', '>0.250<', '>1.23e+4<', '>1.00<', '>a {}<', '>cat: kitty<', '>cat: tomcat<', 'sharpness &lt;'])
    assert.ok(svg.includes(text), text)
  assert.equal([count(svg, /fill="#0071e3"/g), count(svg, /fill="#a9c9ec"/g)], [2, 2])
})

test.run()
