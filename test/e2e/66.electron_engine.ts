// The engine's process of examples/electron, as a plain child process, with the example's EngineHost.
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { FailedReply, MasksReply, ModelNotice, PhotoReply, UnusableNotice } from '../../examples/electron/contract.js'
import { embeddedModel } from '../../ts/engine/model_path.js'
import { agreement, load, scene } from '../integration/support.js'
import { connect } from './electron/page_port.js'
import { createHost, example, stopHosts } from './electron/processes.js'

const program = join(example, 'engine/index.js')
const { CLIP_ES_MODEL: _, ...env } = process.env
const { host, children } = createHost(program, { env })
test.after(stopHosts)

const words = ['elephant', 'television', 'panda']

/** A scene with the alpha that a canvas adds. */
async function photoOf(name: string) {
  const { data, width, height } = await scene(name)
  const pixels = new Uint8ClampedArray(4 * width * height).map((__, i) =>
    i % 4 === 3 ? 255 : (data[(i >> 2) * 3 + (i % 4)] as number),
  )
  return { type: 'photo', pixels, width, height } as const
}

/** A photo that takes the engine a few seconds. */
const large = () =>
  ({ type: 'photo', pixels: new Uint8ClampedArray(4 * 1024 * 1024).fill(90), width: 1024, height: 1024 }) as const

test('a photo and words give the masks of the library', async () => {
  const { page } = connect(host)
  assert.equal(await page.reply<ModelNotice>(({ type }) => type === 'model'), {
    type: 'model',
    path: embeddedModel(),
    demo: true,
  })
  const photo = await photoOf('scene01')
  const { milliseconds } = await page.ask<PhotoReply>(photo)
  assert.ok(milliseconds > 0)
  const { mask, labels, width, height } = await page.ask<MasksReply>({ type: 'words', words, crf: false })
  assert.equal([labels, width, height], [words, 320, 240])
  assert.ok(mask instanceof Uint8Array)

  await using segmenter = await load(embeddedModel(), { precision: 'auto' })
  const expected = await segmenter.segment({ ...photo, data: photo.pixels }, await segmenter.encodeClasses(words))
  assert.is(agreement(mask, expected.mask), 1)
  const edges = await page.ask<MasksReply>({ type: 'words', words, crf: true })
  assert.ok(agreement(edges.mask, mask) < 1, 'the CRF moves edges')
  page.close()
})

test('words are answered after the photo that was sent before them, and pages do not share photos', async () => {
  const [one, two] = [connect(host).page, connect(host).page]
  one.send(await photoOf('scene02'))
  const first = one.ask<MasksReply>({ type: 'words', words: ['cat'], crf: false })
  const none = await two.ask<FailedReply>({ type: 'words', words: ['cat'], crf: false })
  assert.match(none.error.message, /there is no photo yet/)
  assert.is((await first).mask.length, 320 * 240)
  for (const page of [one, two]) page.close()
})

test('an aborted request is answered as such, and the next one is not delayed by it', async () => {
  const { page } = connect(host)
  const photo = page.send(large())
  const early = page.send({ type: 'words', words: ['cat'], crf: true })
  page.abort(photo)
  const { error } = await page.answer<FailedReply>(photo)
  assert.is(error.code, 'ABORTED')
  assert.is((await page.answer<FailedReply>(early)).type, 'failed')
  assert.is((await page.ask<PhotoReply>(await photoOf('scene03'))).type, 'photo')
  page.close()
})

test('a new photo ends the work on the photo before', async () => {
  const { page } = connect(host)
  const photo = page.send(large())
  const masks = page.send({ type: 'words', words: ['cat'], crf: true })
  const next = page.ask<PhotoReply>(await photoOf('scene03'))
  for (const id of [photo, masks]) assert.is((await page.answer<FailedReply>(id)).error.code, 'ABORTED')
  assert.is((await next).type, 'photo')
  page.close()
})

test("the library's errors reach the page with their remedy, and later requests work", async () => {
  const { page } = connect(host)
  await page.ask(await photoOf('scene04'))
  const { error } = await page.ask<FailedReply>({ type: 'words', words: ['cat', 'Cat'], crf: false })
  assert.is(error.code, 'ERR_INVALID_ARG')
  assert.match(error.message, /encodeClasses\(\)/)
  const wrong = await page.ask<FailedReply>({ ...(await photoOf('scene04')), width: 321 })
  assert.match(wrong.error.message, /image\.data has 307200 bytes; 321 x 240 RGBA needs 308160/)
  assert.is((await page.ask<PhotoReply>(await photoOf('scene04'))).type, 'photo')
  page.close()
})

test('a page that is closed while the engine computes does not disturb others', async () => {
  const [closing, staying] = [connect(host), connect(host)]
  closing.page.send(large())
  closing.page.close()
  host.disconnect(closing.client)
  assert.is((await staying.page.ask<PhotoReply>(await photoOf('scene05'))).type, 'photo')
  assert.is(children.length, 1)
  staying.page.close()
})

test('a process that ends unexpectedly is started again, up to three times a minute', async () => {
  const own = createHost(program, { env })
  const { page, ports, messages, next } = connect(own.host)
  const running = page.ask(large()).catch((error) => error)
  for (const [i, code] of ['SIGKILL', 'SIGSEGV', 'SIGKILL'].entries()) {
    const again = next()
    process.kill(own.children[i]?.pid as number, code as NodeJS.Signals)
    await again
  }
  assert.match(String(await running), /the port was closed/)
  assert.equal(
    messages,
    [false, true, true, true].map((restarted) => ({ type: 'clip-es-engine', restarted })),
  )
  assert.is((await (ports[3] as typeof page).ask<PhotoReply>(await photoOf('scene06'))).type, 'photo')

  const lost = next()
  process.kill(own.children[3]?.pid as number, 'SIGKILL')
  await lost
  const last = messages.at(-1)
  assert.is(last?.type, 'clip-es-engine-lost')
  assert.match(
    last?.type === 'clip-es-engine-lost' ? last.message : '',
    /The engine stopped 4 times within a minute .+ Restart the application/,
  )
  assert.is(own.children.length, 4)
})

test('stop() ends the process, which is not started again', async () => {
  const own = createHost(program, { env })
  const { messages } = connect(own.host)
  own.host.stop()
  await own.children[0]?.ended
  assert.is(own.children.length, 1)
  assert.is(messages.length, 1)
})

test('a model that does not load is reported with its remedy, also for each request', async () => {
  const own = createHost(program, { env: { ...env, CLIP_ES_MODEL: '/nowhere/model.pt' } })
  const { page } = connect(own.host)
  const { error } = await page.reply<UnusableNotice>(({ type }) => type === 'unusable')
  assert.is(error.code, 'ERR_MODEL_READ')
  assert.match(error.message, /\/nowhere\/model\.pt: cannot be opened/)
  assert.equal((await page.ask<FailedReply>(await photoOf('scene07'))).error, error)
})

test.run()
