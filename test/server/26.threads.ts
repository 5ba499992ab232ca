// The threads that make answers: one that dies fails the answer that it was making, and nothing else.
import workers from 'node:worker_threads'
import sharp from 'sharp'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { RunningServer } from '../../server/src/index.js'

/** The threads that have been started. The server is loaded below, when this is in place. */
const started: workers.Worker[] = []
let limits: workers.ResourceLimits | undefined
const { Worker } = workers
workers.Worker = class extends Worker {
  constructor(file: string | URL, options?: workers.WorkerOptions) {
    super(file, { ...options, ...(limits && { resourceLimits: limits }) })
    started.push(this)
  }
}

const support = import('./support.js')
let server: RunningServer
test.before(async () => {
  server = await (await support).startServer({ limits: { requestTime: 10_000 } })
})
test.after(async () => await server.close())

const ask = async (): Promise<Response> => {
  const { post, sceneFile } = await support
  return await post(server, '/v1/segment?classes=emoji&format=json', sceneFile('scene01'))
}

test('a thread without the memory for an answer: an error for this one, and another thread for the next', async () => {
  const { problem, sceneFile, postJson } = await support
  const photo = await sharp(sceneFile('scene01')).resize(2400, 1800, { fit: 'fill' }).jpeg().toBuffer()
  limits = { maxOldGenerationSizeMb: 20 }
  const answer = await postJson(server, '/cvat?labels=panda,television', {
    image: photo.toString('base64'),
    classes: ['panda', 'television'],
  })
  limits = undefined
  const { requestId } = await problem(answer, 500)
  assert.ok(requestId, 'the log says more')
  assert.is((await ask()).status, 200)
  assert.is(started.length, 2)
})

test('a thread that ends while it has nothing to do', async () => {
  const count = started.length
  await started.at(-1)?.terminate()
  assert.is((await ask()).status, 200)
  assert.is(started.length, count + 1)
})

test('a thread that ends while it starts: its request ends by its time limit, and the next one is answered', async () => {
  const { problem, until } = await support
  await started.at(-1)?.terminate()
  const count = started.length
  const lost = ask()
  await until(() => started.length > count)
  await started.at(-1)?.terminate()
  assert.is((await problem(await lost, 503)).code, 'ERR_REQUEST_TIME')
  assert.is((await ask()).status, 200)
})

test.run()
