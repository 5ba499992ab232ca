// What the page gives away: files, compared with the API's answers, and a link.
import { readFileSync } from 'node:fs'
import type { Browser, Page } from 'playwright-core'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { RunningServer } from '../../server/src/index.js'
import { type CompressedCocoRle, decodeRle, decompressRle, encodeRings, readMask } from '../../ts/photos/index.js'
import { browserTest, change, drawn, launch, maskOf, openPage, openScene, overlayColours } from './page_support.js'
import { sceneFile, startServer } from './support.js'

let server: RunningServer
let browser: Browser | undefined

test.before(async () => {
  browser = await launch()
  server = await startServer()
})
test.after(async () => {
  await browser?.close()
  await server.close()
})

const [width, height] = [320, 240]

async function download(page: Page, button: string): Promise<{ name: string; bytes: Buffer }> {
  const [file] = await Promise.all([
    page.waitForEvent('download'),
    page.getByRole('button', { name: button, exact: true }).click(),
  ])
  return { name: file.suggestedFilename(), bytes: readFileSync(await file.path()) }
}

interface Coco {
  images: unknown[]
  categories: { id: number; name: string }[]
  annotations: { category_id: number; segmentation: CompressedCocoRle; area: number }[]
}

interface Labelme {
  imagePath: string
  shapes: { label: string; points: number[][] }[]
}

browserTest('the files are the mask of the API', async () => {
  const { page, close } = await openPage(browser, server.url)
  await openScene(page, 1)
  const { question } = await change(page, () => page.getByLabel('Dense CRF').check()) // its masks have holes
  const mask = await maskOf(server, sceneFile('scene01'), question)
  const classes = question.classes as string[]
  const pixels = (value: number) => Uint8Array.from(mask, (other) => Number(other === value))

  const png = await download(page, 'Mask PNG')
  assert.is(png.name, 'scene01_mask.png')
  assert.equal((await readMask(png.bytes)).data, new Uint8Array(mask))

  const coco = await download(page, 'COCO')
  const { images, categories, annotations } = JSON.parse(coco.bytes.toString()) as Coco
  assert.is(coco.name, 'scene01_coco.json')
  assert.equal(images, [{ id: 1, file_name: 'scene01.png', width, height }])
  assert.equal(
    categories.map(({ name }) => name),
    classes,
  )
  assert.is(annotations.length, 3)
  for (const { category_id: value, segmentation, area } of annotations) {
    const { data } = decodeRle(decompressRle(segmentation))
    assert.equal(new Uint8Array(data), pixels(value))
    assert.is(
      area,
      data.reduce((sum, inside) => sum + inside, 0),
    )
  }

  const labelme = await download(page, 'LabelMe')
  const { imagePath, shapes } = JSON.parse(labelme.bytes.toString()) as Labelme
  assert.equal([labelme.name, imagePath], ['scene01.json', 'scene01.png'])
  for (const [i, name] of classes.entries()) {
    const own = shapes.filter(({ label }) => label === name).map(({ points }) => points.flat())
    assert.equal(new Uint8Array(decodeRle(encodeRings(own, width, height)).data), pixels(i + 1), name)
  }

  const picture = await download(page, 'Picture PNG')
  assert.is(picture.name, 'scene01_overlay.png')
  assert.is(picture.bytes.readUInt32BE(16) % width, 0) // IHDR; small photos are enlarged
  await close()
})

browserTest('a link restores the scene, words and settings', async () => {
  const first = await openPage(browser, server.url)
  const { page } = first
  await page.context().grantPermissions(['clipboard-read', 'clipboard-write'])
  await openScene(page, 3)
  await change(page, () => page.locator('#words').fill('dog, apple, cat'))
  await change(page, () => page.locator('#mode input[value=auto]').check())
  await change(page, () => page.getByLabel('Dense CRF').check())
  await page.getByText('Thresholds').click()
  await change(page, () => page.locator('#backgroundPower').fill('1.5'))
  const { question } = await change(page, () => page.locator('#labels input').first().fill('#123456'))
  await page.locator('#opacity').fill('0.8')
  await page.mouse.move(2, 2)
  await page.getByRole('button', { name: 'Copy a link' }).click()
  await page.getByRole('button', { name: 'Copied' }).waitFor()
  const link: string = await page.evaluate('navigator.clipboard.readText()')
  await drawn(page)
  const colours = await overlayColours(page, width, height)
  await first.close()

  const second = await (browser as Browser).newContext({ viewport: { width: 1100, height: 700 } })
  const again = await second.newPage()
  const restored = await change(again, () => again.goto(link))
  assert.equal(restored.question, question)
  assert.is(await again.inputValue('#words'), 'dog, apple, cat')
  assert.is(await again.inputValue('#opacity'), '0.8')
  await again.mouse.move(2, 2)
  await drawn(again)
  assert.equal(await overlayColours(again, width, height), colours)
  await second.close()
})

test.run()
