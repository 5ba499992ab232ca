// Segmenters begin and end: closed, at the same time, in worker threads that end by themselves or are terminated at work.
const assert = require('node:assert/strict')
const { Worker, isMainThread, parentPort, workerData } = require('node:worker_threads')
const { load, photo, words } = require('./support.cjs')

async function use() {
  const segmenter = await load()
  const { mask } = await segmenter.segment(photo(160, 120), await words(segmenter))
  await segmenter.close()
  return Buffer.from(mask)
}

async function neverEnd() {
  const segmenter = await load({ threads: 1 })
  const classes = await words(segmenter)
  parentPort.postMessage('at work')
  for (;;) await segmenter.segment(photo(48, 48), classes)
}

const messageOf = (worker) =>
  new Promise((done, failed) => {
    worker.once('message', done)
    worker.once('error', failed)
  })

async function main() {
  const first = await use()
  for (const mask of await Promise.all([use(), use(), use()])) assert.deepEqual(mask, first)

  const worker = new Worker(__filename, { workerData: 'use' })
  assert.deepEqual(Buffer.from(await messageOf(worker)), first)

  const busy = new Worker(__filename, { workerData: 'never end' })
  await messageOf(busy)
  await busy.terminate()
  assert.deepEqual(await use(), first)

  const segmenter = await load()
  const classes = await words(segmenter)
  const waiting = Array.from({ length: 5 }, () => segmenter.segment(photo(160, 120), classes))
  const closed = segmenter.close()
  const ends = await Promise.allSettled(waiting)
  await closed
  for (const { status, reason } of ends) assert.ok(status === 'fulfilled' || reason.code === 'ERR_CLOSED', String(reason))
  console.log('lifecycle: done')
}

if (isMainThread) main()
else if (workerData === 'use') use().then((mask) => parentPort.postMessage(mask))
else neverEnd()
