#!/usr/bin/env node
// A stand-in for the training program clip_es_train in tests of the command: it speaks the same words, and learns nothing.
// Its losses follow from the iteration, its masks are those of the validation, and its probabilities follow from the red of a pixel.
// FAKE_TRAIN=nan:N, disk:N, memory:N, kill:N, crash:N fails at iteration N; slow:N waits N milliseconds at each iteration.
const { appendFileSync, copyFileSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } = require('node:fs')
const { dirname, join } = require('node:path')

const say = (event) => process.stdout.write(`${JSON.stringify(event)}\n`)
const [fault, at] = (process.env.FAKE_TRAIN ?? 'none:0').split(':')
const padded = (iteration) => String(iteration).padStart(6, '0')

function fail(code, message) {
  say({ event: 'error', code, message })
  process.exitCode = 1
}

function misbehave(iteration) {
  if (iteration !== Number(at)) return false
  if (fault === 'kill') process.kill(process.pid, 'SIGKILL')
  if (fault === 'crash') throw new Error('a bug of the program')
  if (fault === 'nan') fail('ERR_INVALID_ARG', `the loss of iteration ${iteration} is NaN for the photos a, b`)
  if (fault === 'disk') fail('ENOSPC', 'no space left on device, write')
  if (fault === 'memory') fail('ERR_OUT_OF_MEMORY', 'memory ran out')
  return ['nan', 'disk', 'memory'].includes(fault)
}

function validate(job, iteration) {
  const pictures = job.validation.slice(0, job.pictures).map(({ name, mask }) => {
    const picture = join(job.run, 'pictures', padded(iteration), `${name}.png`)
    mkdirSync(dirname(picture), { recursive: true })
    copyFileSync(mask, picture)
    return picture
  })
  const miou = iteration / (2 * job.training.iterations)
  const iou = job.classes.map((_, value) => (value % 2 ? null : miou))
  appendFileSync(join(job.run, 'validation.jsonl'), `${JSON.stringify({ iteration, miou, iou })}\n`)
  say({ event: 'validation', iteration, miou, iou, pictures })
}

function save(job, iteration) {
  const path = join(job.run, 'checkpoints', `${padded(iteration)}.safetensors`)
  mkdirSync(dirname(path), { recursive: true })
  const weights = JSON.stringify({ classes: job.classes, network: job.network.name, iteration })
  writeFileSync(path, weights)
  writeFileSync(join(job.run, 'best.safetensors'), weights)
  say({ event: 'checkpoint', iteration, path })
}

function lastCheckpoint({ run }) {
  const folder = join(run, 'checkpoints')
  return existsSync(folder) ? Number.parseInt(readdirSync(folder).sort().at(-1) ?? '0', 10) : 0
}

async function train(job) {
  const { iterations } = job.training
  const first = lastCheckpoint(job)
  let stopped = false
  for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => (stopped = true))
  say({ event: 'start', iteration: first, parameters: 1234, device: job.device, threads: job.threads, resumed: first > 0 })
  for (let iteration = first + 1; iteration <= iterations; iteration++) {
    await new Promise((done) => setTimeout(done, fault === 'slow' ? Number(at) : 0))
    if (misbehave(iteration)) return
    const loss = 1 / iteration
    appendFileSync(join(job.run, 'log.jsonl'), `${JSON.stringify({ iteration, loss })}\n`)
    say({ event: 'iteration', iteration, loss, learningRate: 0.1, seconds: 0.01, waited: 0 })
    if (iteration % job.every.validation === 0 && job.validation.length) validate(job, iteration)
    if (stopped || iteration === iterations || iteration % job.every.checkpoint === 0) save(job, iteration)
    if (stopped) process.exit(130)
  }
  say({ event: 'end', iteration: iterations, best: job.validation.length ? { iteration: iterations, miou: 0.5 } : null })
}

function probabilities(rgb, labels) {
  const pixels = rgb.length / 3
  const values = new Float32Array(labels * pixels).fill(0.1 / (labels - 1))
  for (let i = 0; i < pixels; i++) values[Math.floor((rgb[3 * i] * labels) / 256) * pixels + i] = 0.9
  return Buffer.from(values.buffer)
}

function predict({ weights }) {
  const { classes, network } = JSON.parse(readFileSync(weights, 'utf8'))
  say({ event: 'ready', classes, network })
  let waiting = Buffer.alloc(0)
  process.stdin.on('data', (chunk) => {
    waiting = Buffer.concat([waiting, chunk])
    for (;;) {
      const end = waiting.indexOf('\n')
      if (end < 0) return
      const { id, width, height } = JSON.parse(waiting.toString('utf8', 0, end))
      const after = end + 1 + 3 * width * height
      if (waiting.length < after) return
      const rgb = waiting.subarray(end + 1, after)
      waiting = waiting.subarray(after)
      if (width === 13) say({ id, error: { code: 'ERR_OUT_OF_MEMORY', message: 'it does not like this width' } })
      else {
        say({ id, width, height, labels: classes.length })
        process.stdout.write(probabilities(rgb, classes.length))
      }
    }
  })
}

const job = JSON.parse(readFileSync(process.argv[3], 'utf8'))
if (process.argv[2] === 'train') train(job)
else predict(job)
