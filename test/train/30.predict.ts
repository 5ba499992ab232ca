// The subcommand `predict` of the training program.
import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process'
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import sharp from 'sharp'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { drawSet, makeJob, program, type Sample, start, temporaryFolder } from './support.js'

const folder = temporaryFolder()
test.after(folder.remove)
let samples: Sample[]
let weights: string
test.before(async () => {
  samples = await drawSet(join(folder.path, 'set'), 10)
  const job = makeJob(join(folder.path, 'run'), samples, { every: { log: 50, checkpoint: 200, validation: 200 } })
  Object.assign(job.training, { iterations: 120, batch: 5, accumulate: 1, learningRate: 0.05 })
  assert.is((await start(job)).status, 0)
  weights = join(job.run, 'best.safetensors')
})

function predictor(changes: Record<string, unknown> = {}): ChildProcessWithoutNullStreams {
  const file = join(folder.path, 'predict.json')
  writeFileSync(file, JSON.stringify({ version: 1, weights, scales: [1], flip: true, device: 'cpu', threads: 1, ...changes }))
  return spawn(program, ['predict', file])
}

async function outputOf(child: ChildProcessWithoutNullStreams): Promise<{ output: Buffer; status: number }> {
  const parts: Buffer[] = []
  child.stdout.on('data', (part) => parts.push(part))
  const [status] = await once(child, 'close')
  return { output: Buffer.concat(parts), status }
}

/** Cuts a line and, if it announces them, the probabilities after it. */
function take(output: Buffer): { line: Record<string, number>; values: Float32Array; rest: Buffer } {
  const end = output.indexOf(10)
  const line = JSON.parse(output.subarray(0, end).toString())
  const count = (line.labels ?? 0) * (line.width ?? 0) * (line.height ?? 0)
  const data = output.subarray(end + 1, end + 1 + 4 * count)
  return { line, values: new Float32Array(new Uint8Array(data).buffer), rest: output.subarray(end + 1 + 4 * count) }
}

test('predictions come in the order of the requests, as probabilities that find the objects', async () => {
  const child = predictor()
  const result = outputOf(child)
  for (const [id, sample] of samples.entries()) {
    child.stdin.write(`${JSON.stringify({ id, width: 48, height: 48 })}\n`)
    child.stdin.write(await sharp(sample.photo).removeAlpha().raw().toBuffer())
  }
  child.stdin.end()
  const { output, status } = await result
  assert.is(status, 0)
  let { line, values, rest } = take(output)
  assert.equal(line as unknown, { event: 'ready', classes: ['background', 'square', 'disc'], network: 'small' })
  let right = 0
  for (const [id, sample] of samples.entries()) {
    ;({ line, values, rest } = take(rest))
    assert.equal(line, { id, width: 48, height: 48, labels: 3 })
    const mask = await sharp(sample.mask).toColourspace('b-w').raw().toBuffer()
    for (let i = 0; i < mask.length; i++) {
      const scores = [0, 1, 2].map((k) => values[k * mask.length + i] as number)
      assert.ok(Math.abs(scores.reduce((a, b) => a + b) - 1) < 1e-4)
      if (scores.indexOf(Math.max(...scores)) === mask[i]) right++
    }
  }
  assert.is(rest.length, 0)
  assert.ok(right > 0.95 * samples.length * 48 * 48, `${right} pixels are right`)
})

test('input that is not a request ends the program with the reason', async () => {
  for (const [input, reason] of [
    ['hello\n', /not valid JSON/],
    ['{"id":1,"width":0,"height":4}\n', /width is 0/],
    ['{"id":1,"width":4,"height":4}\nabc', /ended inside the pixels of request 1/],
  ] as const) {
    const child = predictor()
    const result = outputOf(child)
    child.stdin.end(input)
    const { output, status } = await result
    assert.is(status, 1)
    assert.match(take(take(output).rest).line.message as unknown as string, reason)
  }
})

test('a file without weights of this program is refused', async () => {
  const { output, status } = await outputOf(predictor({ weights: samples[0]?.photo }))
  assert.is(status, 1)
  assert.match(output.toString(), /scene-0-photo\.png is not a valid safetensors file/)
})

test.run()
