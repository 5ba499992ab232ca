// The page in a browser: masks follow words and settings, and what is drawn is what the API answers.
import type { Browser, Page, Route } from 'playwright-core'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { RunningServer } from '../../server/src/index.js'
import { vividColour } from '../../ts/photos/index.js'
import { browserTest, change, drawn, launch, maskOf, openPage, openScene, overlayColours, sceneRoot } from './page_support.js'
import { sceneFile, sceneLabels, startServer } from './support.js'

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
const within = (colour: string, [r, g, b]: readonly [number, number, number]): boolean => {
  const number = Number.parseInt(colour.slice(1), 16)
  // A canvas stores colours multiplied by their opacity, so a few levels are lost.
  return Math.max(Math.abs((number >> 16) - r), Math.abs(((number >> 8) & 255) - g), Math.abs((number & 255) - b)) <= 3
}

/** The share of the photo's pixels that are drawn as a mask says. `colours[i]` belongs to value i + 1. */
async function agreement(page: Page, mask: Uint8Array, colours: readonly (readonly [number, number, number])[]) {
  const found = await overlayColours(page, width, height)
  const right = found.filter((colour, i) => {
    const value = mask[i] as number
    return value === 0 ? colour === '' : colour !== '' && within(colour, colours[value - 1] as [number, number, number])
  })
  return right.length / found.length
}

browserTest('a scene opens with its words, and the masks are those of the API', async () => {
  const { page, close } = await openPage(browser, server.url)
  const { question, answer } = await openScene(page, 1)
  const labels = sceneLabels('scene01')
  assert.equal(question, { classes: labels, format: 'json' })
  assert.is(await page.inputValue('#words'), labels.join(', '))
  assert.is(await page.evaluate('document.activeElement.id'), 'words')
  const mask = await maskOf(server, sceneFile('scene01'), question)
  const colours = labels.map((_, i) => vividColour(i))
  assert.ok((await agreement(page, mask, colours)) > 0.99)
  assert.not.ok(
    (await agreement(
      page,
      mask.map((value) => (value ? 1 + (value % 3) : 0)),
      colours,
    )) > 0.9,
  ) // the check can fail
  assert.equal(await page.locator('#labels .name').allTextContents(), labels)
  const share = Math.round((100 * (answer.labels[0]?.pixels ?? 0)) / (width * height))
  assert.match((await page.locator('#labels li').first().textContent()) as string, `${share} % of the photo`)
  assert.match((await page.textContent('#summary')) as string, `${labels[0]}: ${share} % of the photo`)
  await close()
})

browserTest('masks follow the typing, and a request that is out of date is given up', async () => {
  const { page, close } = await openPage(browser, server.url)
  await openScene(page, 3) // a dog and an apple
  let held: Route | undefined
  await page.route('**/segment', async (route) => {
    if (held) await route.continue()
    else held = route // never answered
  })
  const failed = page.waitForEvent('requestfailed')
  const sent = page.waitForRequest((request) => request.url().endsWith('/segment'))
  await Promise.all([sent, page.locator('#words').fill('apple')])
  await page.locator('#words').press('End')
  await page.locator('#words').pressSequentially(', dog')
  assert.equal((await failed).postDataJSON().classes, ['apple'])
  await page.locator('#labels .name').nth(1).filter({ hasText: /^dog$/ }).waitFor()
  assert.equal(await page.locator('#labels .name').allTextContents(), ['apple', 'dog'])
  await page.locator('#words').fill(' , ')
  await page.locator('#labels-empty').filter({ hasText: 'Type words' }).waitFor()
  await drawn(page)
  assert.equal([...new Set(await overlayColours(page, width, height))], [''])
  await close()
})

browserTest('labels are found among the words, or in a class set', async () => {
  const { page, close } = await openPage(browser, server.url)
  await openScene(page, 3)
  await change(page, () => page.locator('#words').fill('apple, dog, rocket, pizza'))
  const { question, answer } = await change(page, () => page.locator('#mode input[value=auto]').check())
  assert.equal(question.labels, 'auto')
  assert.equal(answer.labels.map(({ name }) => name).sort(), ['apple', 'dog'])
  assert.match((await page.textContent('#labels')) as string, /presence \d+ %/)
  await change(page, () => page.locator('#mode input[value=set]').check())
  const set = await change(page, () => page.selectOption('#set', 'emoji'))
  assert.equal([set.question.classes, set.question.labels], ['emoji', 'auto'])
  assert.ok(await page.isDisabled('#words'))
  assert.equal(
    await page.locator('#labels .name').allTextContents(),
    set.answer.labels.map(({ name }) => name),
  )
  assert.ok(set.answer.labels.some(({ name }) => name === 'apple'))
  await page.getByText('Thresholds').click()
  const strict = await change(page, () => page.locator('#labelThreshold').fill('1'))
  assert.equal([strict.question.labelThreshold, strict.answer.labels], [1, []])
  assert.match((await page.textContent('#labels-empty')) as string, 'Lower the label threshold')
  await close()
})

browserTest('switches and sliders reach the server, and reset takes them back', async () => {
  const { page, close } = await openPage(browser, server.url)
  await openScene(page, 1)
  await page.getByText('Thresholds').click()
  const asked = async (action: () => Promise<unknown>) => (await change(page, action)).question
  assert.is((await asked(() => page.getByLabel('Dense CRF').check())).crf, true)
  assert.match((await page.textContent('#times-list')) as string, /CRF \d/)
  assert.is((await asked(() => page.locator('#backgroundPower').fill('2'))).backgroundPower, 2)
  assert.is((await asked(() => page.locator('#boxThreshold').fill('0.7'))).boxThreshold, 0.7)
  assert.is((await asked(() => page.getByLabel('Maps').selectOption('similarity'))).maps, 'similarity')
  assert.not.ok('maps' in (await asked(() => page.getByLabel('Maps').selectOption('gradcam'))))
  assert.is((await asked(() => page.getByLabel('Refinement').uncheck())).refine, false)
  assert.equal((await asked(() => page.getByLabel('Several sizes').check())).scales, [0.75, 1, 1.25])
  assert.is((await asked(() => page.getByLabel('Mirror image, too').check())).flip, true)
  const { question, answer } = await change(page, () => page.locator('#ignoreBelow').fill('0.9'))
  assert.ok(answer.ignored > 100)
  const colours = [...sceneLabels('scene01').map((_, i) => vividColour(i))]
  colours[254] = [128, 128, 128]
  assert.ok((await agreement(page, await maskOf(server, sceneFile('scene01'), question), colours)) > 0.99)
  const { question: withWords } = await change(page, () => page.locator('#background').fill('elephant, wall'))
  assert.equal(withWords.background, ['elephant', 'wall'])
  assert.match(
    (await page.textContent('#warnings')) as string,
    'These background words are not used, because they are also classes: elephant.',
  )
  const reset = await asked(() => page.getByText('Reset the settings').click())
  assert.equal(reset, { classes: sceneLabels('scene01'), format: 'json' })
  await close()
})

browserTest('maps and confidence are shown as the API gives them', async () => {
  const { page, close } = await openPage(browser, server.url)
  await openScene(page, 1)
  const cams = await change(page, () => page.locator('#view input[value=cams]').check())
  assert.equal(cams.question.include, ['cams'])
  const brightest = async (name: string) => {
    await page.selectOption('#cam', name)
    await drawn(page)
    const colours = await overlayColours(page, width, height)
    return colours.map((colour) => Number.parseInt(colour.slice(3, 5), 16)) // green grows with the map
  }
  for (const { name, box } of cams.answer.labels) {
    const [x, y, w, h] = box as [number, number, number, number]
    const green = await brightest(name)
    const isInside = (i: number) => i % width >= x && i % width < x + w && i / width >= y && i / width < y + h
    const inside = green.filter((_, i) => isInside(i))
    const outside = green.filter((_, i) => !isInside(i))
    const mean = (list: number[]) => list.reduce((sum, value) => sum + value, 0) / list.length
    assert.ok(mean(inside) > 1.5 * mean(outside), name)
  }
  const confidence = await change(page, () => page.locator('#view input[value=confidence]').check())
  assert.equal(confidence.question.include, ['confidence'])
  assert.is((await overlayColours(page, width, height)).includes(''), false)
  await page.locator('#view input[value=photo]').check()
  await drawn(page)
  assert.equal([...new Set(await overlayColours(page, width, height))], [''])
  await close()
})

browserTest('colours, opacity and hidden labels change what is drawn, without a request', async () => {
  const { page, close } = await openPage(browser, server.url)
  const { question } = await openScene(page, 1)
  let requests = 0
  page.on('request', (request) => request.url().endsWith('/segment') && requests++)
  const mask = await maskOf(server, sceneFile('scene01'), question)
  await page.locator('#labels .name').nth(1).click()
  await page.locator('#opacity').fill('1')
  await page.mouse.move(5, 5)
  await page.locator('#labels .name').nth(1).blur()
  await drawn(page)
  const shown = mask.map((value) => (value === 2 ? 0 : value))
  assert.ok((await agreement(page, shown, [0, 1, 2].map(vividColour))) > 0.99)
  assert.is(await page.locator('#labels .name').nth(1).getAttribute('aria-pressed'), 'false')
  assert.is(requests, 0)
  await page.locator('#labels .name').nth(1).click()
  await page.mouse.move(5, 5)
  await page.locator('#labels .name').nth(1).blur()
  const recoloured = await change(page, () => page.getByLabel('Colour of panda').fill('#102030'))
  assert.equal((recoloured.question.classes as unknown[])[2], { name: 'panda', colour: '#102030' })
  const colours = [vividColour(0), vividColour(1), [16, 32, 48] as const]
  assert.ok((await agreement(page, mask, colours)) > 0.99)
  await close()
})

browserTest('photos are opened, dropped and pasted', async () => {
  const { page, close } = await openPage(browser, server.url)
  const before = server.service.images.count
  const stored = () => page.waitForResponse((response) => response.url().endsWith('/v1/images') && response.status() === 201)
  const opened = stored()
  await page.locator('#file').setInputFiles(`${sceneRoot}/scene05.png`)
  await opened
  await change(page, () => page.locator('#words').fill('bus'))
  const bytes = JSON.stringify([...sceneFile('scene06')])
  const withFile = (event: string) => `(() => {
    const data = new DataTransfer()
    data.items.add(new File([Uint8Array.from(${bytes})], 'scene06.png', { type: 'image/png' }))
    document.dispatchEvent(${event})
  })()`
  const dropped = `new DragEvent('drop', { dataTransfer: data, bubbles: true, cancelable: true })`
  const pasted = `new ClipboardEvent('paste', { clipboardData: data })`
  for (const event of [dropped, pasted]) {
    const { answer } = await change(page, () => page.evaluate(withFile(event)))
    assert.equal(
      answer.labels.map(({ name }) => name),
      ['bus'],
    )
    assert.is(await page.textContent('#photo-name'), 'scene06.png')
  }
  assert.is(server.service.images.count, before + 1) // the page frees the photos before
  await close()
})

test.run()
