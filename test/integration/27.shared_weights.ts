// Weights are shared within the process, and among processes through files in weightsFolder.
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { answers, folder } from './models.js'
import { inChild, load, modelPath } from './support.js'

test('segmenters of one archive share its weights, also in worker threads', () => {
  const { result } = inChild(`
    const { Worker } = require('node:worker_threads')
    const options = { precision: 'float32', threads: 1 }
    const one = await clip.Segmenter.load(options)
    const two = await clip.Segmenter.load(options)
    const worker = new Worker(\`
      require('tsx/cjs')
      const { Segmenter } = require(\${JSON.stringify(require.resolve(${JSON.stringify(join(__dirname, '../../ts/index.ts'))}))})
      Segmenter.load({ precision: 'float32', threads: 1 }).then(({ model }) => require('node:worker_threads').parentPort.postMessage(model.weightsFrom))
    \`, { eval: true })
    const inWorker = await new Promise((done, failed) => worker.on('message', done).on('error', failed))
    await worker.terminate()
    await one.close()
    await two.close()
    const three = await clip.Segmenter.load(options)
    return [one.model.weightsFrom, two.model.weightsFrom, inWorker, three.model.weightsFrom]`)
  assert.equal(result, ['archive', 'memory', 'memory', 'archive'])
})

test('a weights file is written once, then mapped, with the same results; a damaged one is written again', async () => {
  const weightsFolder = join(folder, 'new', 'weights')
  const first = await load(modelPath, { weightsFolder: pathToFileURL(weightsFolder) })
  assert.is(first.model.weightsFrom, 'archive')
  const [name, ...others] = readdirSync(weightsFolder)
  assert.equal(others, [])
  assert.match(name as string, new RegExp(`^${first.model.fingerprint}-float32-[a-z0-9_]+\\.weights$`))
  const expected = await answers(first)
  await first.close()
  const second = await load(modelPath, { weightsFolder })
  assert.is(second.model.weightsFrom, 'file')
  assert.equal(await answers(second), expected)
  await second.close()
  const file = join(weightsFolder, name as string)
  const whole = readFileSync(file)
  writeFileSync(file, whole.subarray(0, whole.length - 64))
  const third = await load(modelPath, { weightsFolder })
  assert.is(third.model.weightsFrom, 'archive')
  assert.equal(readFileSync(file), whole)
  await third.close()
})

test('a folder that cannot be used gives a warning with the reason, and the model is loaded', async () => {
  const file = join(folder, 'a-file')
  writeFileSync(file, '')
  const weightsFolder = join(file, 'below')
  const warning = new Promise<Error>((done) => process.once('warning', done))
  const segmenter = await load(modelPath, { weightsFolder })
  assert.is(segmenter.model.weightsFrom, 'archive')
  const { message } = await warning
  assert.match(
    message,
    /the model was loaded from its archive, because the weights file .*below.* cannot be written: Not a directory/,
  )
  assert.not(existsSync(weightsFolder))
  await segmenter.close()
})

test('processes that write the same file at the same time leave one whole file', async () => {
  const weightsFolder = join(folder, 'together')
  mkdirSync(weightsFolder)
  const { result } = inChild(`
    const { spawn } = require('node:child_process')
    const code = \`const { Segmenter } = require(\${JSON.stringify(require.resolve(${JSON.stringify(join(__dirname, '../../ts/index.ts'))}))})
      Segmenter.load({ precision: 'float32', threads: 1, weightsFolder: ${JSON.stringify(weightsFolder)} }).then((s) => s.close())\`
    const one = () => new Promise((done) => spawn(process.execPath, ['--import', 'tsx', '-e', code], { stdio: 'inherit' }).on('close', done))
    return await Promise.all([one(), one(), one()])`)
  assert.equal(result, [0, 0, 0])
  assert.is(readdirSync(weightsFolder).length, 1)
  const segmenter = await load(modelPath, { weightsFolder })
  assert.is(segmenter.model.weightsFrom, 'file')
  await segmenter.close()
})

test("with priority 'low' the computing threads have a lower priority than the event loop, with 'normal' the same", () => {
  const { result } = inChild(`
    const { readdirSync, readFileSync } = require('node:fs')
    const nice = () => readdirSync('/proc/self/task').map((task) => {
      try { return Number(readFileSync('/proc/self/task/' + task + '/stat', 'utf8').split(') ').at(-1).split(' ')[16]) } catch { return 0 }
    })
    const loop = Number(readFileSync('/proc/self/stat', 'utf8').split(') ').at(-1).split(' ')[16])
    const lowered = () => nice().filter((value) => value > loop).length
    const before = lowered()
    const normal = await clip.Segmenter.load({ threads: 3, priority: 'normal' })
    const afterNormal = lowered()
    const low = await clip.Segmenter.load({ threads: 3 })
    return [before, afterNormal, lowered() >= 3]`)
  assert.equal(result, [0, 0, true])
})

test.run()
