// Which model load() takes when no model is named, and the warning about the embedded one.
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { folder } from './models.js'
import { inChild, modelPath, otherModelPath, root } from './support.js'

const loadTwice = (path: string) => `
  const first = await clip.Segmenter.load(${path})
  const second = await clip.Segmenter.load(${path}, { threads: 1 })
  await Promise.all([first.close(), second.close()])
  return second.model.path`

test('the embedded model emits one process warning, and only if no model was named', () => {
  const withWarnings = `
    const warnings = []
    process.on('warning', ({ name, code, message }) => warnings.push({ name, code, message }))
    const path = await (async () => { ${loadTwice('undefined')} })()
    return { path, warnings }`
  type Warned = { path: string; warnings: { name: string; code: string; message: string }[] }
  for (const unnamed of [undefined, '']) {
    const { result, stderr } = inChild(withWarnings, { CLIP_ES_MODEL: unnamed })
    const { path, warnings } = result as Warned
    assert.is(path, modelPath)
    assert.equal(
      warnings.map(({ name, code }) => [name, code]),
      [['Warning', 'CLIP_ES_DEMO_MODEL']],
    )
    assert.match(warnings[0]?.message ?? '', /^clip-es: using the embedded demo model, .*not photographs/)
    assert.match(stderr, /^\(node:\d+\) \[CLIP_ES_DEMO_MODEL\] Warning: clip-es: using the embedded demo model/)
  }
  assert.equal(inChild(loadTwice('undefined'), { CLIP_ES_MODEL: undefined, NODE_NO_WARNINGS: '1' }), {
    result: modelPath,
    stderr: '',
  })
  const named = inChild(loadTwice(JSON.stringify(modelPath)), { CLIP_ES_MODEL: undefined })
  assert.equal(named, { result: modelPath, stderr: '' })
})

test('the warning appears once in a process, whichever thread loads the model first', () => {
  const body = `
    const { Worker } = require('node:worker_threads')
    const source = 'require(${JSON.stringify(join(root, 'dist/index.js'))}).Segmenter.load(undefined, { threads: 1 }).then((one) => one.close())'
    const work = () => new Promise((done, failed) => new Worker(source, { eval: true }).on('error', failed).on('exit', done))
    const ended = await Promise.all([work(), work()])
    await clip.Segmenter.load().then((one) => one.close())
    return [...ended, await work()]`
  const { result, stderr } = inChild(body, { CLIP_ES_MODEL: undefined })
  assert.equal(result, [0, 0, 0])
  assert.is(stderr.match(/using the embedded demo model/g)?.length, 1, stderr)
})

test('$CLIP_ES_MODEL is used only if load() is called without a model', () => {
  const environment = { CLIP_ES_MODEL: otherModelPath }
  assert.equal(inChild(loadTwice('undefined'), environment), { result: otherModelPath, stderr: '' })
  assert.equal(inChild(loadTwice(JSON.stringify(modelPath)), environment), { result: modelPath, stderr: '' })
  const { error } = inChild(loadTwice('undefined'), { CLIP_ES_MODEL: join(folder, 'nothing.pt') })
  assert.is(error?.code, 'ERR_MODEL_READ')
  assert.match(error?.message ?? '', join(folder, 'nothing.pt'))
})

test.run()
