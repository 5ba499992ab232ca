// npx tsx bench/maps.ts MODEL [PRECISION]: the time and memory of maps by similarity for 20 words, beside GradCAM for 1 and 20, one thread,
// 500 x 375 pixels. Each way has a process of its own, so that its peak of memory is its own.
import { join } from 'node:path'
import type { SegmentOptions } from '../ts/index.js'
import { table } from './print.js'
import { inTurns } from './sections.js'
import { Worker } from './worker.js'

const rounds = 3
const ways: readonly { name: string; labels: number; maps: SegmentOptions['maps'] }[] = [
  { name: 'gradcam, 1 word', labels: 1, maps: 'gradcam' },
  { name: 'gradcam, 20 words', labels: 20, maps: 'gradcam' },
  { name: 'naclip, 20 words', labels: 20, maps: { preset: 'naclip' } },
  { name: 'resclip, 20 words', labels: 20, maps: { preset: 'resclip' } },
  { name: 'sc-clip, 20 words', labels: 20, maps: { preset: 'sc-clip' } },
  { name: 'naclip in windows of 224, 20 words', labels: 20, maps: { preset: 'naclip', window: 224, stride: 112 } },
]

async function main([model, precision = 'float32']: string[]): Promise<void> {
  if (!model) throw new Error('name a model: npx tsx bench/maps.ts MODEL [PRECISION]')
  const rows = []
  for (const { name, labels, maps } of ways) {
    const args = ['--import', 'tsx', join(__dirname, 'engine.ts'), model, '1', precision, '1']
    const worker = await Worker.start(name, process.execPath, args, 1)
    const [measured] = await inTurns([worker], { width: 500, height: 375, labels, maps }, rounds)
    worker.stop()
    if (measured) rows.push([name, measured.cpu.toFixed(2), measured.peakMegabytes.toFixed(0)])
  }
  table(`${model}, ${precision}, 500 x 375, one thread`, ['maps', 'CPU seconds a photo', 'peak MB of the process'], rows)
}

main(process.argv.slice(2)).catch((error: unknown) => {
  console.error((error as Error).message)
  process.exitCode = 1
})
