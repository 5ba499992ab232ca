// The queue of the server, by a clock that stands still, and what /metrics says of it.
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { Metrics } from '../../server/src/service/metrics.js'
import { WorkQueue } from '../../server/src/service/queue.js'
import type { Service, ServiceResult } from '../../server/src/service/service.js'

const signal = () => new AbortController().signal
const now = performance.now.bind(performance)
let clock = 1000
test.before(() => {
  performance.now = () => clock
})
test.after(() => {
  performance.now = now
})

/** Work that ends when it is told to. */
function work() {
  let end = () => {}
  const ended = new Promise<void>((resolve) => {
    end = resolve
  })
  return { end, run: () => ended }
}

const turns = async (): Promise<void> => {
  for (let i = 0; i < 10; i++) await Promise.resolve()
}

/** Ends works one after another, each after so many milliseconds. */
async function endAll(works: { end: () => void }[], milliseconds: number): Promise<void> {
  for (const { end } of works) {
    clock += milliseconds
    end()
    await turns()
  }
}

test('places are taken in order, and a request that finds no room is refused', async () => {
  const queue = new WorkQueue(2, 1)
  const [first, second, third] = [work(), work(), work()]
  const waits: number[] = []
  const all = [first, second, third].map(({ run }) => queue.run(signal(), run, (waited) => waits.push(waited)))
  assert.equal([queue.running, queue.waiting, queue.isFull], [2, 1, true])
  const refused = await queue.run(signal(), async () => {}).catch((error: { code: string; message: string }) => error)
  assert.is((refused as { code: string }).code, 'ERR_QUEUE_FULL')
  assert.match((refused as { message: string }).message, '1 requests wait already')
  await endAll([second], 250)
  assert.equal([queue.running, queue.waiting, queue.isFull], [2, 0, false])
  await endAll([first, third], 1)
  await Promise.all(all)
  assert.equal([queue.running, queue.waiting, waits], [0, 0, [0, 0, 250]])
})

test('a request that is aborted while it waits leaves its place in the line to the next', async () => {
  const queue = new WorkQueue(1, 2)
  const controller = new AbortController()
  const [first, last] = [work(), work()]
  const one = queue.run(signal(), first.run)
  const left = queue.run(controller.signal, async () => assert.unreachable()).catch((reason: unknown) => reason)
  const next = queue.run(signal(), last.run)
  controller.abort('gone')
  assert.is(await left, 'gone')
  assert.equal([queue.running, queue.waiting], [1, 1])
  await endAll([first, last], 1)
  await Promise.all([one, next])
  const aborted = await queue.run(controller.signal, async () => assert.unreachable()).catch((reason: unknown) => reason)
  assert.is(aborted, 'gone')
  assert.equal([queue.running, queue.waiting], [0, 0])
  const failed = await queue.run(signal(), () => Promise.reject(new Error('no'))).catch(({ message }: Error) => message)
  assert.equal([failed, queue.running], ['no', 0])
})

test('the rate is measured while requests wait, and says when to come again', async () => {
  const queue = new WorkQueue(1, 1000)
  const alone = work()
  const idle = queue.run(signal(), alone.run)
  await endAll([alone], 500)
  await idle
  assert.equal([queue.rate, queue.retryAfter], [0, 1], 'nobody waited')
  const works = Array.from({ length: 900 }, work)
  const all = works.map(({ run }) => queue.run(signal(), run))
  assert.is(queue.retryAfter, 1, 'the rate is not known yet')
  await endAll(works.slice(0, 1), 500)
  assert.is(queue.rate, 2)
  await endAll(works.slice(1, 2), 250)
  assert.ok(Math.abs(queue.rate - (0.9 * 2 + 0.1 * 4)) < 1e-9)
  assert.is(queue.retryAfter, 120, 'at most two minutes')
  await endAll(works.slice(2, 800), 500)
  assert.ok(Math.abs(queue.rate - 2) < 1e-9)
  assert.equal([queue.waiting, queue.retryAfter], [99, 25], 'half of those that wait, at the rate')
  await endAll(works.slice(800, 898), 500)
  assert.equal([queue.waiting, queue.retryAfter], [1, 1], 'at least a second')
  await endAll(works.slice(898), 0)
  await Promise.all(all)
  assert.ok(Math.abs(queue.rate - 2) < 1e-9, 'no time has passed')
})

test('/metrics has the state of the queue and of what the server keeps, and sums of photos', async () => {
  const service = {
    queue: { waiting: 1, running: 2, rate: 3.5 },
    images: { count: 4, bytes: 5 },
    uploads: { held: 6 },
    classSets: { encodedCount: 7 },
    ready: true,
  }
  const metrics = new Metrics(service as unknown as Service)
  metrics.photo({ width: 30, height: 20, timings: { encode: 30, crf: 2000 } } as unknown as ServiceResult)
  metrics.photo({ width: 10, height: 10, timings: { encode: 1 } } as unknown as ServiceResult)
  metrics.request('POST', '/v1/segment', 200, 300)
  const lines = (await metrics.registry.metrics()).split('\n')
  for (const line of [
    ...['queue_waiting 1', 'queue_running 2', 'photos_per_second 3.5', 'stored_images 4', 'stored_image_bytes 5'],
    ...['upload_bytes 6', 'class_sets 7', 'ready 1', 'photos_total 2', 'pixels_total 700'],
    ...['stage_seconds_sum{stage="encode"} 0.031', 'stage_seconds_sum{stage="crf"} 2'],
    ...['stage_seconds_bucket{le="0.025",stage="encode"} 1', 'stage_seconds_bucket{le="0.05",stage="encode"} 2'],
    ...['requests_total{method="POST",route="/v1/segment",status="200"} 1'],
    ...['request_seconds_bucket{le="0.25",route="/v1/segment"} 0', 'request_seconds_bucket{le="0.5",route="/v1/segment"} 1'],
  ])
    assert.ok(lines.includes(`clip_es_${line}`), line)
  service.ready = false
  assert.match(await metrics.registry.metrics(), '\nclip_es_ready 0\n')
})

test.run()
